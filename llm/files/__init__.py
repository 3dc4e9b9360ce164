"""Files of the user directory: where they are, how they are written, and who may read them."""
