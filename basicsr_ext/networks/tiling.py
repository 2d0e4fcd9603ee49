"""Run a network on images that are too large, or of a size that it does not take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sides:
    """The demands of a network on the height and width of its input, in pixels.

    Args:
        multiple: what has to divide both.
        minimum: of both.
        square: whether they have to be equal.
    """

    multiple: int = 1
    minimum: int = 1
    square: bool = False

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The smallest height and width that are allowed and hold an image of this size."""
        if self.minimum > 1:  # else nothing is compared, so that an exported network takes sides of any length
            height, width = max(height, self.minimum), max(width, self.minimum)
        height, width = height + -height % self.multiple, width + -width % self.multiple
        return (max(height, width),) * 2 if self.square else (height, width)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and back; one that is there already keeps what it has prepared."""
    was_training = net.training
    if was_training:
        net.eval()
    try:
        yield
    finally:
        if was_training:
            net.train()


def refuse_sides(image: Tensor, multiple: int, name: str) -> None:
    """Raise ValueError unless `multiple` divides height and width of N x C x H x W; `name` is that of the network."""
    if image.shape[2] % multiple or image.shape[3] % multiple:
        raise ValueError(
            f'{name}: expected height and width divisible by {multiple}, got {tuple(image.shape[2:])}. '
            'Pad the images and crop the result.'
        )


def pad_to_multiple(image: Tensor, sides: Sides | int) -> Tensor:
    """Extend N x C x H x W at the bottom and the right to the sides that a network asks for.

    The extension mirrors the image without repeating the edge, as BasicSR's SwinIRModel does; where the image is too
    small for that it repeats the edge.

    Args:
        image: N x C x H x W.
        sides: what is asked of H and W; a number is a multiple of both.
    """
    if isinstance(sides, int):
        sides = Sides(sides)
    height, width = image.shape[-2:]
    padded_height, padded_width = sides.fit(height, width)
    bottom, right = padded_height - height, padded_width - width
    mode = 'reflect' if bottom < height and right < width else 'replicate'
    return functional.pad(image, (0, right, 0, bottom), mode=mode) if bottom or right else image


def run_padded(network: Network, image: Tensor, sides: Sides | int) -> Tensor:
    """Run a network that does not take images of every size.

    Args:
        network: maps N x C x h x w to N x C' x (h scale) x (w scale) for a scale of its own.
        image: N x C x H x W.
        sides: what the network asks of h and w; a number is a multiple of both.

    Returns:
        N x C' x (H scale) x (W scale).
    """
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, sides)
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
