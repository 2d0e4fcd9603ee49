"""A network that takes images of every size."""

from typing import Any

from torch import Tensor, nn

from basicsr_ext.tiling import run_padded


class Padded(nn.Module):
    """A network whose input is extended to the sides that it takes, and whose output is cropped.

    Args:
        net: the network.
        sides: what it asks of the sides of its input, as `run_padded` takes it.
    """

    def __init__(self, net: nn.Module, sides: Any) -> None:
        super().__init__()
        self.net, self.sides = net, sides

    def forward(self, image: Tensor) -> Tensor:
        """Restore N x C x H x W; returns N x C' x (H scale) x (W scale)."""
        return run_padded(self.net, image, self.sides)
