"""Engines that say which data to learn from: influence of images, manifests of their results, subsets."""
