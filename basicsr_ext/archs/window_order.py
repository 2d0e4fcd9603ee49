"""The order in which window attention visits the pixels of a batch."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

MASKED = -100.0  # what BasicSR adds between pixels that are no neighbours in the image
INSIDE, RIGHT, BOTTOM, CORNER = range(4)  # where a window lies among the windows of a rolled image
KEPT = 16  # geometries in memory


@dataclass(frozen=True)
class WindowOrder:
    """Pixels window by window, windows of one kind next to each other.

    Attributes:
        order: index of each pixel among all pixels of the batch, counted image by image and row by row.
        back: the permutation that undoes `order`.
        groups: how many windows of which kind follow each other.
        samples: the image that each window belongs to.
    """

    order: Tensor
    back: Tensor
    groups: tuple[tuple[int, int], ...]
    samples: Tensor


@lru_cache(maxsize=KEPT)
def window_order(batch: int, height: int, width: int, window: int, shift: int, device: torch.device) -> WindowOrder:
    """Cut images that are rolled by -`shift` into windows (Liu et al., "Swin Transformer", ICCV 2021, Fig. 4).

    In a rolled image the windows at the bottom and at the right edge hold pixels from opposite sides; what may see what
    depends only on the edges a window lies at, so that four kinds of windows need four masks, however large the image.
    """
    with torch.inference_mode(False):  # what is kept here has to serve training too
        pixels = torch.arange(batch * height * width, device=device).view(batch, height, width)
        windows = pixels.roll((-shift, -shift), (1, 2)).view(batch, height // window, window, width // window, window)
        windows = windows.transpose(2, 3)
        bottom, right = (torch.arange(count, device=device) == count - 1 for count in windows.shape[1:3])
        kinds = (BOTTOM * bottom[:, None] + RIGHT * right) * (shift > 0)
        parts = [windows[:, kinds == kind].reshape(-1, window * window) for kind in range(4)]
        groups = tuple((len(part), kind) for kind, part in enumerate(parts) if len(part))
        order = torch.cat(parts)
        return WindowOrder(order.flatten(), inverse(order.flatten()), groups, order[:, 0] // (height * width))


@lru_cache(maxsize=KEPT)
def reordering(
    batch: int, height: int, width: int, window: int, shifts: tuple[int, int], device: torch.device
) -> Tensor:
    """The place of each pixel of the second shift's window order in that of the first."""
    first, second = (window_order(batch, height, width, window, shift, device) for shift in shifts)
    with torch.inference_mode(False):
        return first.back[second.order]


@lru_cache(maxsize=KEPT)
def window_masks(window: int, shift: int, device: torch.device) -> Tensor:
    """The masks added to the attention in each kind of windows, 4 x n x n for windows of n pixels."""
    with torch.inference_mode(False):
        beyond = torch.arange(window, device=device) >= window - shift
        kind = torch.arange(4, device=device).view(4, 1, 1)
        region = 2 * ((kind >= BOTTOM) & beyond[:, None]) + 1 * ((kind % 2 == 1) & beyond)
        region = region.view(4, -1)
        return MASKED * (region[:, :, None] != region[:, None, :]).float()


def inverse(order: Tensor) -> Tensor:
    """The permutation that undoes another."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


class _Reorder(torch.autograd.Function):
    """Rows in another order; the gradient is taken in the inverse order, which is faster than adding rows up."""

    @staticmethod
    def forward(ctx, rows, order):
        ctx.save_for_backward(order)
        return rows.index_select(0, order)

    @staticmethod
    def backward(ctx, grad):
        (order,) = ctx.saved_tensors
        return grad.index_select(0, inverse(order)), None


def reorder(rows: Tensor, order: Tensor) -> Tensor:
    """`rows[order]` for a permutation."""
    if torch.is_grad_enabled() and rows.requires_grad:
        reordered: Tensor = _Reorder.apply(rows, order)
        return reordered
    return rows.index_select(0, order)
