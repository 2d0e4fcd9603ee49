"""Everything that can be known to be wrong before work starts."""

import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
)
from torch.utils.data import default_collate

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import (
    check_dataset,
    check_pairs,
    check_real_esrgan,
    check_stock_folder,
    check_stock_list,
)
from basicsr_ext.data.read_item import read_item
from basicsr_ext.data.wrapper_base import ComposedDataset
from basicsr_ext.errors import DataError, OptionError, nearest, shown
from basicsr_ext.jobs.overlaps import warn_of_validation
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.models.restoration_options import TrainOptions
from basicsr_ext.networks.fits import refuse_other_shape, try_network
from basicsr_ext.networks.tiling import evaluating
from basicsr_ext.options.blocks import read_block, read_value, require
from basicsr_ext.options.calls import building, check_call, is_known, registered
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, LoaderOptions, inner_blocks, paths_in
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.checkpoint import read_checkpoint
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.schedule.warmup import Warmup
from basicsr_ext.training import learning_rate
from basicsr_ext.training.best import BestOptions
from basicsr_ext.training.building import build_dataset, build_model
from basicsr_ext.training.loader import build_warmup
from basicsr_ext.training.losses import has_perceptual
from basicsr_ext.training.state import same_rng_afterwards
from basicsr_ext.training.validation import bare_networks, check_validation, forget_images, is_measured_here


@dataclass(frozen=True)
class TrainingFile:
    """Keys at the top of an option file of `train` or `test`, as BasicSR has them; its models may add more.

    Attributes:
        name: of the folder `experiments/NAME` or `results/NAME`.
        model_type: the model, such as RestorationModel.
        datasets: blocks `train`, `val`, `val_2`, ... or `test`, `test_1`, ...
        path: weights of networks, `pretrain_network_g` and the like, and `resume_state`.
        num_gpu: 1 computes on a GPU, 0 on the CPU, `auto` on a GPU if there is one.
        train: how the model is trained.
        val: how it is validated.
        logger: `print_freq`, `save_checkpoint_freq`, `use_tb_logger`, `wandb`; of saved iterations all stay, or with
            `keep_last: N` the last N beside the best; `checkpoint_format: safetensors` writes the weights that are used
            beside each network too, with the block of the network in the metadata.
        scale: factor by which the ground truth is larger than the input; passed to the datasets.
        manual_seed: of everything random; None draws one.
        deterministic: repeatable algorithms on a GPU; false lets cuDNN try for the fastest.
        dist_params: arguments of the process group under a launcher, such as `{backend: nccl, timeout: 3600}`: seconds
            that a process waits for the others.
        imports: modules to import first, as those that register your own classes: `[hat.archs, hat.models]`.
        complexity, calibrate: blocks of these jobs, which take the file too.
    """

    name: str
    model_type: str
    datasets: dict[str, Any]
    path: dict[str, Any] | None
    num_gpu: int | Literal['auto']
    train: dict[str, Any] | None = None
    val: dict[str, Any] | None = None
    logger: dict[str, Any] | None = None
    scale: int = 1
    manual_seed: int | None = None
    deterministic: bool = True
    dist_params: dict[str, Any] | None = None
    imports: list[str] | None = None
    complexity: dict[str, Any] | None = None
    calibrate: dict[str, Any] | None = None


FILE_KEYS = tuple(each.name for each in fields(TrainingFile))
COMPLETED_KEYS = ('dist', 'rank', 'world_size', 'root_path', 'auto_resume', 'is_train')
PATH_KEYS = ('resume_state', 'ignore_resume_networks')
COMPLETED_PATH_KEYS = ('experiments_root', 'models', 'training_states', 'log', 'visualization', 'results_root')
NETWORK_PATH_KEYS = {  # each with the letter of a network
    'pretrain_network': 'file of its weights; `pkg://basicsr_ext/weights/...` names those that come with the package',
    'param_key': 'key of the weights in the file; `params` by default',
    'strict_load': 'false loads only what fits',
}


LOGGER = logging.getLogger('basicsr')  # which is set up when it is known where the log file lies
OURS = ('use_vflip', 'pad_small', 'gt_until')  # keys of readers that BasicSR's would pass over in silence
BACKENDS = ('disk', 'lmdb', 'memcached')  # of BasicSR's FileClient


def check_options(opt: Options) -> None:
    """Check a completed option file without reading images.

    Raises:
        OptionError: a name that is not registered, an argument nobody takes, a key or type that is wrong in a block of
            ours, a missing file.
    """
    model = registered(MODEL_REGISTRY, opt['model_type'], 'model_type')
    check_parts(opt, is_known(model))
    if inspect.isclass(model) and issubclass(model, RestorationModel):
        _check_restoration_options(opt, model)
    elif is_known(model) and (opt.get('train') or {}).get('accum_iter', 1) != 1:
        raise OptionError(
            'train.accum_iter', 'a model that accumulates', opt['model_type'], 'Set model_type: RestorationModel.'
        )
    _check_names(opt)
    for metric, block in ((opt.get('val') or {}).get('metrics') or {}).items():
        _check_metric(block, f'val.metrics.{metric}')
    if opt['is_train']:
        _check_training(opt, model)


def _check_names(opt: Options) -> None:
    """Results are kept by the names of the datasets."""
    keys: dict[str, str] = {}
    for key, block in opt['datasets'].items():
        if block['phase'] not in ('val', 'test'):
            continue
        first = keys.setdefault(block['name'], key)
        if first != key:
            raise OptionError(
                f'datasets.{key}.name',
                f'another name than that of datasets.{first}',
                shown(block['name']),
                'Rename one.',
            )


def check_parts(opt: Options, knows_model: bool = True) -> None:
    """Check what every job builds: networks, datasets, weights.

    Args:
        opt: the completed options.
        knows_model: whether the weights are loaded as BasicSR's models do; one of somebody else may leave them out.

    Raises:
        OptionError, DataError: as `check_options`.
    """
    for key in opt:
        if key.startswith('network_'):
            require(opt[key], ('type',), key)
            network = registered(ARCH_REGISTRY, opt[key]['type'], f'{key}.type')
            check_call(network, opt[key], key)
            _check_operators(network, f'{key}.type')
    for key, block in opt['datasets'].items():
        _check_dataset_block(block, f'datasets.{key}')
    _check_files(opt, knows_model)


def _check_operators(network: Callable[..., Any], where: str) -> None:
    """Refuse a network that needs the operators of BasicSR that are compiled when it is installed, if they are not."""
    needs_them = hasattr(sys.modules[network.__module__], 'fused_leaky_relu')
    if needs_them and not hasattr(sys.modules['basicsr.ops.fused_act.fused_act'], 'fused_act_ext'):
        raise OptionError(
            where,
            f'the compiled operators of BasicSR, which {network.__name__} needs',
            'none',
            'Where there is a GPU, set BASICSR_JIT=True, or install BasicSR with BASICSR_EXT=True.',
        )


def _check_metric(block: Options, where: str) -> None:
    require(block, ('type',), where)
    function = registered(METRIC_REGISTRY, block['type'], f'{where}.type')
    images = sum(name in ('img', 'img2') for name in inspect.signature(function).parameters)
    arguments = {key: value for key, value in block.items() if key != 'better'}
    strict = is_known(function)  # the **kwargs of ours and BasicSR's take `better` alone
    check_call(function, arguments, where, given=images, strict=strict)


def _check_training(opt: Options, model: Callable[..., Any]) -> None:
    require(opt['datasets'], ('train',), 'datasets')
    require(opt['datasets']['train'], ('batch_size_per_gpu',), 'datasets.train')
    require(opt['train'], ('total_iter', 'optim_g'), 'train')
    _check_logger(opt['logger'])
    if opt.get('val'):
        require(opt['val'], ('val_freq', 'save_img'), 'val')
        read_value(opt['val']['val_freq'], Annotated[int, Ge(1)], 'val.val_freq')
        _check_best(opt, model)
    elif any(block['phase'] == 'val' for block in opt['datasets'].values()):
        LOGGER.warning('There is no block val beside datasets.val: nothing will be validated.')
    for key, block in opt['train'].items():
        if is_known(model) and key.endswith('_opt') and isinstance(block, dict) and 'type' in block:
            check_call(registered(LOSS_REGISTRY, block['type'], f'train.{key}.type'), block, f'train.{key}')


def _check_best(opt: Options, model: Callable[..., Any]) -> None:
    """Demand what chooses the best checkpoint."""
    if opt['val'].get('best') is not None:
        sets = [block['name'] for block in opt['datasets'].values() if block['phase'] == 'val']
        metrics = {**(opt['val'].get('metrics') or {}), **getattr(model, 'own_metrics', {})}
        read_block(BestOptions, opt['val']['best'], 'val.best').check(sets, metrics)


def _check_logger(block: Options) -> None:
    require(block, ('print_freq', 'save_checkpoint_freq'), 'logger')
    for key in ('print_freq', 'save_checkpoint_freq'):
        read_value(block[key], Annotated[int, Ge(1)], f'logger.{key}')
    read_value(block['use_tb_logger'], bool, 'logger.use_tb_logger')
    read_value(block.get('checkpoint_format'), Literal['pth', 'safetensors'] | None, 'logger.checkpoint_format')
    read_value(block.get('keep_last'), Annotated[int, Ge(1)] | None, 'logger.keep_last')
    wandb = read_value(block.get('wandb'), dict | None, 'logger.wandb') or {}
    if wandb.get('project') is not None and not block['use_tb_logger']:
        raise OptionError(
            'logger.wandb.project',
            'use_tb_logger: true beside it, from which wandb takes its values',
            block['use_tb_logger'],
            'Set it, or remove the project.',
        )
    needed = {'wandb': wandb.get('project') is not None, 'tensorboard': block['use_tb_logger']}
    for package, is_needed in needed.items():
        if is_needed and find_spec(package) is None:
            raise OptionError('logger', f'the package {package}', 'none', 'Install it or switch it off.')


def _check_rates(options: TrainOptions) -> None:
    """Build optimiser and schedule for a tensor of two by two, make a step, and follow the schedule a little."""
    kind = learning_rate.optimizer_class(options.optim_g, 'train.optim_g')
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    with building('train.optim_g', kind.__name__):
        optimizer = learning_rate.build(kind, [weight], options.optim_g)
        learning_rate.use_training_weights([optimizer])
        optimizer.step()
    if options.scheduler is None:
        return
    schedule = learning_rate.scheduler_class(options.scheduler, 'train.scheduler')
    with building('train.scheduler', schedule.__name__), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # no step of the optimiser comes before those of the schedule
        schedulers = [learning_rate.build(schedule, optimizer, options.scheduler)]
        for iteration in range(1, min(4, options.total_iter + 1)):
            learning_rate.set_learning_rate(schedulers, iteration, options.warmup_iter)


def _check_restoration_options(opt: Options, model: type[RestorationModel]) -> None:
    require(opt, ('network_g',))
    for key in opt['path']:
        if key not in (*PATH_KEYS, *COMPLETED_PATH_KEYS) and key.rpartition('_')[0] not in NETWORK_PATH_KEYS:
            known = (*PATH_KEYS, *(f'{name}_g' for name in NETWORK_PATH_KEYS))
            raise OptionError(f'path.{key}', 'a known key', shown(key), nearest(key, known))
    flags = [field.name for field in fields(model.ModelOptions)]
    for key in opt:
        if key not in (*FILE_KEYS, *COMPLETED_KEYS, *flags) and not key.startswith('network_'):
            raise OptionError(key, 'a known key', shown(key), nearest(key, (*FILE_KEYS, *flags)))
    read_block(model.ModelOptions, {key: opt[key] for key in flags if key in opt}, 'options')
    if opt.get('val'):
        read_block(model.ValOptions, opt['val'], 'val')
    if opt['is_train']:
        options = read_block(model.TrainOptions, opt['train'], 'train')
        _check_rates(options)
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
    elif is_known(dataset):
        _refuse_our_keys(block, where)
    if inspect.isclass(dataset) and issubclass(dataset, ComposedDataset):
        for path, inner in inner_blocks(block, where).items():
            _check_dataset_block(inner, f'{where}.{path}')
    read_block(LoaderOptions, {key: block[key] for key in LOADER_KEYS if key in block}, where)
    if isinstance(block.get('io_backend'), dict) and is_known(dataset):
        _check_backend(block['io_backend'], f'{where}.io_backend')
    for key, kind, path in paths_in(block):
        if kind == 'folder' and not os.path.isdir(os.path.expanduser(path)):
            if is_known(dataset):
                raise DataError(f'{where}.{key}', 'a folder', shown(path), 'Correct the path.')
            LOGGER.warning(f'{where}.{key}: {shown(path)} is no folder.')
        is_ours = key == 'meta_info_file' or options is not None
        if kind == 'file' and is_ours and not os.path.isfile(os.path.expanduser(path)):
            raise DataError(f'{where}.{key}', 'a file', shown(path), 'Correct the path.')
        if key == 'meta_info_file' and options is None:
            check_stock_list(os.path.expanduser(path), f'{where}.{key}')
    if block['type'] == 'PairedImageDataset':
        check_pairs(block, where)
    if block['type'] == 'RealESRGANDataset':
        check_real_esrgan(block, where)
    lq = block.get('dataroot_lq')
    if block['type'] == 'SingleImageDataset' and 'meta_info_file' not in block and os.path.isdir(str(lq)):
        check_stock_folder(str(lq), f'{where}.dataroot_lq')


def _refuse_our_keys(block: Options, where: str) -> None:
    for key in OURS:
        if key in block:
            raise OptionError(f'{where}.{key}', f'a key of {block["type"]}', shown(key), 'Take PairsDataset for it.')


def _check_backend(block: Options, where: str) -> None:
    """What BasicSR's FileClient takes."""
    kind = block.get('type')
    if kind not in BACKENDS:
        raise OptionError(f'{where}.type', ' or '.join(BACKENDS), shown(kind), 'Correct it.')
    if kind == 'disk' and len(block) > 1:
        key = next(key for key in block if key != 'type')
        raise OptionError(f'{where}.{key}', 'nothing beside type: disk', shown(block[key]), 'Remove it.')


def _check_files(opt: Options, knows_model: bool) -> None:
    if opt['auto_resume'] and any(Path(opt['path']['training_states']).glob('*.state')):
        return  # the networks come from the run itself
    for key, value in opt['path'].items():
        if value is not None and (key.startswith('pretrain_network') or key == 'resume_state'):
            if os.path.isfile(value):
                read_checkpoint(value)
            elif knows_model:
                raise OptionError(f'path.{key}', 'a file', shown(value), 'Correct the path or write ~.')
            else:
                LOGGER.warning(f'path.{key}: {shown(value)} is no file.')


def check_first_batch(model: Any, dataset: SampleDataset, where: str) -> None:
    """Run the first item through `net_g` and its losses and compare shapes; leaves random numbers as they were.

    Raises:
        OptionError: the network cannot take the input, or its output has another shape than the ground truth.
    """
    with same_rng_afterwards(), bare_networks(model):
        sample = default_collate([read_item(dataset, ScheduledIndex(0, seed=0, iteration=1, position=0, warmup=False))])
        phase = dataset.opt.get('phase', 'train')
        if not _is_tried(sample, phase):
            return  # what has models of its own
        if sample['lq'].ndim == 5:
            _check_first_video(model, sample, where)
            return
        with _as_in_phase(model, phase):
            model.feed_data(sample)
        shapes = ', '.join(f'{key} {tuple(sample[key].shape)}' for key in ('lq', 'gt') if key in sample)
        name = type(model.net_g).__name__
        try_network(model.test, name, shapes, where, 'Correct network_g or color of the dataset.')
    if 'gt' in sample:
        _check_first_output(model, name, sample, where)
    forget_images(model)


def _is_tried(sample: dict[str, Any], phase: str) -> bool:
    """Whether a batch is one of pairs, of images or videos, or one of images that are restored without ground truth."""
    dimensions = sample['lq'].ndim if 'lq' in sample else 0
    return dimensions in (4, 5) if 'gt' in sample else dimensions == 4 and phase != 'train'


def _check_first_output(model: Any, name: str, sample: dict[str, Any], where: str) -> None:
    """Compare the output of the network for a batch with its ground truth."""
    refuse_other_shape(model.output.shape, model.gt.shape, name, where, 'Correct network_g, scale or the dataset.')
    pixel_opt = (model.opt.get('train') or {}).get('pixel_opt')
    if pixel_opt and not torch.isfinite(build_loss(pixel_opt)(model.output.float().cpu(), model.gt.cpu())).all():
        raise OptionError(where, 'a finite loss on the first batch', 'none', f'Look at {sample["gt_path"]}.')


@contextmanager
def _as_in_phase(model: Any, phase: str) -> Iterator[None]:
    """Let models that make their input in training, as Real-ESRGAN's do, take that of a validation as it is."""
    is_train, model.is_train = model.is_train, model.is_train and phase == 'train'
    try:
        yield
    finally:
        model.is_train = is_train


def _check_first_video(model: Any, sample: dict[str, Any], where: str) -> None:
    """Run the frames N x T x C x H x W through `net_g`; all of them or the middle one are compared with gt."""
    net, frames, gt = model.net_g, sample['lq'].to(model.device), sample['gt']
    name, given = type(net).__name__, f'lq {tuple(frames.shape)}, gt {tuple(gt.shape)}'
    with evaluating(net), torch.no_grad():
        output = try_network(lambda: net(frames), name, given, where, 'Correct network_g or the dataset.')
    if isinstance(output, torch.Tensor) and output.ndim == gt.ndim:
        refuse_other_shape(output.shape, gt.shape, name, where, 'Correct network_g, scale or the dataset.')


def check_first_batches(model: Any, blocks: Mapping[str, SampleDataset]) -> None:
    """`check_first_batch` of datasets by their paths in the option file.

    Left out are models of users that feed networks in a way of their own, and what models of videos validate: whole
    clips, which take long.
    """
    ways = [getattr(type(model), name, None) for name in ('feed_data', 'test')]
    if all(way is not None and is_known(way) for way in ways):
        for where, dataset in blocks.items():
            if dataset.opt.get('phase') == 'train' or is_measured_here(model):
                check_first_batch(model, dataset, where)


def check_warmup(model: Any, dataset: SampleDataset, warmup: Warmup) -> None:
    """Shuffle a first sample, and look for a loss that is left in the warm-up.

    Raises:
        DataError, OptionError: the sample is no pair of images, or the model has perceptual losses alone.
    """
    if warmup.intervals():
        has_perceptual(model)
        dataset[ScheduledIndex(0, seed=0, iteration=1, position=0, warmup=True)]


def check_everything(opt: Options) -> None:
    """What `--check` does: build everything, decode every image, run the first one; leaves no files behind.

    Args:
        opt: completed options that `check_options` accepted.
    """
    logger = get_root_logger()
    logger.setLevel(logging.INFO)
    set_random_seed(opt['manual_seed'])
    model = build_model(opt)
    workers = max(block.get('num_worker_per_gpu', 0) for block in opt['datasets'].values())
    datasets: dict[str, SampleDataset] = {}
    for key, block in opt['datasets'].items():
        dataset = datasets[key] = build_dataset(block, f'datasets.{key}')
        check_dataset(dataset, f'datasets.{key}')
        check_pixels(dataset, f'datasets.{key}', workers)
        if key == 'train' and opt['is_train']:
            check_warmup(model, dataset, build_warmup(dataset, opt))
        check_first_batch(model, dataset, f'datasets.{key}')
        if block['phase'] in ('val', 'test'):
            check_validation(model, dataset, (opt.get('val') or {}).get('metrics'))
        logger.info(f'datasets.{key}: {len(dataset)} images, all readable; the first one fits the network.')
    if opt['is_train']:
        validation = [each for key, each in datasets.items() if opt['datasets'][key]['phase'] in ('val', 'test')]
        warn_of_validation(datasets['train'], validation)
    logger.info(f'{opt["name"]}: options, files and the first batch are sound.')
