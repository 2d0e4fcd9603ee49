"""The loss of a trained network on patches: Soh and Cho (2021), Eq. 4."""

import numpy as np
import torch
from torch import Tensor, nn

from basicsr_ext.networks.fits import refuse_other_shape, try_network
from basicsr_ext.networks.tiling import Sides, run_padded
from basicsr_ext.selection.patches.criteria import PatchGrid


class PatchLosses:
    """Mean squared error of a network on each patch alone, as in training: it sees nothing around the patch.

    Args:
        net: on its device.
        sides: what it asks of the sides of its input, a number is a multiple; patches are padded to it.
        batch_size: patches computed together.
        bfloat16: compute in mixed precision.
    """

    def __init__(self, net: nn.Module, sides: Sides | int = 1, batch_size: int = 32, bfloat16: bool = False) -> None:
        self.net, self.sides, self.batch_size, self.bfloat16 = net.eval(), sides, batch_size, bfloat16
        self.device = next(net.parameters()).device

    @torch.no_grad()
    def __call__(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> np.ndarray:
        """The losses of the patches of an image.

        Args:
            lq: (C, H / scale, W / scale), [0, 1].
            gt: (C', H, W), [0, 1].
            grid: of patches in gt; the scale divides their sides and positions.

        Returns:
            (number of patches,), float64.
        """
        scale = gt.shape[-1] // lq.shape[-1]
        corners = list(zip(*(side.tolist() for side in grid.corners()), strict=True))
        losses = []
        for start in range(0, len(corners), self.batch_size):
            part = corners[start : start + self.batch_size]
            inputs = _cut(lq, [(y // scale, x // scale) for y, x in part], grid.size // scale).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                output = run_padded(self.net, inputs, self.sides)
            difference = output.double() - _cut(gt, part, grid.size).to(self.device)
            losses.append(difference.square().mean((1, 2, 3)).cpu())
        return torch.cat(losses).numpy()

    def check(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> None:
        """Try the network on the first patch.

        Raises:
            OptionError: it does not take the input, or gives another shape than that of the clean patch.
        """
        name, size = type(self.net).__name__, grid.size
        side = size // (gt.shape[-1] // lq.shape[-1])
        patch = lq[None, :, :side, :side].to(self.device)
        with torch.no_grad():
            output = try_network(
                lambda: run_padded(self.net, patch, self.sides),
                name,
                str(tuple(patch.shape)),
                'network_g',
                'Correct network_g or color of the dataset.',
            )
        expected, advice = (gt.shape[0], size, size), 'Correct network_g, scale or the dataset.'
        refuse_other_shape(output.shape[1:], expected, name, 'network_g', advice)


def _cut(image: Tensor, corners: list[tuple[int, int]], size: int) -> Tensor:
    return torch.stack([image[:, y : y + size, x : x + size] for y, x in corners])
