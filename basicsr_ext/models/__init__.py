"""Models: what BasicSR calls the networks with their optimisation."""
