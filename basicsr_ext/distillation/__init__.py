"""Datasets of a few per cent: making images, and bringing them to the distribution of the whole."""
