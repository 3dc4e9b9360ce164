"""Rows of the log as people and programs read them."""
