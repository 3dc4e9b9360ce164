"""One job from its inputs to the stored result: a prompt, or a chat. Nothing here knows click."""
