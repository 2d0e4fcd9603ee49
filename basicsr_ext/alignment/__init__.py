"""Moving the distribution of a small dataset to that of a large one."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
