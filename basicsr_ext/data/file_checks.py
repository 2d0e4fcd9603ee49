"""What is wrong with the files of a dataset, known before work starts."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from basicsr.utils import get_root_logger

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.nesting import used_items
from basicsr_ext.data.reader_base import ReaderDataset
from basicsr_ext.data.stock_files import Files, files_of
from basicsr_ext.errors import DataError, OptionError, first_few, refuse_if_any, shown
from basicsr_ext.images.decoding import IMAGE_SUFFIXES
from basicsr_ext.images.image_files import Kind
from basicsr_ext.images.listing import has_mark, is_outside, not_in_utf8, read_lines
from basicsr_ext.images.pair_files import fits
from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import is_known
from basicsr_ext.schedule.sample import SampleDataset

_ROUND = ('blur_kernel_size', 'kernel_list', 'kernel_prob', 'sinc_prob', 'blur_sigma', 'betag_range', 'betap_range')
REAL_ESRGAN_KEYS = (
    *('dataroot_gt', 'io_backend', 'use_hflip', 'use_rot', 'final_sinc_prob'),
    *_ROUND,
    *(f'{key}2' for key in _ROUND),
)


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
        if not isinstance(block.get(key), str):
            raise OptionError(f'{where}.{key}', 'a folder', shown(block.get(key)), 'Correct it.')
    if block.get('scale') is None:
        raise OptionError(
            f'{where}.scale',
            'how many times as large as LQ GT is',
            'none',
            'Write scale: 1, or another, at the top of the option file.',
        )
    backend = block.get('io_backend')
    if not isinstance(backend, dict):
        raise OptionError(f'{where}.io_backend', 'a block with type', shown(backend), 'Write type: disk.')
    if backend.get('type') != 'disk' or block.get('meta_info_file'):
        return
    gt, lq = (_visible_files(block[f'dataroot_{kind}']) for kind in ('gt', 'lq'))
    if not gt:
        raise DataError(f'{where}.dataroot_gt', 'images', f'none in {shown(block["dataroot_gt"])}', 'Correct the path.')
    for key in ('dataroot_gt', 'dataroot_lq'):
        check_stock_folder(block[key], f'{where}.{key}')
    template = block.get('filename_tmpl', '{}')
    wanted = {template.format(Path(name).stem) + Path(name).suffix: name for name in gt}
    given = set(lq)
    missing = [f'{name} (for {original})' for name, original in wanted.items() if name not in given]
    surplus = [name for name in lq if name not in wanted]
    refuse_if_any(missing, 'an LQ image for every GT image, missing', 'Add them or set filename_tmpl.', where)
    refuse_if_any(surplus, 'a GT image for every LQ image, without partner', 'Remove them or set filename_tmpl.', where)


def check_real_esrgan(block: dict[str, Any], where: str) -> None:
    """Name what a RealESRGANDataset lacks; for a missing image BasicSR waits, and takes another one.

    Args:
        block: the block of the option file.
        where: its path in the option file.

    Raises:
        OptionError: a key is missing.
        DataError: the list of the images is missing, or images that it names are.
    """
    require(block, REAL_ESRGAN_KEYS, where)
    if not isinstance(block['io_backend'], dict) or block['io_backend'].get('type') != 'disk':
        return
    path, where = block.get('meta_info'), f'{where}.meta_info'
    if not isinstance(path, str) or not os.path.isfile(path):
        raise DataError(where, 'a file with a name a line', shown(path), 'Write it, or correct the path.')
    check_stock_list(path, where)
    names = [line.split()[0] for line in read_lines(path, where)]
    missing = [name for name in names if not os.path.isfile(os.path.join(block['dataroot_gt'], name))]
    refuse_if_any(missing, 'names of files that exist, missing', 'Correct the list or add them.', where)


def check_stock_folder(folder: str, where: str) -> None:
    """Name the files of a folder that one of BasicSR's datasets would stumble over: it takes each for an image.

    Raises:
        DataError: files that are no images.
    """
    names = [name for name in _visible_files(folder) if not name.lower().endswith(IMAGE_SUFFIXES)]
    foreign = [name for name in names if not cv2.haveImageReader(os.path.join(folder, name))]
    refuse_if_any(foreign, 'images alone, as BasicSR takes every file for one', 'Remove the other files.', where)


def _visible_files(folder: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith('.'))


def check_stock_list(path: str, where: str) -> None:
    """Look into a list that one of BasicSR's datasets will read, which takes it as it stands.

    Args:
        path: of the list.
        where: its path in the option file.

    Raises:
        DataError: it is not in UTF-8, or begins with a byte-order mark, which BasicSR takes for a part of a name.
    """
    lines = read_lines(path, where)
    if has_mark(path):
        raise DataError(
            where,
            'a list in plain UTF-8',
            f'a byte-order mark at the start of {shown(path)}, which BasicSR takes for a part of the first name',
            'Save it without.',
        )
    outside = [line for line in lines if is_outside(line.split()[0])]
    if outside:
        get_root_logger().warning(
            f'{where}: {len(outside)} names lead out of the folder, and BasicSR follows them: {first_few(outside)}.'
        )


def check_files(dataset: SampleDataset, where: str, decode: bool, workers: int | None = None) -> None:
    """Check the files of a dataset by their headers, and decode every image if asked to, in so many processes.

    Raises:
        DataError: as `check_dataset` and `check_pixels`.
    """
    check_dataset(dataset, where)
    if decode:
        check_pixels(dataset, where, workers)


def check_dataset(dataset: SampleDataset, where: str) -> None:
    """Check the files of a dataset by their headers.

    Raises:
        DataError: no items, files that are no images, images too small for the patch, pairs whose sizes differ. What
            is wrong for a dataset that is neither BasicSR's nor ours is a warning: it may pad or enlarge what it reads.
    """
    if not len(dataset):
        raise DataError(where, 'at least one image', 'none', 'Correct the path of its folder.')
    for reader, used in used_items(dataset):
        try:
            _check_sizes(reader, used, where)
        except DataError as error:
            if is_known(type(reader)):
                raise
            logging.getLogger('basicsr').warning(str(error))


def _check_sizes(reader: SampleDataset, used: Sequence[int], where: str) -> None:
    opt, files = reader.opt, files_of(reader)
    scale, is_train = opt.get('scale', 1), opt.get('phase', 'train') == 'train'
    patch = opt.get('gt_size') if is_train and not opt.get('pad_small') else None
    least = patch or scale
    small, different, unprintable = [], [], []
    for index in used:
        paths = files.listed(index)
        unprintable += not_in_utf8(list(paths.values()))
        if unprintable:
            continue
        sizes = files.sizes(index)
        if not _fit(sizes, scale, is_train):
            # Cameras note that an image has to be turned, which headers do not count.
            sizes = {kind: _decoded_size(files, index, kind) or size for kind, size in sizes.items()}
        is_small, is_fit = bool(sizes) and min(sizes['gt']) < least, _fit(sizes, scale, is_train)
        if is_fit and not is_small:
            continue
        named = {kind: f'{paths[kind]} ({height} x {width})' for kind, (height, width) in sizes.items()}
        if is_small:
            small.append(named['gt'])
        if not is_fit:
            different.append(f'{named["gt"]} for {" and ".join(each for kind, each in named.items() if kind != "gt")}')
    refuse_if_any(unprintable, 'names of files in UTF-8', 'Rename the files.', where)
    refuse_if_any(different, f'GT {scale} times as large as LQ', 'Make the pairs again or correct scale.', where)
    can_pad = 'set pad_small: reflect' if isinstance(reader, ReaderDataset) else 'set pad_small in a PairsDataset'
    advice = f'Remove them, lower gt_size or {can_pad}.' if patch else 'Remove them.'
    refuse_if_any(small, f'images of at least {least} x {least} pixels', advice, where)


def _decoded_size(files: Files, index: int, kind: Kind) -> tuple[int, int] | None:
    try:
        height, width = files.original(index, kind).shape[:2]
    except DataError:
        return None
    return height, width


def _fit(sizes: dict[Kind, tuple[int, int]], scale: int, is_train: bool) -> bool:
    """Whether the images of an item belong together; clean ones without a file of their input always do."""
    if len(sizes) < 2:
        return True
    inputs = {size for kind, size in sizes.items() if kind != 'gt'}
    return len(inputs) < 2 and all(fits(sizes['gt'], size, scale, is_train) for size in inputs)
