"""Sets of documents: taken in by chunks, found by words and by meaning, and cited with proof."""
