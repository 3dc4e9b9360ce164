"""Reading the log: which turns match, their rows, and conversations to go on with."""
