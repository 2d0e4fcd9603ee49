"""Moving the distribution of a small dataset to that of a large one."""
