"""Datasets of a few per cent: making images, and bringing them to the distribution of the whole."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
