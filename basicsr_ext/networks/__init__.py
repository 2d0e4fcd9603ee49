"""A network as a thing that is run: tiled, padded, loaded, counted, checked against images."""
