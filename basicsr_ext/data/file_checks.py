"""What is wrong with the files of a dataset, known before work starts."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from basicsr_ext.data.nesting import used_items
from basicsr_ext.data.stock_files import Files, files_of
from basicsr_ext.errors import DataError, OptionError, refuse_if_any
from basicsr_ext.images.image_files import Kind
from basicsr_ext.runtime.progress import shown
from basicsr_ext.schedule.sample import SampleDataset


def check_pairs(block: dict[str, Any], where: str) -> None:
    """Name every image of a PairedImageDataset without partner; BasicSR names one, or only the numbers.

    Args:
        block: the block of the option file.
        where: its path in the option file.

    Raises:
        OptionError: a folder is not named.
        DataError: no images, or images without partner.
    """
    for key in ('dataroot_gt', 'dataroot_lq'):
        if block.get(key) is None:
            raise OptionError(f'{where}.{key}: expected a folder, got none. Add it.')
    if block.get('io_backend', {}).get('type') != 'disk' or block.get('meta_info_file'):
        return
    gt, lq = (_visible_files(block[f'dataroot_{kind}']) for kind in ('gt', 'lq'))
    if not gt:
        raise DataError(
            f'{where}.dataroot_gt: expected images, got none in {block["dataroot_gt"]!r}. Correct the path.'
        )
    template = block.get('filename_tmpl', '{}')
    wanted = {template.format(Path(name).stem) + Path(name).suffix: name for name in gt}
    missing = [f'{name} (for {original})' for name, original in wanted.items() if name not in set(lq)]
    surplus = [name for name in lq if name not in wanted]
    refuse_if_any(missing, 'an LQ image for every GT image, missing', 'Add them or set filename_tmpl.', where)
    refuse_if_any(surplus, 'a GT image for every LQ image, without partner', 'Remove them or set filename_tmpl.', where)


def _visible_files(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith('.'))


def check_dataset(dataset: SampleDataset, where: str) -> None:
    """Check the files of a dataset by their headers.

    Raises:
        DataError: no items, files that are no images, images too small for the patch, pairs whose sizes differ.
    """
    if not len(dataset):
        raise DataError(f'{where}: expected at least one image, got none. Correct the path of its folder.')
    for reader, used in used_items(dataset):
        _check_sizes(reader, used, where)


def _check_sizes(reader: SampleDataset, used: Sequence[int], where: str) -> None:
    opt, files = reader.opt, files_of(reader)
    scale, is_train = opt.get('scale', 1), opt.get('phase', 'train') == 'train'
    least = (opt.get('gt_size') if is_train else None) or scale
    small, different = [], []
    for index in used:
        paths, sizes = files.listed(index), files.sizes(index)
        shown = {kind: f'{paths[kind]} ({height} x {width})' for kind, (height, width) in sizes.items()}
        if sizes and min(sizes['gt']) < least:
            small.append(shown['gt'])
        if 'lq' in sizes and not _fits(sizes['gt'], sizes['lq'], scale, is_train):
            different.append(f'{shown["gt"]} for {shown["lq"]}')
    refuse_if_any(different, f'GT {scale} times as large as LQ', 'Make the pairs again or correct scale.', where)
    refuse_if_any(small, f'images of at least {least} x {least} pixels', 'Remove them or lower gt_size.', where)


def _fits(gt: tuple[int, int], lq: tuple[int, int], scale: int, is_train: bool) -> bool:
    """Whether a pair belongs together; outside training BasicSR itself cuts the clean image to the size it needs."""
    enlarged = (lq[0] * scale, lq[1] * scale)
    return gt == enlarged if is_train else gt[0] >= enlarged[0] and gt[1] >= enlarged[1]


def check_pixels(dataset: SampleDataset, where: str) -> None:
    """Decode every image that is used.

    Raises:
        DataError: damaged images; names them.
    """
    images = list(chain.from_iterable(_images(reader, used) for reader, used in used_items(dataset)))
    decoding = shown(images, f'Decoding {where}', len(images))
    damaged = [path for path, files, index, kind in decoding if not _decodes(files, index, kind)]
    refuse_if_any(damaged, 'images that decode', 'Replace or remove them.', where)


def _images(reader: SampleDataset, used: Sequence[int]) -> Iterator[tuple[str, Files, int, Kind]]:
    """The images of a dataset, where it tells them."""
    files = files_of(reader)
    for index in used:
        for kind, path in files.listed(index).items():
            yield path, files, index, kind


def _decodes(files: Files, index: int, kind: Kind) -> bool:
    try:
        files.original(index, kind)
    except DataError:
        return False
    return True
