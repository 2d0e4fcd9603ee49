"""From Python: what the jobs do with option files, with a user's own datasets and networks."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
