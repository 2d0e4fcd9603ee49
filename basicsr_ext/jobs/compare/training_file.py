"""The training file as a comparison reads it: its parts, and the options of one training."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.compare.contents import digest_of_weights
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.jobs.compare.schedule import at_length, warmup_at_length
from basicsr_ext.options.blocks import require
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import Options

WARMUP = 'PixelShuffleWarmupDataset'  # stands outermost, around what is compared
SAVES = 4  # saved states of a training, of which the last one is kept


def completed(opt: Options, root: Path) -> Options:
    """The options as a training would complete them, checked."""
    require(opt, ('name', 'model_type', 'datasets', 'network_g', 'train', 'logger'))
    found = deepcopy(opt)
    complete(found, root, is_train=True)
    checks.check_options(found)
    if 'train' not in found['datasets']:
        raise OptionError('datasets', 'train', ', '.join(found['datasets']), 'Name a file that trains.')
    return found


@dataclass(frozen=True)
class TrainingFile:
    """The parts of a training file.

    Attributes:
        opt: the options as they stand in it.
        train: the completed block `datasets.train`.
    """

    opt: Block
    train: Block

    @property
    def full_length(self) -> int:
        """Its iterations."""
        return int(self.opt['train']['total_iter'])

    @cached_property
    def loader(self) -> Block:
        """The keys that the loader reads."""
        return {key: value for key, value in self.train.items() if key in LOADER_KEYS}

    @cached_property
    def wrapper(self) -> Block:
        """The block of the warm-up that stands outermost, without what is inside; empty for none."""
        return {key: value for key, value in self._outer.items() if key != 'dataset'} if self._is_warm else {}

    @cached_property
    def pool(self) -> Block:
        """The block that reads all images."""
        if not self._is_warm:
            return self._outer
        inherited = {key: self._outer[key] for key in ('name', 'scale') if key in self._outer}
        return {**inherited, **self._outer['dataset']}

    @property
    def gt_size(self) -> int | None:
        """The side of training patches in the ground truth, where the pool names it."""
        block = self.pool
        while 'gt_size' not in block and isinstance(block.get('dataset'), dict):
            block = block['dataset']
        return block.get('gt_size')

    @cached_property
    def _outer(self) -> Block:
        return {key: value for key, value in self.train.items() if key not in (*LOADER_KEYS, 'phase')}

    @property
    def _is_warm(self) -> bool:
        return bool(self.train['type'] == WARMUP)

    def common(self, imports: list[str]) -> Block:
        """The keys that all jobs share, with further modules to import."""
        imports = [*(self.opt.get('imports') or []), *imports]
        kept = {'scale': self.opt['scale']} if 'scale' in self.opt else {}
        return {**kept, **({'imports': imports} if imports else {})}

    def weights_digests(self) -> list[str]:
        """Those of the files of weights that a training begins with."""
        paths = {key: value for key, value in (self.opt.get('path') or {}).items() if key.startswith('pretrain')}
        return [digest_of_weights(value, f'path.{key}') for key, value in sorted(paths.items()) if value]

    def wrapped(self, block: Block, factor: float) -> Block:
        """A block inside the warm-up of the training file, whose length is scaled."""
        if not self.wrapper:
            return block
        inside = {key: deepcopy(value) for key, value in block.items() if key != 'name'}
        return {**warmup_at_length(self.wrapper, factor), 'dataset': inside}

    def training(
        self, block: Block, iterations: int, seed: int, sets: Mapping[str, Block], every: int, saves_images: bool
    ) -> Block:
        """The options of one training.

        Args:
            block: that reads its images.
            iterations: of it, to which the schedule is brought.
            seed: of weights, noise and order.
            sets: that are validated.
            every: iterations between two validations.
            saves_images: whether restored images are kept.
        """
        opt: dict[str, Any] = deepcopy(self.opt)
        opt.update(manual_seed=seed, train=at_length(opt['train'], iterations))
        loader = {key: value for key, value in self.loader.items() if key != 'num_worker_per_gpu'}
        train = {**loader, **self.wrapped(block, iterations / self.full_length)}
        opt['datasets'] = {'train': train, **deepcopy(dict(sets))}
        opt['path'] = {**(opt.get('path') or {}), 'resume_state': None}
        save = -(-iterations // SAVES)
        opt['logger'] = {'print_freq': max(1, iterations // 20), 'save_checkpoint_freq': save, 'keep_last': 1}
        opt['val'] = {
            **_without_best_set(opt.get('val') or {}),
            'val_freq': every,
            'save_img': saves_images,
            'pbar': False,
        }
        opt.pop('dist_params', None)
        return opt


def _without_best_set(val: Block) -> Block:
    """The block `val` where one set alone chooses checkpoints: of `val.best` the metric is left."""
    kept = {key: value for key, value in val.items() if key != 'best'}
    metric = (val.get('best') or {}).get('metric')
    return {**kept, **({'best': {'metric': metric}} if metric else {})}
