"""Choosing images together: by matching the gradient of a target, or by what others do with the same features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger

from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.jobs.rank.feature_sources import EncoderSource, GradientSource, Source
from basicsr_ext.jobs.rank.influence_method import complete_levels
from basicsr_ext.jobs.rank.method import Columns, Ranking, ranking_method
from basicsr_ext.options.load import Options
from basicsr_ext.selection.coreset.choice import Choice
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.coreset.stored import write_features, write_per_target
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.subsets.groups import with_groups


def _check(opt: Options, settings: CoresetSettings) -> None:
    if settings.features == 'gradients':
        complete_levels(opt, settings)


@ranking_method('matching', 'kcenter', 'herding', 'moderate', 'craig', 'stratified', 'el2n')
class CoresetRanking(Ranking):
    """Orders of the training images whose first K are chosen together, in features of gradients or of an encoder."""

    file = JobFile(
        job='rank',
        settings=CoresetSettings,
        datasets={'train': 'the images to choose from', 'test': 'the target, whose mean loss counts'},
        networks={'g': 'trained, at which gradients are taken', 'encoder': 'any network with features'},
        used=lambda settings: {'g' if settings.features == 'gradients' else 'encoder': False},
        defaults={'network_encoder': {'type': 'FilterBankEncoder'}},
        check=_check,
    )

    def __init__(self, opt: Options, settings: CoresetSettings) -> None:
        self.opt, self.settings = opt, settings
        kind: type[Source] = GradientSource if settings.features == 'gradients' else EncoderSource
        self.source = kind(opt, settings)
        self.items: Sequence[Item] = self.source.items
        if settings.groups is not None:
            self.items = with_groups(self.items, settings.groups, 'rank.groups')
        settings.check_pool(len(self.items), [item.group for item in self.items])

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        self.source.check(decode)

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""
        return self.source.identity(items)

    def columns(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        """See `Ranking`."""
        measured, notes = self.source.measure(folder)
        self.features = measured.whole
        groups = [item.group for item in self.items]
        choice = Choice(self.settings, measured, groups, self.opt['manual_seed'])
        found = choice.carry_over()
        if found is None:
            return choice.columns(), notes
        if self.opt['rank'] == 0:
            get_root_logger().info(found.sentence(self.settings.method))
            get_root_logger().info(found.line())
        return choice.columns(), {**notes, 'carry_over': vars(found)}

    def write_beside(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """See `Ranking`."""
        write_features(folder, self.items, self.features, identity)
        if self.settings.per_target:
            write_per_target(folder, self.items, self.source.target_items, self.features, identity)
