"""How near restored files are to the ground truth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from basicsr.metrics import calculate_psnr, calculate_ssim

from basicsr_ext.errors import DataError
from basicsr_ext.images.file_io import LEVELS, read_image_file
from basicsr_ext.images.pixels import swap_order


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM of an image, by BasicSR's metrics without a cropped border.

    Attributes:
        image: its name.
        psnr, ssim: of the restored image.
        psnr_input, ssim_input: of the image that was restored; None where it has another size or other channels.
    """

    image: str
    psnr: float
    ssim: float
    psnr_input: float | None = None
    ssim_input: float | None = None


def measure(name: str, source: str, restored: str, truth: str) -> Quality:
    """Compare the files of an image; alpha is left out, 16 bits count as 8 with fractions.

    Raises:
        ImageError: a file cannot be read.
        DataError: the ground truth has another size or other channels than the restored image.
    """
    given, result, target = (_levels(path) for path in (source, restored, truth))
    if result.shape != target.shape:
        raise DataError(
            truth, f'ground truth of the shape {result.shape} of {restored}', target.shape, 'Name another --compare.'
        )
    before = _scores(given, target) if given.shape == target.shape else (None, None)
    return Quality(name, *_scores(result, target), *before)


def _levels(path: str) -> np.ndarray:
    """H x W x C, grey or B, G, R, [0, 255], float64."""
    image = read_image_file(path)
    colours = np.atleast_3d(image)[..., :3].astype(np.float64) * (255 / LEVELS[image.dtype.name])
    return np.ascontiguousarray(swap_order(colours))


def _scores(image: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    return float(calculate_psnr(image, target, 0)), float(calculate_ssim(image, target, 0))


def means(rows: Sequence[Quality]) -> dict[str, float | None]:
    """The mean of each measure over the images that have it; infinite where two files are equal."""
    columns = [name for name in asdict(rows[0]) if name != 'image'] if rows else []
    found: dict[str, float | None] = {}
    for name in columns:
        values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        found[name] = float(np.mean(values)) if values else None
    return found


def report(rows: Sequence[Quality]) -> dict[str, Any]:
    """What is written to a file: the rows and their means."""
    return {'images': [asdict(row) for row in rows], 'means': means(rows)}


def table(rows: Sequence[Quality]) -> str:
    """The rows and their means as text."""
    mean = means(rows)
    lines = [(row.image, *list(asdict(row).values())[1:]) for row in rows]
    lines.append(('mean', *mean.values()))
    width = max(len(line[0]) for line in lines)
    head = f'{"image":{width}}  {"PSNR":>7}  {"SSIM":>6}  {"input":>7}  {"":>6}'.rstrip()
    return '\n'.join([head, *(_line(line, width) for line in lines)])


def _line(values: Sequence[Any], width: int) -> str:
    name, *scores = values
    spaces = zip(scores, (2, 4, 2, 4), (7, 6, 7, 6), strict=True)
    shown = [f'{"-" if score is None else f"{score:.{places}f}":>{space}}' for score, places, space in spaces]
    return f'{name:{width}}  {"  ".join(shown)}'
