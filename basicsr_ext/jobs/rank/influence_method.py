"""Ranking by influence on a target, and its baselines."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from basicsr.losses import build_loss

from basicsr_ext.data.file_checks import check_files
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.shared_files import note_of
from basicsr_ext.errors import BasicsrExtError, OptionError, shown
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.jobs.overlaps import warn_of_target
from basicsr_ext.jobs.rank.method import Columns, Ranking, ranking_method
from basicsr_ext.jobs.resumable import identity, source_of
from basicsr_ext.networks.described import input_channels, input_sides
from basicsr_ext.networks.trained import device_of, trained_network
from basicsr_ext.options.calls import building
from basicsr_ext.options.dataset_blocks import reader_blocks
from basicsr_ext.options.load import Options, find_file
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.coreset.features import side_by_side
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.coreset.stored import write_per_target
from basicsr_ext.selection.influence.batches import ImageBatches, Tiling
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss, per_image
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.loss_curvature import SCORES, unit_of
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.influence.tiling_choice import tiling_of, without_margins
from basicsr_ext.selection.influence.trial import refuse_misfit, settle_forward_mode
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.ranks import score_columns
from basicsr_ext.selection.subsets.groups import groups_digest
from basicsr_ext.training.building import build_dataset

E = TypeVar('E', bound=InfluenceEngine)


def complete_levels(opt: Options, settings: RankSettings) -> None:
    """Check every level as an option file of its own."""
    for name, level in level_options(opt, settings).items():
        try:
            checks.check_parts(level)
        except BasicsrExtError as error:
            raise (error.below(f'rank.levels {name}: ') if name else error) from None


def _check(opt: Options, settings: RankSettings) -> None:
    complete_levels(opt, settings)
    if settings.per_target and (settings.method != 'influence' or settings.solver == 'stochastic'):
        raise OptionError(
            'rank.per_target',
            'false without method: influence and solver: gauss_newton or cg',
            f'true with {settings.method} and {settings.solver}',
            'Correct one of them.',
        )


@ranking_method('influence', 'graddot', 'loss', 'random')
class InfluenceRanking(Ranking):
    """The influence of training images on the mean loss of a target, at one or several levels."""

    file = JobFile(
        job='rank',
        settings=RankSettings,
        datasets={'train': 'the images to rank', 'test': 'the target, whose mean loss counts'},
        networks={'g': 'trained, at which gradients are taken'},
        used=lambda settings: {'g': False},  # each level may have weights of its own
        check=_check,
    )

    def __init__(self, opt: Options, settings: RankSettings) -> None:
        self.opt, self.settings = opt, settings
        self.levels = {name: Level(name, own, settings) for name, own in level_options(opt, settings).items()}
        first, *others = self.levels.values()
        for other in others:
            if other.items != first.items:
                raise OptionError(
                    f'rank.levels {other.name}.dataset',
                    f'the training images of {first.name}',
                    'others',
                    'Levels may differ in weights and degradation only.',
                )
        self.items = first.items
        self.has_target = settings.method not in ('loss', 'random')
        self.has_unit = settings.method not in ('graddot', 'loss', 'random')  # that of the loss, if it has curvature

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        for level in self.levels.values():
            level.check(decode)
        if self.has_target and self.opt['rank'] == 0:
            warn_of_target(level.train, level.test)

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""
        levels = {name: level.identity() for name, level in self.levels.items()}
        groups = groups_digest(items)
        scores: dict[str, Any] = {'scores': SCORES} if self.has_unit else {}
        return identity(self.settings.method, self.opt, {'rank': self.settings}, levels=levels, groups=groups, **scores)

    def columns(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        """See `Ranking`."""
        if self.settings.per_target:
            return self._with_targets(folder)
        engines = self.engines(folder, InfluenceEngine)
        with self.progress(engines) as progress:
            scores = {name: engine.scores(progress) for name, engine in engines.items()}
        return score_columns(self.settings.method, scores, self.settings.dampings), self.notes(engines)

    def write_beside(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """See `Ranking`."""
        if self.settings.per_target:
            write_per_target(folder, self.items, self.target_items, self.features, identity)

    def _with_targets(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        engines = self.engines(folder, FeatureEngine)
        with self.progress(engines) as progress:
            spaces = {name: engine.features(progress)[0] for name, engine in engines.items()}
        features = {
            name: [space.at(damping) for damping in self.settings.dampings_for(space.krylov.ritz_values)]
            for name, space in spaces.items()
        }
        self.features = side_by_side([first for first, *_ in features.values()])
        scores = {
            name: np.stack([each.influence for each in own], 1) / len(self.items) for name, own in features.items()
        }
        return score_columns(self.settings.method, scores, self.settings.dampings), self.notes(engines)

    @property
    def target_items(self) -> Sequence[Item]:
        """The images of the target."""
        return inventory(next(iter(self.levels.values())).test)

    def engines(self, folder: Path, kind: type[E]) -> dict[str, E]:
        """An engine for each level, with its state in a folder."""
        return {name: level.engine(folder / name, kind) for name, level in self.levels.items()}

    def progress(self, engines: Mapping[str, InfluenceEngine]) -> Progress:
        """A bar over the work of all levels."""
        work = sum(engine.work() for engine in engines.values())
        return Progress('Ranking', work, unit='derivative', hidden=self.opt['rank'] > 0)

    def notes(self, engines: Mapping[str, InfluenceEngine]) -> dict[str, Any]:
        """What the header of the manifest tells: what `auto` became, what the scores are, the files of the target."""
        notes: dict[str, Any] = {'chosen': {name: engine.chosen for name, engine in engines.items()}}
        if self.has_unit:
            curvatures = [engine.loss_curvature for engine in engines.values()]
            loss, together = str(self.settings.grad_loss['type']), isinstance(self.settings, CoresetSettings)
            notes['unit'] = unit_of(curvatures, loss, together)
        if self.has_target:
            notes['target'] = note_of(next(iter(self.levels.values())).test)
        return notes


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
                check_files(dataset, f'datasets.{key}', decode)
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

    def engine(self, folder: Path, kind: type[E]) -> E:
        """What computes the scores or the features, with its state in a folder."""
        return kind(
            self.derivatives,
            self._batches(self.train),
            self._batches(self.test),
            self.loss,
            self.settings,
            self.opt['manual_seed'],
            folder,
            self.device,
        )

    def _batches(self, dataset: SampleDataset) -> ImageBatches:
        workers = self.opt['datasets']['train'].get('num_worker_per_gpu', 0)
        return ImageBatches(dataset, self.settings.batch_size, self.tiling, workers)


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
