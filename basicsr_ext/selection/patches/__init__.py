"""What the patches of images are worth."""
