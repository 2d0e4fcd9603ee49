"""Where the features of a choice of images come from: gradients of a restoration network, or an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.file_checks import check_files
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.shared_files import note_of
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.jobs.overlaps import warn_of_target
from basicsr_ext.jobs.rank.influence_method import InfluenceRanking
from basicsr_ext.jobs.resumable import identity, source_of
from basicsr_ext.networks.encoder import encoder_network
from basicsr_ext.networks.trained import device_of
from basicsr_ext.options.load import Options
from basicsr_ext.selection.coreset.choice import Measured, parts_of
from basicsr_ext.selection.coreset.encoder_features import EncoderScan, standardised
from basicsr_ext.selection.coreset.features import Features
from basicsr_ext.selection.coreset.gradients import measure_gradients
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.subsets.groups import groups_digest
from basicsr_ext.training.building import build_dataset


class Source(ABC):
    """Images to choose from, a target, and features of both.

    Attributes:
        items: the images to choose from.
        target_items: the target's.
    """

    items: Sequence[Item]
    target_items: Sequence[Item]

    @abstractmethod
    def __init__(self, opt: Options, settings: CoresetSettings) -> None: ...

    @abstractmethod
    def check(self, decode: bool) -> None:
        """See `Ranking`."""

    @abstractmethod
    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""

    @abstractmethod
    def measure(self, folder: Path) -> tuple[Measured, dict[str, Any]]:
        """The features, and notes for the header of the ranking.

        Args:
            folder: for the state of unfinished work.

        Raises:
            Interrupted: a stop was asked for; the state is saved.
        """


class GradientSource(Source):
    """Gradients at one or several networks, in the metric of the curvature."""

    def __init__(self, opt: Options, settings: CoresetSettings) -> None:
        self.settings = settings
        self.ranking = InfluenceRanking(opt, settings)
        self.items, self.target_items = self.ranking.items, self.ranking.target_items

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        self.ranking.check(decode)

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""
        return self.ranking.identity(items)

    def measure(self, folder: Path) -> tuple[Measured, dict[str, Any]]:
        """See `Source`."""
        engines = self.ranking.engines(folder, FeatureEngine)
        measured = measure_gradients(list(engines.values()), self.settings, hidden=self.ranking.opt['rank'] > 0)
        return measured, self.ranking.notes(engines)


class EncoderSource(Source):
    """Mean and standard deviation of each channel of an encoder, in units of their spread over the pool."""

    def __init__(self, opt: Options, settings: CoresetSettings) -> None:
        self.opt, self.settings = opt, settings
        blocks = opt['datasets']
        self.train, self.test = (scheduled(build_dataset(blocks[key], f'datasets.{key}')) for key in ('train', 'test'))
        self.items, self.target_items = inventory(self.train), inventory(self.test)
        self.net = encoder_network(opt)
        self.workers = opt['datasets']['train'].get('num_worker_per_gpu', 0)

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        for key, dataset in (('train', self.train), ('test', self.test)):
            if self.opt['rank'] == 0:
                check_files(dataset, f'datasets.{key}', decode, self.workers)
            self._scan(key, Path()).try_first()
        if self.opt['rank'] == 0:
            warn_of_target(self.train, self.test)

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""
        return identity(
            self.settings.method,
            self.opt,
            {'rank': self.settings},
            {'encoder': self.net},
            train=source_of(self.train, items),
            test={'content': content_digest(self.test)},
            groups=groups_digest(items),
        )

    def measure(self, folder: Path) -> tuple[Measured, dict[str, Any]]:
        """See `Source`."""
        images, targets = (self._scan(key, folder / key).values() for key in ('train', 'test'))
        features = Features(standardised(images, images), standardised(targets, images))
        parts = parts_of(self.settings, len(targets))
        return Measured(features, parts, [features] * len(parts)), {'target': note_of(self.test)}

    def _scan(self, key: str, folder: Path) -> EncoderScan:
        dataset = self.train if key == 'train' else self.test
        return EncoderScan(CleanImages(dataset), self.net, folder, key, device_of(self.opt), self.workers)
