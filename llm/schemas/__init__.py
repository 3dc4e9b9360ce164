"""JSON schemas: how people write them, and whether an answer fits."""
