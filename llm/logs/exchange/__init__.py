"""Conversations on their way out of a log, into one, and from one into another."""
