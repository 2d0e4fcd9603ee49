"""The networks of a ranking by complexity: one that restores what is measured, one that measures."""

import numpy as np
import torch
from torch import Tensor, nn

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.networks.tiling import Sides, run_padded, run_tiled

SIDE = 128  # pixels of the square images that a scorer sees in TripleD


class Scorer:
    """Complexity by a trained network.

    Args:
        net: maps N x 3 x H x W, RGB, [0, 1], to N x 1; on its device.
        bfloat16: compute in mixed precision.
    """

    def __init__(self, net: nn.Module, bfloat16: bool = False) -> None:
        self.net, self.bfloat16 = net.eval(), bfloat16
        self.device = next(net.parameters()).device

    @property
    def side(self) -> int:
        """Pixels of a side of what the network sees: its `input_size`, or TripleD's 128."""
        return int(getattr(self.net, 'input_size', SIDE))

    @torch.no_grad()
    def __call__(self, thumbnails: Tensor) -> np.ndarray:
        """The scores, (N,) float64, of N x 3 x side x side.

        Raises:
            OptionError: the network gives another shape.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            scores = self.net(thumbnails.to(self.device))
        if scores.shape != (len(thumbnails), 1):
            raise OptionError(
                'network_scorer',
                f'a network that gives one score an image, {(len(thumbnails), 1)}',
                tuple(scores.shape),
                'Name one such as ComplexityScorer.',
            )
        values: np.ndarray = scores[:, 0].double().cpu().numpy()
        return values


class Restoration:
    """Degraded images restored one by one.

    Args:
        net: on its device.
        sides: what it asks of the sides of its input; images and tiles are padded to it.
        tile_size: side of the tiles in pixels of the input; None takes whole images.
        tile_overlap: pixels that a tile is extended by on every side.
        bfloat16: compute in mixed precision.
    """

    def __init__(
        self, net: nn.Module, sides: Sides, tile_size: int | None = None, tile_overlap: int = 32, bfloat16: bool = False
    ) -> None:
        self.net, self.sides, self.tile_size, self.tile_overlap = net.eval(), sides, tile_size, tile_overlap
        self.bfloat16 = bfloat16
        self.device = next(net.parameters()).device

    @torch.no_grad()
    def __call__(self, lq: Tensor) -> Tensor:
        """The restored image, (C', H scale, W scale), of one in [0, 1], (C, H, W).

        Raises:
            OptionError: what the network gives is no grey or colour image.
            DataError: it has values that are not finite.
        """
        image = lq[None].to(self.device)
        if self.tile_size is None:
            restored = self._restore(image)
        else:
            restored = run_tiled(self._restore, image, self.tile_size, self.tile_overlap)
        if restored.ndim != 4 or restored.shape[1] not in (1, 3):
            raise OptionError(
                'network_g',
                'a network that gives images of 1 or 3 channels',
                tuple(restored.shape),
                'Name another one.',
            )
        if not restored.isfinite().all():
            raise DataError('network_g', 'finite restored images', 'others', 'Check the weights.')
        return restored[0].cpu()

    def _restore(self, image: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return run_padded(self.net, image, self.sides).float()
