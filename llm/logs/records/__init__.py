"""What turns are made of in the log: messages, shared rows, payloads, outcomes."""
