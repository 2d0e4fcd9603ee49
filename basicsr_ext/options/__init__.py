"""One option file, from text to dataclass."""
