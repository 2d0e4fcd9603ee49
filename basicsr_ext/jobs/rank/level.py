"""The levels of a ranking by influence: a network, the images to rank and a target each."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from basicsr.losses import build_loss

from basicsr_ext.data.file_checks import check_files
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.jobs.resumable import source_of
from basicsr_ext.networks.described import input_channels, input_sides
from basicsr_ext.networks.trained import device_of, trained_network
from basicsr_ext.options.calls import building
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options, find_file
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.selection.influence.batches import ImageBatches, Tiling
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss, per_image
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.influence.tiling_choice import tiling_of, without_margins
from basicsr_ext.selection.influence.trial import refuse_misfit, settle_forward_mode
from basicsr_ext.training.building import build_dataset

E = TypeVar('E', bound=InfluenceEngine)


class Level:
    """One network, one training set and one target.

    Args:
        name: of the level; empty for an ordinary ranking.
        opt: its completed options.
        settings: the block `rank`.
    """

    def __init__(self, name: str, opt: Options, settings: RankSettings) -> None:
        self.name, self.opt, self.settings = name, opt, settings
        self.device = device_of(opt)
        self.train, self.test = (build_dataset(opt['datasets'][key], f'datasets.{key}') for key in ('train', 'test'))
        self.items = inventory(self.train)
        self.net = trained_network(opt)
        sides = input_sides(self.net, opt['network_g'])
        self.derivatives = Derivatives(self.net, sides, settings.precision == 'bfloat16')

    def identity(self) -> dict[str, Any]:
        """What decides the scores beside the options."""
        return {
            'weights': {'network_g': weights_digest(self.net)},
            'train': source_of(self.train, self.items),
            'test': {'content': content_digest(self.test)},
        }

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        of_input = 'Correct network_g, color of the dataset or rank.tile_size.'
        of_output = 'Correct network_g, scale or the dataset.'
        for key, dataset in (('train', self.train), ('test', self.test)):
            if self.opt['rank'] == 0:
                check_files(dataset, f'datasets.{key}', decode, self.workers or None)
            tried = ImageBatches(dataset, self.settings.batch_size, without_margins(self.tiling))
            batch = next(tried.load([[0]]))[0].to(self.device)
            refuse_misfit(self.derivatives, batch, f'datasets.{key}', of_input, of_output)
        settle_forward_mode(self.derivatives, batch, self.settings.solver != 'gauss_newton')

    @cached_property
    def loss(self) -> ImageLoss:
        """Whose gradients are multiplied."""
        with building('rank.grad_loss', str(self.settings.grad_loss.get('type'))):
            return per_image(build_loss(self.settings.grad_loss).to(self.device))

    @cached_property
    def tiling(self) -> Tiling | int | None:
        """How large images are cut."""
        channels = input_channels(self.net, self.opt['network_g'])
        return tiling_of(self.settings.tile_size, self.derivatives, channels, self.loss)

    def engine(self, folder: Path, kind: type[E], scored: Sequence[int] | None = None) -> E:
        """What computes the scores or the features, with its state in a folder; of some images where they are named."""
        return kind(
            self.derivatives,
            self._batches('train', self.settings.tiles_per_image),
            self._batches('test'),
            self.loss,
            self.settings,
            self.opt['manual_seed'],
            folder,
            self.device,
            scored,
        )

    @property
    def workers(self) -> int:
        """Processes that read."""
        workers: int = self.opt['datasets']['train'].get('num_worker_per_gpu', 0)
        return workers

    def _batches(self, key: str, tiles: int | None = None) -> ImageBatches:
        dataset, seed = self.train if key == 'train' else self.test, self.opt['manual_seed']
        return ImageBatches(dataset, self.settings.batch_size, self.tiling, self.workers, tiles, seed)


def level_options(opt: Options, settings: RankSettings) -> Mapping[str, Options]:
    """Name -> options of each level, one named '' without `levels`.

    Raises:
        OptionError: two levels of one name, keys for a dataset that has several readers, a level without weights.
    """
    levels = {}
    for number, level in enumerate(settings.levels):
        if level.name in levels:
            raise OptionError(
                f'rank.levels.{number}.name', 'a name of its own', f'{shown(level.name)} again', 'Rename one.'
            )
        own = copy.deepcopy(opt)
        for key, dataset in own['datasets'].items():
            blocks = reader_blocks(dataset, key)
            if level.dataset and len(blocks) > 1:
                raise OptionError(
                    f'rank.levels.{number}.dataset',
                    f'one block that reads images in datasets.{key}, to which its keys belong',
                    len(blocks),
                    'Rank each group on its own, or leave the keys out.',
                )
            for reader, _ in blocks:
                reader.update(level.dataset)
        if level.pretrain_network_g is not None:
            own['path']['pretrain_network_g'] = find_file(level.pretrain_network_g)
        levels[level.name] = own
    levels = levels or {'': opt}
    for name, own in levels.items():
        if settings.method != 'random' and own['path'].get('pretrain_network_g') is None:
            where = f'rank.levels {name}: pretrain_network_g' if name else 'path.pretrain_network_g'
            raise OptionError(where, 'the weights of a trained network', 'none', 'Add them.')
    return levels
