"""Ranking by the complexity of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from basicsr_ext.data.file_checks import check_files
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.jobs.rank.method import Columns, Ranking, ranking_method
from basicsr_ext.jobs.resumable import identity, source_of
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.dataset_blocks import reader_blocks, stacks_inputs
from basicsr_ext.options.load import Options
from basicsr_ext.selection.complexity.networks import SIDE, Restoration, Scorer
from basicsr_ext.selection.complexity.scan import ComplexityReader, ComplexityScan
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.manifest import Item
from basicsr_ext.selection.ranks import ranks_of
from basicsr_ext.selection.subsets.groups import groups_digest
from basicsr_ext.training.building import build_dataset

OF_WORK = ('workers',)  # settings that change no result
OF_NETWORKS = ('batch_size', 'tile_size', 'tile_overlap', 'precision')  # nor these, without networks


def _refuse_no_images(opt: Options, settings: ComplexitySettings) -> None:
    """Images less a mean, as stock datasets can give them, and stacked ones are no images to measure."""
    if settings.source == 'gt':
        return
    for reader, where in reader_blocks(opt['datasets']['train'], 'datasets.train'):
        if settings.source == 'lq' and stacks_inputs(reader):
            raise OptionError(
                'rank.source', f'gt or restored, as {where}.dataroot_lq names several folders', 'lq', 'Change it.'
            )
        for key in ('mean', 'std'):
            if reader.get(key) is not None:
                raise OptionError(
                    f'{where}.{key}', f'images in [0, 1] with rank.source: {settings.source}', reader[key], 'Remove it.'
                )


@ranking_method('complexity')
class ComplexityRanking(Ranking):
    """The complexity of clean, degraded or restored images."""

    file = JobFile(
        job='rank',
        settings=ComplexitySettings,
        datasets={'train': 'the images to rank'},
        networks={'g': 'restores what is measured (source: restored)', 'scorer': 'measures (criterion: scorer)'},
        used=lambda settings: dict.fromkeys(settings.networks, True),
        check=_refuse_no_images,
    )

    def __init__(self, opt: Options, settings: ComplexitySettings) -> None:
        self.opt, self.settings = opt, settings
        self.dataset = scheduled(build_dataset(opt['datasets']['train'], 'datasets.train'))
        self.items = inventory(self.dataset)
        self.nets = {name: trained_network(opt, name) for name in settings.networks}

    def check(self, decode: bool) -> None:
        """See `Ranking`."""
        if decode or self.nets:
            self._scan(Path()).try_first()
        if decode and self.opt['rank'] == 0:
            check_files(self.dataset, 'datasets.train', decode, self.settings.workers)

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """See `Ranking`."""
        without = OF_WORK if self.nets else OF_WORK + OF_NETWORKS
        source = {**source_of(self.dataset, items), 'groups': groups_digest(items)}
        return identity('complexity', self.opt, {'rank': self.settings}, self.nets, without, train=source)

    def columns(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        """See `Ranking`."""
        scan = self._scan(folder)
        scan.run()
        values = scan.values()
        return {'complexity': values.tolist(), 'rank': ranks_of(values).tolist()}, {}

    def _scan(self, folder: Path) -> ComplexityScan:
        settings, nets = self.settings, self.nets
        bfloat16 = settings.precision == 'bfloat16'
        restoration = scorer = None
        if 'g' in nets:
            sides = input_sides(nets['g'], self.opt['network_g'])
            restoration = Restoration(nets['g'], sides, settings.tile_size, settings.tile_overlap, bfloat16)
        if 'scorer' in nets:
            scorer = Scorer(nets['scorer'], bfloat16)
        side = SIDE if scorer is None else scorer.side
        reader = ComplexityReader(WholeImages(self.dataset), len(self.dataset), settings, side)
        return ComplexityScan(reader, folder, restoration, scorer)
