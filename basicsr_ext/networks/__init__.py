"""A network as a thing that is run: tiled, padded, loaded, counted, checked against images."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
