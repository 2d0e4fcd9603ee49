"""Images chosen together: orders of a pool whose first K are meant as a set."""
