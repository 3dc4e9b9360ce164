"""Texts: shortening, ids, times, media types, JSON of any length, and keys that are never shown."""
