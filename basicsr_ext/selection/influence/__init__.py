"""The influence of training images on a test loss."""
