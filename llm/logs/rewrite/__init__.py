"""Rewriting the log: taking things out of it for good, and keeping its file small and whole."""
