"""Repairs that let BasicSR 1.4.2 import and run on torch 2.4 to 2.13; the only place that touches its internals.

One rule: repair only where upstream raises, hangs or loses a run. Each repair stands under `@repair(where, code,
target)`: the upstream line, what stands there, and what is replaced; the first line of its docstring is the symptom.
The list `REPAIRS` holds them all. A replacement gets the original as its first argument, and the patched function keeps
it as `__wrapped__`. `BASICSR_EXT_COMPAT=0` turns every repair off.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import logging
import math
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.overrides import TorchFunctionMode

from basicsr_ext.errors import CheckpointError, DataError, NameClashError, UpstreamError, first_line

Function = Callable[..., Any]
SAVE_ATTEMPTS = 3  # as upstream
WAIT_FOR_VALIDATION = timedelta(days=7)


@dataclass(frozen=True)
class Repair:
    """One repair: an upstream line, the code on it, and the function that replaces `target` of that file."""

    where: str
    code: str
    target: str | None
    function: Function

    @property
    def module(self) -> str:
        return self.where.partition('.py:')[0].replace('/', '.').removesuffix('.__init__')

    @property
    def symptom(self) -> str:
        return (self.function.__doc__ or '').splitlines()[0]


REPAIRS: list[Repair] = []


def repair(where: str, code: str, target: str | None = None) -> Callable[[Function], Function]:
    """Enter a function into the table; without a target it runs once, before BasicSR is imported."""

    def enter(function: Function) -> Function:
        REPAIRS.append(Repair(where, code, target, function))
        return function

    return enter


def _is_off() -> bool:
    return os.environ.get('BASICSR_EXT_COMPAT') == '0'


def prepare() -> None:
    """Apply the repairs without which BasicSR does not import."""
    for entry in REPAIRS:
        if entry.target is None and not _is_off():
            entry.function()


def install() -> None:
    """Apply all other repairs that are not applied yet, to BasicSR as it was imported."""
    if _is_off():
        return
    # Counter: BasicSR's schedulers keep their milestones in one, and older torch does not load it with weights_only.
    torch.serialization.add_safe_globals([Counter])
    for entry in REPAIRS:
        if entry.target is not None:
            _replace(entry.module, entry.target, entry.function)
    _serve_moved_functions()


def _serve_moved_functions() -> None:
    """Give functions back to the module from which HAT and others import them: colours left it in BasicSR 1.4."""
    old, new = (importlib.import_module(f'basicsr.utils.{name}') for name in ('matlab_functions', 'color_util'))
    for name in ('rgb2ycbcr', 'bgr2ycbcr', 'ycbcr2rgb', 'ycbcr2bgr'):
        if not hasattr(old, name):
            setattr(old, name, getattr(new, name))


def explain_foreign(folder: Path, error: Exception) -> None:
    """Raise UpstreamError if the BasicSR that could not be imported is not the installed one.

    Checkouts of other projects often bring an older one in a folder `basicsr/`, which Python finds first from there.
    """
    installed = importlib.metadata.distribution('basicsr')
    if Path(str(installed.locate_file('basicsr'))).resolve() == folder.resolve():
        return
    files = [file for file in (folder / 'version.py', folder.parent / 'VERSION') if file.is_file()]
    found = re.search(r'\d+(\.\d+)+', ''.join(file.read_text(encoding='utf-8') for file in files))
    version = found[0] if found else 'one without a version'
    raise UpstreamError(
        'basicsr',
        f'BasicSR {installed.version}, which is installed',
        f'{version} in {folder} ({type(error).__name__}: {first_line(error)})',
        'Start in another folder, or call `basicsr-ext`, which does not look into the current one.',
    ) from error


def _replace(module_name: str, target: str, replacement: Function) -> None:
    """Put a wrapper of `replacement` in the place of `target` and wherever BasicSR imported it by value."""
    *owners, name = target.split('.')
    owner = functools.reduce(getattr, owners, importlib.import_module(module_name))
    original = vars(owner)[name]
    if hasattr(original, 'repaired_by'):
        return

    @functools.wraps(original)
    def repaired(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    repaired.repaired_by = replacement  # type: ignore[attr-defined]
    setattr(owner, name, repaired)
    for key, module in list(sys.modules.items()):
        if key.partition('.')[0] == 'basicsr' and getattr(module, '__dict__', {}).get(name) is original:
            setattr(module, name, repaired)


# ---- imports ----


class AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves modules that libraries removed; appended to `sys.meta_path`, it is asked only for missing ones."""

    # missing module -> (the module that holds its names today, {name there: name it had}); None makes a bare package
    ALIASES: ClassVar[dict[str, tuple[str, dict[str, str]] | None]] = {
        'torchvision.transforms.functional_tensor': ('torchvision.transforms._functional_tensor', {}),
        'scipy.ndimage.filters': ('scipy.ndimage', {}),
        'distutils': None,
        'distutils.version': ('packaging.version', {'Version': 'LooseVersion'}),
    }

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.ALIASES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=self.ALIASES[fullname] is None)

    def exec_module(self, module: ModuleType) -> None:
        alias = self.ALIASES[module.__name__]
        if alias is not None:
            source, renamed = alias
            names = vars(importlib.import_module(source))
            vars(module).update({renamed.get(k, k): v for k, v in names.items() if not k.startswith('__')})


@repair('basicsr/data/degradations.py:8', 'from torchvision.transforms.functional_tensor import')
@repair('basicsr/archs/arch_util.py:6', 'from distutils.version import LooseVersion')
@repair('basicsr/metrics/niqe.py:5', 'from scipy.ndimage.filters import convolve')
@repair('basicsr/data/data_util.py:275', 'from scipy.ndimage import filters')
def serve_removed_modules() -> None:
    """ModuleNotFoundError at import: torchvision 0.17, Python 3.12 and SciPy 2 removed the module."""
    if not any(type(finder).__qualname__ == AliasFinder.__qualname__ for finder in sys.meta_path):
        sys.meta_path.append(AliasFinder())


_libraries: list[torch.library.Library] = []  # an operator lives as long as the library that defines it


@repair('basicsr/archs/arch_util.py:4', 'import torchvision')
def define_missing_operators() -> None:
    """RuntimeError at import, operator torchvision::nms does not exist: a torchvision built for another torch."""
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        if not re.search(r'operator torchvision::q?nms does not exist', str(error)):
            raise
        for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
            del sys.modules[name]
        library = torch.library.Library('torchvision', 'FRAGMENT')
        for operator in ('nms', 'qnms'):
            library.define(f'{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
        _libraries.append(library)
        importlib.import_module('torchvision')


# ---- options and logger ----


@repair('basicsr/utils/options.py:88', "'--local_rank'", 'parse_options')
def parse_options(original: Function, *args: Any, **kwargs: Any) -> Any:
    """SystemExit, unrecognized arguments: --local-rank, as torch 2's launcher spells it."""
    argv = sys.argv
    sys.argv = [re.sub('^--local-rank(?==|$)', '--local_rank', word) for word in argv]
    try:
        return original(*args, **kwargs)
    finally:
        sys.argv = argv


@repair('basicsr/utils/options.py:20', 'from yaml import CLoader as Loader', 'ordered_yaml')
def ordered_yaml(original: Function) -> tuple[type, type]:
    """TypeError in Adam: `lr: 1e-4` is read as text. (The loader is also one that runs no code.)"""
    from basicsr_ext.options.load import OptionLoader

    return OptionLoader, original()[1]


@repair('basicsr/utils/options.py:73', ".isdigit() and value.count('.') < 2", '_postprocess_yml_value')
def postprocess_yml_value(original: Function, value: str) -> Any:
    """TypeError in Adam: `--force_yml train:optim_g:lr=1e-4` is read as text."""
    result = original(value)
    if isinstance(result, str) and re.fullmatch(r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?', result):
        return float(result) if re.search('[.eE]', result) else int(result)
    return result


@repair('basicsr/utils/logger.py:63', "opt['logger']['use_tb_logger']", 'MessageLogger.__init__')
def message_logger_init(original: Function, self: Any, opt: Any, *args: Any, **kwargs: Any) -> None:
    """KeyError: 'use_tb_logger' is missing in the options."""
    original(self, {**opt, 'logger': {'use_tb_logger': False, **opt['logger']}}, *args, **kwargs)


@repair('basicsr/utils/logger.py:138', 'wandb.util.generate_id()', 'init_wandb_logger')
def init_wandb_logger(original: Function, opt: Any) -> None:
    """AttributeError: a current wandb has no `util.generate_id`."""
    wandb = importlib.import_module('wandb')
    if not hasattr(wandb.util, 'generate_id'):
        wandb.util.generate_id = lambda: secrets.token_hex(4)
    original(opt)


@repair('basicsr/utils/registry.py:42', 'assert (name not in', 'Registry._do_register')
def do_register(original: Function, self: Any, name: str, obj: Any, suffix: str | None = None) -> None:
    """AssertionError that does not say whose names clash, also for a module that is merely reloaded.

    A name of ours that a user takes too is the user's, before or after; ours is then `NAME_basicsr_ext`.
    """
    full_name = f'{name}_{suffix}' if isinstance(suffix, str) else name
    there = self._obj_map.get(full_name)
    if there is not None and (_file(there), there.__qualname__) != (_file(obj), obj.__qualname__):
        if _is_ours(there) != _is_ours(obj):
            ours, users = (there, obj) if _is_ours(there) else (obj, there)
            self._obj_map.update({f'{full_name}_basicsr_ext': ours, full_name: users})
            logging.getLogger('basicsr').warning(
                f'{self._name} {full_name} is that of {_place(users)}; that of basicsr_ext is {full_name}_basicsr_ext.'
            )
            return
        raise NameClashError(
            f'{self._name} registry',
            f'one object named {full_name}',
            f'{_place(there)} and {_place(obj)}',
            'Rename yours.',
        )
    self._obj_map.pop(full_name, None)
    original(self, name, obj, suffix)


def _is_ours(obj: Any) -> bool:
    return str(obj.__module__).partition('.')[0] == 'basicsr_ext'


def _file(obj: Any) -> str:
    try:
        return inspect.getsourcefile(obj) or obj.__module__
    except (OSError, TypeError):  # typed at a prompt or built in
        return obj.__module__


def _place(obj: Any) -> str:
    try:
        return f'{_file(obj)}:{inspect.getsourcelines(obj)[1]}'
    except (OSError, TypeError):
        return f'{_file(obj)}:{obj.__qualname__}'


# ---- processes and devices ----


@repair('basicsr/utils/dist_util.py:24', 'set_device(rank % num_gpus)', '_init_dist_pytorch')
def init_dist_pytorch(original: Function, backend: str, **kwargs: Any) -> None:
    """ZeroDivisionError without a GPU; and with uneven nodes the global rank names a GPU that is taken."""
    from basicsr_ext.runtime import distributed

    distributed.start('pytorch', backend, **kwargs)


@repair('basicsr/utils/dist_util.py:43', 'set_device(proc_id % num_gpus)', '_init_dist_slurm')
def init_dist_slurm(original: Function, backend: str, port: int | None = None) -> None:
    """ZeroDivisionError under SLURM without a GPU."""
    from basicsr_ext.runtime import distributed

    distributed.start('slurm', backend, port)


@repair('basicsr/models/base_model.py:98', 'torch.cuda.current_device()', 'BaseModel.model_to_device')
def model_to_device(original: Function, self: Any, net: torch.nn.Module) -> torch.nn.Module:
    """AssertionError on CPU: DistributedDataParallel is given a CUDA device."""
    if not self.opt['dist'] or self.device.type != 'cpu':
        return original(self, net)
    return DistributedDataParallel(
        net.to(self.device), find_unused_parameters=self.opt.get('find_unused_parameters', False)
    )


@repair('basicsr/models/base_model.py:107', 'is not supperted yet', 'BaseModel.get_optimizer')
def get_optimizer(original: Function, self: Any, optim_type: str, params: Any, lr: float, **kwargs: Any) -> Any:
    """NotImplementedError: optimisers other than Adam."""
    from basicsr_ext.training import learning_rate

    if optim_type == 'Adam':
        return original(self, optim_type, params, lr, **kwargs)
    block = {'type': optim_type, 'lr': lr, **kwargs}
    return learning_rate.build(learning_rate.optimizer_class(block, 'the optimiser'), params, block)


@repair('basicsr/models/base_model.py:121', 'is not implemented yet', 'BaseModel.setup_schedulers')
def setup_schedulers(original: Function, self: Any) -> None:
    """NotImplementedError: schedules other than BasicSR's own."""
    from basicsr_ext.training import learning_rate

    block = self.opt['train']['scheduler']
    if block['type'] in learning_rate.BASICSR_SCHEDULERS:
        original(self)
        return
    kind = learning_rate.scheduler_class(block, 'train.scheduler')
    self.schedulers += [learning_rate.build(kind, optimizer, block) for optimizer in self.optimizers]


class OnTheCPU(TorchFunctionMode):
    """Keeps on the CPU what asks for CUDA; `to` gives a tensor of its own there too, as it does between devices."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `torch.overrides.TorchFunctionMode`."""
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return args[0]
        if kwargs.get('device') == 'cuda':
            kwargs['device'] = 'cpu'
        result = func(*args, **kwargs)
        return result.view_as(result) if func is torch.Tensor.to and result is args[0] else result


@repair('basicsr/models/realesrnet_model.py:26', '.cuda()', 'RealESRNetModel.__init__')
@repair('basicsr/models/realesrgan_model.py:27', '.cuda()', 'RealESRGANModel.__init__')
def build_degradations(original: Function, self: Any, opt: Any) -> None:
    """RuntimeError on CPU: what Real-ESRGAN degrades images with is put on a GPU."""
    with OnTheCPU() if opt['num_gpu'] == 0 else nullcontext():
        original(self, opt)


@repair('basicsr/models/realesrnet_model.py:42', '.cuda()', 'RealESRNetModel._dequeue_and_enqueue')
@repair('basicsr/models/realesrgan_model.py:43', '.cuda()', 'RealESRGANModel._dequeue_and_enqueue')
@repair('basicsr/models/video_base_model.py:33', "device='cuda'", 'VideoBaseModel.dist_validation')
@repair('basicsr/models/video_recurrent_model.py:106', 'squeeze_(0)', 'VideoRecurrentModel.dist_validation')
def stay_on_the_cpu(original: Function, self: Any, *args: Any, **kwargs: Any) -> Any:
    """RuntimeError on CPU: pools and metrics are on a GPU; frames lose a dimension in place, as `to` does not copy."""
    with OnTheCPU() if self.device.type == 'cpu' else nullcontext():
        return original(self, *args, **kwargs)


@repair('basicsr/utils/img_process_util.py:25', 'img.view(b * c, 1, ph, pw)', 'filter2D')
def filter_2d(original: Function, img: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """RuntimeError on CPU: padding keeps the order of channels in memory, which `view` does not take."""
    return original(img.contiguous(), kernel)


@functools.lru_cache(maxsize=1)
def _patient_group(world: dist.ProcessGroup) -> dist.ProcessGroup | None:
    """A group for waits that outlast the usual timeout; `world` is the cache key: a new world needs a new one."""
    return dist.new_group(backend='gloo', timeout=WAIT_FOR_VALIDATION)


@repair('basicsr/models/sr_model.py:133', "self.opt['rank'] == 0", 'SRModel.dist_validation')
@repair('basicsr/models/stylegan2_model.py:262', "self.opt['rank'] == 0", 'StyleGAN2Model.dist_validation')
def dist_validation(original: Function, self: Any, *args: Any, **kwargs: Any) -> None:
    """Timeout: rank 0 validates alone, through the DDP wrapper, while the others go on to a collective call."""
    group = _patient_group(dist.group.WORLD)
    if self.opt['rank'] == 0:
        wrapped = {k: v for k, v in vars(self).items() if isinstance(v, DataParallel | DistributedDataParallel)}
        vars(self).update({name: self.get_bare_model(net) for name, net in wrapped.items()})
        try:
            original(self, *args, **kwargs)
        finally:
            vars(self).update(wrapped)
    # Not in the `finally`: where rank 0 fails, its exit ends the wait of the others with an error.
    dist.barrier(group=group)


# ---- checkpoints ----


@repair('basicsr/train.py:85', 'torch.cuda.current_device()', 'load_resume_state')
def load_resume_state(original: Function, opt: Any) -> Any:
    """AssertionError on CPU; a truncated newest state ends the run; --auto_resume from another folder restarts at 0."""
    from basicsr.utils import check_resume

    from basicsr_ext.training.state import find_resume_state

    state = find_resume_state(opt)
    if state is not None:
        check_resume(opt, state['iter'])
        opt['resume_point'] = {'epoch': state['epoch'], 'iter': state['iter']}  # for create_train_val_dataloader
    return state


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _save(obj: object, path: str) -> None:
    """Write atomically; try again, as upstream does, where a network file system stumbles, but raise in the end."""
    from basicsr.utils import get_root_logger

    from basicsr_ext.runtime.checkpoint import atomic_torch_save

    for remaining in reversed(range(SAVE_ATTEMPTS)):
        try:
            return atomic_torch_save(obj, path)
        except CheckpointError as error:
            if remaining == 0:
                raise
            get_root_logger().warning(f'{error} Attempts left: {remaining}.')
            time.sleep(1)


@repair('basicsr/models/base_model.py:239', 'Just ignore it', 'BaseModel.save_network')
def save_network(
    original: Function, self: Any, net: Any, net_label: str, current_iter: int, param_key: Any = 'params'
) -> None:
    """A run is lost: a network that cannot be written is ignored, and a kill while writing leaves half a file."""
    from basicsr_ext.runtime.checkpoint import block_of, network_note, save_for_use

    if _rank() != 0:
        return
    nets = net if isinstance(net, list) else [net]
    keys = param_key if isinstance(param_key, list) else [param_key]
    checkpoint = {}
    for key, one in zip(keys, nets, strict=True):
        weights = self.get_bare_model(one).state_dict()
        weights.update({name: value.cpu() for name, value in weights.items()})  # keeps its `_metadata`
        checkpoint[key] = weights
    name = f'{net_label}_{"latest" if current_iter == -1 else current_iter}.pth'
    path = os.path.join(self.opt['path']['models'], name)
    _save({**checkpoint, **network_note(block_of(self.opt, net_label))}, path)
    save_for_use(self.opt, path, net_label, checkpoint)


@repair('basicsr/models/base_model.py:337', 'Just ignore it', 'BaseModel.save_training_state')
def save_training_state(original: Function, self: Any, epoch: int, current_iter: int) -> None:
    """A run is lost: a state that cannot be written is ignored, and a kill while writing leaves half a file."""
    if current_iter == -1 or _rank() != 0:
        return
    state = {
        'epoch': epoch,
        'iter': current_iter,
        'optimizers': [optimizer.state_dict() for optimizer in self.optimizers],
        'schedulers': [scheduler.state_dict() for scheduler in self.schedulers],
    }
    _save(state, os.path.join(self.opt['path']['training_states'], f'{current_iter}.state'))


@repair('basicsr/models/base_model.py:295', 'load_net[param_key]', 'BaseModel.load_network')
def load_network(
    original: Function, self: Any, net: Any, load_path: str, strict: bool = True, param_key: str | None = 'params'
) -> None:
    """KeyError: 'params' for a checkpoint that somebody else saved."""
    from basicsr.utils import get_root_logger

    from basicsr_ext.runtime.checkpoint import load_network_weights

    bare = self.get_bare_model(net)
    key = load_network_weights(bare, load_path, strict, param_key)
    get_root_logger().info(f'Loading {type(bare).__name__} model from {load_path}, with param key: [{key}].')


# ---- schedule and data ----


@repair('basicsr/models/lr_scheduler.py:88', 'restart_weights[idx]', 'CosineAnnealingRestartLR.get_lr')
def cosine_get_lr(original: Function, self: Any) -> list[float]:
    """TypeError one iteration after the last period; the rate now stays at its final value, eta_min."""
    if self.last_epoch > self.cumulative_period[-1]:
        return [self.eta_min for _ in self.base_lrs]
    return original(self)


@repair('basicsr/train.py:48', 'total_epochs = math.ceil(', 'create_train_val_dataloader')
def create_train_val_dataloader(original: Function, opt: Any, logger: Any) -> tuple[Any, ...]:
    """A run ends early, or after 0 iterations: epochs are counted with the last batch, which the loader drops.

    The same happens after a resume with a smaller batch: the epoch in the state is then beyond the last one.
    """
    train_loader, train_sampler, val_loaders, epochs, iterations = original(opt, logger)
    if len(train_loader) == 0:
        raise DataError(
            'datasets.train',
            f'at least one batch of {train_loader.batch_size} images per process',
            len(train_sampler),
            'Lower batch_size_per_gpu or raise dataset_enlarge_ratio.',
        )
    start = opt.get('resume_point', {'epoch': 0, 'iter': 0})
    needed = start['epoch'] + math.ceil((iterations - start['iter']) / len(train_loader))
    if needed != epochs:
        logger.info(f'Incomplete batches are dropped: {len(train_loader)} iterations per epoch, {needed} epochs.')
    return train_loader, train_sampler, val_loaders, needed, iterations


@repair('basicsr/data/__init__.py:83', "dataloader_args['persistent_workers']", 'build_dataloader')
def build_dataloader(original: Function, dataset: Any, dataset_opt: Any, *args: Any, **kwargs: Any) -> Any:
    """ValueError: persistent_workers needs workers, and validation never has any."""
    if dataset_opt['phase'] != 'train' or dataset_opt['num_worker_per_gpu'] == 0:
        dataset_opt = {**dataset_opt, 'persistent_workers': False}
    return original(dataset, dataset_opt, *args, **kwargs)


@repair('basicsr/data/data_util.py:228', 'assert input_name in input_paths', 'paired_paths_from_folder')
def paired_paths_from_folder(
    original: Function, folders: list[str], keys: list[str], filename_tmpl: str
) -> list[dict[str, str]]:
    """Hangs with many pairs: each name is looked for in a list of all, for hours where there are a million."""
    inputs, cleans = (
        [entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith('.')]
        for folder in folders
    )
    wanted = [filename_tmpl.format(stem) + ending for stem, ending in map(os.path.splitext, cleans)]
    if len(inputs) != len(cleans) or not set(wanted) <= set(inputs):
        return original(folders, keys, filename_tmpl)  # names what is wrong
    return [
        {f'{key}_path': os.path.join(folder, name) for key, folder, name in zip(keys, folders, pair, strict=True)}
        for pair in zip(wanted, cleans, strict=True)
    ]


@repair('basicsr/data/degradations.py:746', 'encode_param)', 'add_jpg_compression')
def add_jpg_compression(original: Function, img: Any, quality: float = 90) -> Any:
    """cv2.error: OpenCV 5 refuses a JPEG quality that is not an integer."""
    return original(img, int(quality))


@repair('basicsr/utils/file_client.py:112', 'lmdb.open(path', 'LmdbBackend.__init__')
def lmdb_backend_init(
    original: Function, self: Any, db_paths: Any, client_keys: Any = 'default', *args: Any, **kwargs: Any
) -> None:
    """lmdb.Error: two data sets, or a worker and its parent, open one path."""
    from basicsr_ext.images.lmdb_env import LmdbHandle, open_lmdb

    paths = [str(path) for path in (db_paths if isinstance(db_paths, list) else [db_paths])]
    keys = [client_keys] if isinstance(client_keys, str) else client_keys
    if args or kwargs or len(keys) != len(paths):  # not for the shared, read-only environment; upstream names the error
        return original(self, db_paths, client_keys, *args, **kwargs)
    original(self, [], [])
    self.db_paths = paths
    for key, path in zip(keys, paths, strict=True):
        open_lmdb(path)
        self._client[key] = LmdbHandle(path)
