"""Run a network on images that are too large, or whose sides it does not divide."""

from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn import functional

Network = Callable[[Tensor], Tensor]


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Extend N x C x H x W at the bottom and the right so that `multiple` divides H and W.

    The extension mirrors the image without repeating the edge, as BasicSR's SwinIRModel does; where the image is too
    small for that it repeats the edge.
    """
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    mode = 'reflect' if bottom < height and right < width else 'replicate'
    return functional.pad(image, (0, right, 0, bottom), mode=mode) if bottom or right else image


def run_padded(network: Network, image: Tensor, multiple: int, scale: int = 1) -> Tensor:
    """Run a network that needs sides divisible by `multiple`; returns N x C x (H scale) x (W scale)."""
    height, width = image.shape[-2:]
    return network(pad_to_multiple(image, multiple))[..., : height * scale, : width * scale]


def run_tiled(network: Network, image: Tensor, tile_size: int, overlap: int, scale: int = 1) -> Tensor:
    """Run a network tile by tile.

    Each tile is computed with `overlap` more pixels on every side that is not the edge of the image, of which the
    result is cut off again. Where the overlap covers the receptive field, the result is that of the whole image.

    Args:
        network: maps N x C x h x w to N x C' x (h scale) x (w scale).
        image: N x C x H x W.
        tile_size: side of a tile without overlap, in pixels of `image`.
        overlap: in pixels of `image`.
        scale: of the network.

    Returns:
        N x C' x (H scale) x (W scale).
    """
    height, width = image.shape[-2:]
    result = None
    for top, bottom in _spans(height, tile_size):
        for left, right in _spans(width, tile_size):
            y, x = max(0, top - overlap), max(0, left - overlap)
            tile = network(image[..., y : min(height, bottom + overlap), x : min(width, right + overlap)])
            if result is None:
                result = tile.new_empty(*tile.shape[:2], height * scale, width * scale)
            result[..., top * scale : bottom * scale, left * scale : right * scale] = tile[
                ..., (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
            ]
    if result is None:
        raise ValueError(f'run_tiled: expected an image with pixels, got {tuple(image.shape)}.')
    return result


def _spans(length: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, length)) for start in range(0, length, size))
