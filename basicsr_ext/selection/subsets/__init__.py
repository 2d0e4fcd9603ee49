"""Which part of a ranking is taken."""
