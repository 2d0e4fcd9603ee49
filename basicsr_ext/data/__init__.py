"""Datasets, and what they read with."""
