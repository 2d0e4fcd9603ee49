"""Ranking by influence on a target, and its baselines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.shared_files import note_of
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import BasicsrExtError, OptionError
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.jobs.overlaps import warn_of_target
from basicsr_ext.jobs.rank.level import E, Level, level_options
from basicsr_ext.jobs.rank.method import Columns, Ranking, ranking_method
from basicsr_ext.jobs.resumable import identity
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.coreset.features import side_by_side
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.coreset.stored import write_per_target
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.first_stage import FirstStage, first_stage
from basicsr_ext.selection.influence.loss_curvature import SCORES, unit_of
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.ranks import score_columns
from basicsr_ext.selection.subsets.groups import groups_digest


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
        scored = len(self.items) if settings.candidates is None else settings.candidates.number(len(self.items))
        if settings.settle is not None:
            settings.settle.number(len(self.items), scored)
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
        stage = self._first_stage(folder / 'first_stage')
        engines = self.engines(folder, InfluenceEngine, stage.candidates if stage else None)
        with self.progress(engines) as progress:
            scores = {name: engine.scores(progress) for name, engine in engines.items()}
        columns = score_columns(self.settings.method, scores, self.settings.dampings)
        return stage.of_all(columns) if stage else columns, self.notes(engines)

    def _first_stage(self, folder: Path) -> FirstStage | None:
        """Choose the images to score by the clean ones, which all levels share; None where all are scored."""
        settings, level = self.settings.candidates, next(iter(self.levels.values()))
        if settings is None:
            return None
        pictures, seed = CleanImages(scheduled(level.train)), self.opt['manual_seed']
        stage = first_stage(settings, pictures, FilterBankEncoder(), seed, folder, level.device, level.workers)
        get_root_logger().info(f'{stage.number} of {len(self.items)} images are scored, chosen by {settings.by}.')
        return stage

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

    def engines(self, folder: Path, kind: type[E], scored: Sequence[int] | None = None) -> dict[str, E]:
        """An engine for each level, with its state in a folder; of some images where they are named."""
        return {name: level.engine(folder / name, kind, scored) for name, level in self.levels.items()}

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
