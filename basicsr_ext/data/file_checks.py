"""What is wrong with the files of a dataset, known before work starts."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from basicsr_ext.data.degradation_base import DegradationDataset
from basicsr_ext.data.nesting import used_items
from basicsr_ext.errors import DataError, OptionError, refuse_if_any
from basicsr_ext.images.decoding import IMAGE_SUFFIXES, header_size
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
        if isinstance(reader, DegradationDataset):
            reader.check(where, used)
        else:
            _check_stock_sizes(reader, used, where)


def _check_stock_sizes(reader: SampleDataset, used: Sequence[int], where: str) -> None:
    scale, is_train = reader.opt.get('scale', 1), reader.opt.get('phase') == 'train'
    size = reader.opt.get('gt_size') if is_train else None
    small, different = [], []
    for pair in _path_entries(reader, used):
        if not {'lq_path', 'gt_path'} <= set(pair):
            continue
        lq, gt = (header_size(pair[key], pair[key]) for key in ('lq_path', 'gt_path'))
        enlarged = (lq[0] * scale, lq[1] * scale)
        # Outside training BasicSR itself cuts the ground truth to the size that belongs to the input.
        fits = gt == enlarged if is_train else gt[0] >= enlarged[0] and gt[1] >= enlarged[1]
        if not fits:
            different.append(f'{pair["gt_path"]} ({gt[0]} x {gt[1]}) for {pair["lq_path"]} ({lq[0]} x {lq[1]})')
        if size and min(gt) < size:
            small.append(f'{pair["gt_path"]} ({gt[0]} x {gt[1]})')
    refuse_if_any(different, f'GT {scale} times as large as LQ', 'Make the pairs again or correct scale.', where)
    refuse_if_any(small, f'images of at least {size} x {size} pixels', 'Remove them or lower gt_size.', where)


def _path_entries(dataset: Any, used: Sequence[int]) -> Iterator[dict[str, str]]:
    """The paths of a stock dataset's items, where they are files."""
    paths = getattr(dataset, 'paths', ())
    for entry in (paths[index] for index in used if index < len(paths)):
        named = entry if isinstance(entry, dict) else {'path': entry}
        if all(isinstance(path, str) and path.lower().endswith(IMAGE_SUFFIXES) for path in named.values()):
            yield named


def check_pixels(dataset: SampleDataset, where: str) -> None:
    """Decode every image that is used.

    Raises:
        DataError: damaged images; names them.
    """
    images = list(chain.from_iterable(_images(reader, used) for reader, used in used_items(dataset)))
    shown = tqdm(images, f'Decoding {where}', leave=False, disable=None)
    damaged = [path for path, decodes in shown if not decodes()]
    refuse_if_any(damaged, 'images that decode', 'Replace or remove them.', where)


def _images(reader: SampleDataset, used: Sequence[int]) -> Iterator[tuple[str, Callable[[], bool]]]:
    """The files of a dataset, each with what tells whether it decodes."""
    if isinstance(reader, DegradationDataset):
        for index in used:
            yield reader.files.path(index), partial(_decodes, reader, index)
    else:
        for path in chain.from_iterable(entry.values() for entry in _path_entries(reader, used)):
            yield path, partial(_file_decodes, path)


def _file_decodes(path: str) -> bool:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None


def _decodes(reader: DegradationDataset, index: int) -> bool:
    try:
        reader.files.decode(index, reader.color)
    except DataError:
        return False
    return True
