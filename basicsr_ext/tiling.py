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


def run_padded(network: Network, image: Tensor, multiple: int) -> Tensor:
    """Run a network that needs sides divisible by `multiple`.

    Args:
        network: maps N x C x h x w to N x C' x (h scale) x (w scale) for a scale of its own.
        image: N x C x H x W.
        multiple: what has to divide h and w.

    Returns:
        N x C' x (H scale) x (W scale).
    """
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, multiple)
    result = network(padded)
    scale = result.shape[-1] // padded.shape[-1]
    return result[..., : height * scale, : width * scale]


def run_tiled(network: Network, image: Tensor, tile_size: int, overlap: int) -> Tensor:
    """Run a network tile by tile.

    Each tile is computed with `overlap` more pixels on every side that is not the edge of the image, of which the
    result is cut off again. Where the overlap covers the receptive field, the result is that of the whole image.

    Args:
        network: maps N x C x h x w to N x C' x (h scale) x (w scale) for a scale of its own.
        image: N x C x H x W.
        tile_size: side of a tile without overlap, in pixels of `image`.
        overlap: in pixels of `image`.

    Returns:
        N x C' x (H scale) x (W scale).
    """
    height, width = image.shape[-2:]
    result, scale = None, 1
    for top, bottom in _spans(height, tile_size):
        for left, right in _spans(width, tile_size):
            y, x = max(0, top - overlap), max(0, left - overlap)
            seen = image[..., y : min(height, bottom + overlap), x : min(width, right + overlap)]
            tile = network(seen)
            if result is None:
                scale = tile.shape[-1] // seen.shape[-1]
                result = tile.new_empty(*tile.shape[:2], height * scale, width * scale)
            result[..., top * scale : bottom * scale, left * scale : right * scale] = tile[
                ..., (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
            ]
    if result is None:
        raise ValueError(f'run_tiled: expected an image with pixels, got {tuple(image.shape)}.')
    return result


def _spans(length: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, length)) for start in range(0, length, size))
