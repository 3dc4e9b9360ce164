"""The file of the log: its tables, opening it, bringing it up to date."""
