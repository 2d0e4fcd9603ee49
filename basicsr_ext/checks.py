"""Everything that can be known to be wrong before work starts."""

import inspect
import logging
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import torch
from basicsr.data import build_dataset
from basicsr.losses import build_loss
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)
from PIL import Image
from torch.utils.data import default_collate
from tqdm import tqdm

from basicsr_ext.checking import check_call, read_block, registered
from basicsr_ext.data.degradation import LOADER_KEYS, DegradationDataset
from basicsr_ext.data.image_files import IMAGE_SUFFIXES, refuse_if_any
from basicsr_ext.data.sample import SampleDataset
from basicsr_ext.data.wrapper import WrapperDataset, inner_block, innermost
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options import nearest, require
from basicsr_ext.training import learning_rate
from basicsr_ext.training.checkpoint import read_checkpoint

Options = dict[str, Any]

# Top-level keys of every option file; those that models of BasicSR add are theirs to check.
COMMON_KEYS = (
    'name', 'model_type', 'scale', 'num_gpu', 'manual_seed', 'datasets', 'path', 'train', 'val', 'logger',
    'dist_params', 'deterministic', 'dist', 'rank', 'world_size', 'root_path', 'auto_resume', 'is_train',
)  # fmt: skip


def check_options(opt: Options) -> None:
    """Check a completed option file without reading images.

    Raises:
        OptionError: a name that is not registered, an argument nobody takes, a key or type that is wrong in a block of
            ours, a missing file.
    """
    model = registered(MODEL_REGISTRY, opt['model_type'], 'model_type')
    for key in opt:
        if key.startswith('network_'):
            require(opt[key], ('type',), key)
            check_call(registered(ARCH_REGISTRY, opt[key]['type'], f'{key}.type'), opt[key], key)
    for key, block in opt['datasets'].items():
        _check_dataset_block(block, f'datasets.{key}')
    _check_files(opt)
    if inspect.isclass(model) and issubclass(model, RestorationModel):
        _check_restoration_options(opt, model)
    elif (opt.get('train') or {}).get('accum_iter', 1) != 1:
        raise OptionError(
            f'train.accum_iter: expected a model that accumulates, got {opt["model_type"]}. '
            'Set model_type: RestorationModel.'
        )
    for metric, block in ((opt.get('val') or {}).get('metrics') or {}).items():
        require(block, ('type',), f'val.metrics.{metric}')
        registered(METRIC_REGISTRY, block['type'], f'val.metrics.{metric}.type')
    if opt['is_train']:
        _check_training(opt)


def _check_training(opt: Options) -> None:
    require(opt['datasets'], ('train',), 'datasets')
    require(opt['datasets']['train'], ('batch_size_per_gpu',), 'datasets.train')
    require(opt['train'], ('total_iter', 'optim_g'), 'train')
    require(opt['logger'], ('print_freq', 'save_checkpoint_freq'), 'logger')
    if opt.get('val'):
        require(opt['val'], ('val_freq', 'save_img'), 'val')
    elif any(block['phase'] == 'val' for block in opt['datasets'].values()):
        raise OptionError('val: expected a block beside datasets.val, got none. Add it or remove the dataset.')
    for key, block in opt['train'].items():
        if key.endswith('_opt') and isinstance(block, dict) and 'type' in block:
            check_call(registered(LOSS_REGISTRY, block['type'], f'train.{key}.type'), block, f'train.{key}')


def _check_restoration_options(opt: Options, model: type[RestorationModel]) -> None:
    flags = [field.name for field in fields(model.ModelOptions)]
    for key in opt:
        if key not in COMMON_KEYS and key not in flags and not key.startswith('network_'):
            raise OptionError(f'{key}: expected a known key, got {key!r}. {nearest(key, (*COMMON_KEYS[:12], *flags))}')
    read_block(model.ModelOptions, {key: opt[key] for key in flags if key in opt}, 'options')
    if opt.get('val'):
        read_block(model.ValOptions, opt['val'], 'val')
    if opt['is_train']:
        options = read_block(model.TrainOptions, opt['train'], 'train')
        learning_rate.optimizer_class(options.optim_g, 'train.optim_g')
        if options.scheduler is not None:
            learning_rate.scheduler_class(options.scheduler, 'train.scheduler')
        for number, block in enumerate(options.losses):
            where = f'train.losses.{number}'
            require(block, ('type',), where)
            arguments = {key: value for key, value in block.items() if key != 'name'}
            check_call(registered(LOSS_REGISTRY, block['type'], f'{where}.type'), arguments, where)


def _check_dataset_block(block: Options, where: str) -> None:
    dataset = registered(DATASET_REGISTRY, block['type'], f'{where}.type')
    options = getattr(dataset, 'Options', None)
    if options is not None:
        read_block(options, block, where, ignore=LOADER_KEYS)
    if inspect.isclass(dataset) and issubclass(dataset, WrapperDataset):
        _check_dataset_block(inner_block(block, where), f'{where}.dataset')
    for key in ('num_worker_per_gpu', 'batch_size_per_gpu', 'dataset_enlarge_ratio'):
        low = 0 if key == 'num_worker_per_gpu' else 1
        if key in block and not (isinstance(block[key], int) and block[key] >= low):
            raise OptionError(f'{where}.{key}: expected an integer of at least {low}, got {block[key]!r}. Correct it.')
    for key, value in block.items():
        if key.startswith('dataroot') and value is not None:
            for folder in value if isinstance(value, list) else [value]:
                if not os.path.isdir(os.path.expanduser(str(folder))):
                    raise DataError(f'{where}.{key}: expected a folder, got {folder!r}. Correct the path.')
        if key == 'meta_info_file' and value is not None and not os.path.isfile(value):
            raise DataError(f'{where}.{key}: expected a file, got {value!r}. Correct the path.')
    if block['type'] == 'PairedImageDataset':
        _check_pairs(block, where)


def _check_pairs(block: Options, where: str) -> None:
    """Name every image without partner; BasicSR's own assertion names one, or only the numbers."""
    if block.get('io_backend', {}).get('type') != 'disk' or block.get('meta_info_file'):
        return
    gt, lq = (sorted(e.name for e in os.scandir(block[f'dataroot_{k}']) if e.is_file()) for k in ('gt', 'lq'))
    template = block.get('filename_tmpl', '{}')
    wanted = {template.format(Path(name).stem) + Path(name).suffix: name for name in gt if not name.startswith('.')}
    if not wanted:
        raise DataError(
            f'{where}.dataroot_gt: expected images, got none in {block["dataroot_gt"]!r}. Correct the path.'
        )
    missing = [f'{name} (for {original})' for name, original in wanted.items() if name not in set(lq)]
    surplus = [name for name in lq if not name.startswith('.') and name not in wanted]
    refuse_if_any(missing, 'an LQ image for every GT image, missing', 'Add them or set filename_tmpl.', where)
    refuse_if_any(surplus, 'a GT image for every LQ image, without partner', 'Remove them or set filename_tmpl.', where)


def _check_files(opt: Options) -> None:
    for key, value in opt['path'].items():
        if value is not None and (key.startswith('pretrain_network') or key == 'resume_state'):
            if not os.path.isfile(value):
                raise OptionError(f'path.{key}: expected a file, got {value!r}. Correct the path or write ~.')
            read_checkpoint(value)


def check_dataset(dataset: SampleDataset, where: str) -> None:
    """Check the files of a dataset by their headers.

    Raises:
        DataError: no items, files that are no images, images too small for the patch, pairs whose sizes differ.
    """
    if not len(dataset):
        raise DataError(f'{where}: expected at least one image, got none. Correct the path of its folder.')
    reader = innermost(dataset)
    if isinstance(reader, DegradationDataset):
        reader.check(where)
        return
    scale = reader.opt.get('scale', 1)
    pairs = [
        (pair['lq_path'], pair['gt_path']) for pair in _path_entries(reader) if {'lq_path', 'gt_path'} <= set(pair)
    ]
    different = []
    for lq, gt in pairs:
        (lq_width, lq_height), (gt_width, gt_height) = _header(lq), _header(gt)
        # BasicSR cuts the ground truth of validation images to a multiple of the scale itself.
        exact = reader.opt.get('phase') == 'train'
        agree = gt_width >= lq_width * scale and gt_height >= lq_height * scale
        if not agree or (exact and (gt_width, gt_height) != (lq_width * scale, lq_height * scale)):
            different.append(f'{gt} ({gt_height} x {gt_width}) for {lq} ({lq_height} x {lq_width})')
    refuse_if_any(different, f'GT {scale} times as large as LQ', 'Make the pairs again or correct scale.', where)


def _path_entries(dataset: Any) -> Iterator[dict[str, str]]:
    """The paths of a stock dataset's items, where they are files."""
    for entry in getattr(dataset, 'paths', ()):
        named = entry if isinstance(entry, dict) else {'path': entry}
        if all(isinstance(path, str) and path.lower().endswith(IMAGE_SUFFIXES) for path in named.values()):
            yield named


def _header(path: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            size: tuple[int, int] = image.size
            return size
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f'{path}: expected an image, got a missing, damaged or foreign file. Replace it.') from error


def check_pixels(dataset: SampleDataset, where: str) -> None:
    """Decode every image.

    Raises:
        DataError: damaged images; names them.
    """
    reader = innermost(dataset)
    if isinstance(reader, DegradationDataset):
        paths = [reader.files.path(index) for index in range(len(reader))]
        readable = (_is_readable(reader, index) for index in range(len(reader)))
    else:
        paths = [path for entry in _path_entries(reader) for path in entry.values()]
        readable = (cv2.imread(path) is not None for path in paths)
    shown = tqdm(zip(paths, readable, strict=True), f'Decoding {where}', len(paths), leave=False, disable=None)
    refuse_if_any([path for path, good in shown if not good], 'images that decode', 'Replace or remove them.', where)


def _is_readable(reader: DegradationDataset, index: int) -> bool:
    try:
        reader.files.decode(index, reader.color)
    except DataError:
        return False
    return True


def check_first_batch(model: Any, dataset: SampleDataset, where: str) -> None:
    """Run the first item through `net_g` and its losses and compare shapes.

    Raises:
        OptionError: the network cannot take the input, or its output has another shape than the ground truth.
    """
    sample = default_collate([dataset[0]])
    if 'lq' not in sample or 'gt' not in sample or sample['lq'].ndim != 4:
        return  # videos and images without ground truth have their own models
    model.feed_data(sample)
    shapes = f'lq {tuple(sample["lq"].shape)}, gt {tuple(sample["gt"].shape)}'
    try:
        model.test()
    except RuntimeError as error:
        raise OptionError(
            f'{where}: expected input that {type(model.get_bare_model(model.net_g)).__name__} takes, got {shapes} and '
            f'{str(error).splitlines()[0]}. Correct network_g or color of the dataset.'
        ) from error
    if model.output.shape != model.gt.shape:
        raise OptionError(
            f'{where}: expected output of the shape of gt, got {tuple(model.output.shape)} for {shapes}. Correct '
            'network_g, scale or the dataset.'
        )
    pixel_opt = (model.opt.get('train') or {}).get('pixel_opt')
    if pixel_opt and not torch.isfinite(build_loss(pixel_opt)(model.output.float().cpu(), model.gt.cpu())).all():
        raise OptionError(f'{where}: expected a finite loss on the first batch, got none. Look at {sample["gt_path"]}.')


def check_everything(opt: Options) -> None:
    """What `--check` does: build everything, decode every image, run the first one; leaves no files behind.

    Args:
        opt: completed options that `check_options` accepted.
    """
    logger = get_root_logger()
    logger.setLevel(logging.INFO)
    set_random_seed(opt['manual_seed'])
    model = build_model(opt)
    for key, block in opt['datasets'].items():
        dataset = build_dataset(block)
        check_dataset(dataset, f'datasets.{key}')
        check_pixels(dataset, f'datasets.{key}')
        check_first_batch(model, dataset, f'datasets.{key}')
        logger.info(f'datasets.{key}: {len(dataset)} images, all readable; the first one fits the network.')
    logger.info(f'{opt["name"]}: options, files and the first batch are sound.')
