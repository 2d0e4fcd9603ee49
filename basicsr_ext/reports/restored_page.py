"""The page of restored files."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Paragraph, Part, Picture, Section, Table, write_page
from basicsr_ext.reports.restored_quality import Quality, means
from basicsr_ext.reports.thumbnails import as_picture, shown_at

SHOWN = 8  # files
SIDE = 256  # of the part of an image that is shown, in pixels of the input


def write_restored_page(
    page: Path,
    asked: Mapping[str, str],
    files: Sequence[tuple[str, Path, Path]],
    rows: Sequence[Quality],
    failures: Mapping[str, str],
) -> None:
    """Write what was restored: pictures before and after, the figures, what failed.

    Args:
        page: the file.
        asked: what was asked for, option -> value.
        files: name, input and result of each image that was restored.
        rows: how near they are to the ground truth; empty where there is none.
        failures: name -> why it is not restored.

    Raises:
        ImageError: a file is no longer there.
    """
    lead = f'{len(files)} images are restored'
    lead += f', {len(failures)} files are not.' if failures else '.'
    by_name = {row.image: row for row in rows}
    pictures: list[Part] = []
    for place in np.unique(np.linspace(0, len(files) - 1, min(SHOWN, len(files))).round().astype(int)):
        name, source, target = files[int(place)]
        pictures += _before_and_after(name, source, target, by_name.get(name))
    sections = [Section('Before and after', pictures)] if pictures else []
    if rows:
        sections.append(Section('Against the ground truth', [_table(rows)]))
    if failures:
        sections.append(Section('Not restored', [Paragraph(said) for said in failures.values()]))
    write_page(page, title_of('restore', page.parent.name), lead, asked, sections)


def _before_and_after(name: str, source: Path, target: Path, row: Quality | None) -> list[Picture]:
    """The middle of an image as it was and as it is now."""
    given, result = shown_at(source), shown_at(target)
    scale = max(1, result.shape[0] // given.shape[0])
    known = '' if row is None else f', {row.psnr:.2f} dB'
    parts = ((given, SIDE, f'{name}: input'), (result, SIDE * scale, f'{name}: restored{known}'))
    return [as_picture(_middle(image, side), f'{text}{_crop(image, side)}') for image, side, text in parts]


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _crop(image: np.ndarray, side: int) -> str:
    height, width = image.shape[:2]
    return (
        f' (the middle {min(side, height)} x {min(side, width)} of {height} x {width})'
        if max(height, width) > side
        else ''
    )


def _table(rows: Sequence[Quality]) -> Table:
    lines = [astuple(row) for row in rows] + [('mean', *means(rows).values())]
    cells = [
        [str(name), *(_cell(value, digits) for value, digits in zip(values, (2, 4, 2, 4), strict=True))]
        for name, *values in lines
    ]
    heads = ['image', 'PSNR [dB]', 'SSIM', 'PSNR of the input [dB]', 'SSIM of the input']
    return Table(heads, cells, "By BasicSR's metrics, no border cropped.", len(cells) - 1)


def _cell(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
