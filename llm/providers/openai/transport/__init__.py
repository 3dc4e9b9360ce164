"""How requests travel, and what can go wrong on the way."""
