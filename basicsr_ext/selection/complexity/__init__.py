"""The complexity of whole images."""
