"""The terminal: what is shown, what is asked, and what comes in."""
