"""The network that changes the images of a small dataset towards the distribution of a large one."""

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError


@ARCH_REGISTRY.register()
class DistributionTuner(nn.Module):
    """Change an image a little: T(x) = x + bound * tanh(f(x) / bound), f a chain of 3x3 convolutions.

    TripleD, Sec. 3.4: eight convolutions of 3x3 and stride 1; with width 64 and colour images 225,091 parameters.

    Readings chosen, as the paper says no more: ReLU between, the network is a residual, its last layer starts at zero,
    so that T(x) = x exactly before training, and the change is bounded, so that an image stays the photograph it was.

    .. code-block:: yaml

        network_tuner:
          type: DistributionTuner
          in_channels: 3
          width: 64
          depth: 8
          bound: 0.03137  # 8 levels of 255

    Args:
        in_channels: of the images, 3 or 1.
        width: channels between the layers.
        depth: number of convolutions, the first and the last included.
        bound: largest change of a value of an image, images being in [0, 1].

    Raises:
        OptionError: fewer than two layers, or a bound that is not positive.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, depth: int = 8, bound: float = 8 / 255) -> None:
        super().__init__()
        if depth < 2:
            raise OptionError('DistributionTuner.depth', 'at least 2', depth, 'Give 8 as the paper.')
        if not bound > 0:
            raise OptionError('DistributionTuner.bound', 'a positive number', bound, 'Give 0.03137 or so.')
        self.bound = bound
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(width, in_channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # it has one
        self.body = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """Tune a batch.

        Args:
            x: clean images, (N, in_channels, H, W), RGB or grey, range [0, 1].

        Returns:
            The tuned images, same shape, not clipped.
        """
        return x + self.bound * torch.tanh(self.body(x) / self.bound)
