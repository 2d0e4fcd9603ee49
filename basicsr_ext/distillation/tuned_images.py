"""The images that a tuner makes, as they stand in files: 8 bits."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from basicsr_ext.distillation.channel_statistics import Images
from basicsr_ext.files import atomic_open
from basicsr_ext.training import interrupt


class TunedImages:
    """Images passed through a tuner, clipped and rounded to 8 bits.

    Rounding cannot take a change of 8-bit images over a bound that is a whole number of levels.

    Args:
        tuner: trained.
        images: the originals.
    """

    def __init__(self, tuner: nn.Module, images: Images) -> None:
        self.tuner, self.images = tuner.eval(), images

    def __len__(self) -> int:
        return len(self.images)

    @torch.no_grad()
    def __getitem__(self, index: int) -> Tensor:
        device = next(self.tuner.parameters()).device
        tuned: Tensor = self.tuner(self.images[index][None].to(device))[0].cpu()
        return (tuned.clamp(0, 1) * 255).round() / 255


def write_tuned(tuner: nn.Module, images: Images, names: Sequence[str], folder: Path) -> list[str]:
    """Write `folder/<name>.png` for each image, as `TunedImages` gives it.

    Args:
        tuner: trained.
        images: the originals.
        names: without ending; may hold `/`.
        folder: is made.

    Returns:
        The lines of BasicSR's meta_info, such as `0001.png (481,321,3)`.

    Raises:
        Interrupted: a stop was asked for.
    """
    lines, tuned = [], TunedImages(tuner, images)
    for index, name in enumerate(tqdm(names, 'Writing', unit='image', leave=False, disable=None)):
        pixels = (tuned[index] * 255).round().byte().permute(1, 2, 0).numpy()
        write_png(folder / f'{name}.png', pixels[..., ::-1])
        lines.append(f'{name}.png ({",".join(map(str, pixels.shape))})')
        if interrupt.requested():
            raise interrupt.Interrupted
    return lines


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image atomically: (H, W) or (H, W, C) in OpenCV's order, uint8 or uint16."""
    _, encoded = cv2.imencode('.png', np.ascontiguousarray(pixels))
    with atomic_open(path) as file:
        file.write(encoded.tobytes())
