"""Folders of small images and the LMDBs of them; what datasets give of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.utils.lmdb_util import make_lmdb_from_imgs


def write_images(folder: Path, number: int = 8, size: int = 40, color: bool = False) -> Path:
    """Write square PNGs of smooth random content: 000.png, 001.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number * size)
    for index in range(number):
        noise = rng.integers(0, 256, (size // 4, size // 4, 3 if color else 1), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index:03d}.png'), cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC))
    return folder


def write_noise(
    folder: Path | str, sizes: Mapping[str, tuple[int, int]], divisor: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Write colour images of noise, and return their pixels in OpenCV's order.

    Args:
        folder: made if it is missing.
        sizes: height and width of each file, whose name may have folders and ends as its format does.
        divisor: of the sizes.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    images = {}
    for name, (height, width) in sizes.items():
        images[name] = rng.integers(0, 256, (height // divisor, width // divisor, 3), dtype=np.uint8)
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(f'{folder}/{name}', images[name])
    return images


def pack_lmdb(folder: Path | str, names: Iterable[str] | None = None) -> Path:
    """Pack files of a folder, or all, into FOLDER.lmdb as BasicSR does: by their names without ending."""
    folder = Path(folder)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*')) if names is None else list(names)
    keys = [name.rpartition('.')[0] for name in files]
    packed = folder.with_name(f'{folder.name}.lmdb')
    make_lmdb_from_imgs(str(folder), str(packed), files, keys, map_size=2**20)
    return packed


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two samples are equal to the last bit."""
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


def photo(seed: int, height: int = 96, width: int = 128, highest: float = 1.4, contrast: float = 45) -> np.ndarray:
    """A grey image whose power falls with the square of the frequency as that of photographs does, and which is quiet
    at the top, uint8.

    Args:
        seed: of the picture.
        height, width: in pixels.
        highest: frequency in it, as a part of the Nyquist frequency.
        contrast: standard deviation in levels, about 128.
    """
    rows, columns = 2 * np.fft.fftfreq(height), 2 * np.fft.fftfreq(width)
    frequency = np.hypot(rows[:, None], columns)
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(height, width)))
    image = np.fft.ifft2(noise * (frequency <= highest) / frequency).real
    image *= np.linspace(0, 1, height)[:, None]
    return np.rint(128 + contrast * image / image.std()).clip(0, 255).astype(np.uint8)
