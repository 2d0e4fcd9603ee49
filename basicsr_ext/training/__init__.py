"""What the training loop needs."""
