"""Engines that say which data to learn from: influence of images, manifests of their results, subsets."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
