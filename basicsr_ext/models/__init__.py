"""Models: what BasicSR calls the networks with their optimisation."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
