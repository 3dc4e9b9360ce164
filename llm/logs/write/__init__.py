"""Writing the log: threads of messages, and turns."""
