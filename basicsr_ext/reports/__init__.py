"""Pictures and numbers of results."""
