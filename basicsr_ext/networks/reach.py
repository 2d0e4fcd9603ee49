"""How far away a network looks: which pixels of its input a pixel of its output depends on."""

from collections.abc import Callable
from math import ceil

import torch
from torch import Tensor

FARTHEST = 96  # pixels of the input; a network that looks farther counts as one that looks everywhere


@torch.no_grad()
def reach_of(network: Callable[[Tensor], Tensor], image: Tensor, multiple: int = 1) -> int | None:
    """The largest distance, in pixels of the input, from which something changes a pixel of the output.

    A value that is not a number spreads to whatever is computed from it, whatever the weights are: one at a pixel of
    the input marks all of the output that depends on it. Pixels at the begin, in the middle and at the end of a period
    of the network are tried.

    Args:
        network: maps 1 x C x H x W to 1 x C' x (H scale) x (W scale), for sides that `multiple` divides.
        image: 1 x C x H x W, of any size; tells channels, type and device.
        multiple: the period of the network: images shifted by so many pixels give shifted results.

    Returns:
        None where it is more than `FARTHEST`, as of a network that looks at the whole image.
    """
    middle = ceil(FARTHEST / multiple + 1) * multiple
    side = 2 * middle + multiple
    farthest = 0
    for offset in sorted({0, multiple // 2, multiple - 1}):
        place = middle + offset
        marked = image.new_full((1, image.shape[1], side, side), 0.5)
        marked[..., place, place] = torch.nan
        with torch.backends.cudnn.flags(enabled=False):  # transforms of Fourier would spread it everywhere
            output = network(marked)
        scale = output.shape[-1] // side
        rows, columns = torch.nonzero(torch.isnan(output[0]).any(0), as_tuple=True)
        reached = torch.cat([rows, columns]) // scale
        if not len(reached):
            continue
        farthest = max(farthest, int((reached - place).abs().max()))
        if farthest > FARTHEST:
            return None
    return farthest
