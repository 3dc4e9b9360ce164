"""What a prompt is made of beside its text: templates and fragments, found and loaded."""
