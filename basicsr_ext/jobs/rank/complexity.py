"""The job `rank` with `method: complexity`: a dataset in, the order of its images by complexity out."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from basicsr.data import build_dataset
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from torch import nn

from basicsr_ext.data.file_checks import check_dataset, check_pixels
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.networks.trained import input_sides, trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.log import job_log
from basicsr_ext.runtime.unfinished import begin
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.complexity.networks import SIDE, Restoration, Scorer
from basicsr_ext.selection.complexity.scan import ComplexityReader, ComplexityScan
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.manifest import Item, fingerprint, manifest_header, write_manifest
from basicsr_ext.selection.ranks import ranks_of
from basicsr_ext.selection.subsets.groups import groups_digest, with_groups

OF_WORK = ('workers',)  # settings that change no result
OF_NETWORKS = ('batch_size', 'tile_size', 'tile_overlap', 'precision')  # nor these, without networks


def rank_complexity(opt: Options, settings: ComplexitySettings, only_check: bool = False) -> None:
    """Write `results/<name>/ranking.parquet`.

    Args:
        opt: completed and checked options.
        settings: the block `rank`.
        only_check: build and try everything, compute and write nothing.

    Raises:
        DataError, OptionError: images that cannot be used, a network that does not fit them.
        Interrupted: a stop was asked for; the state is saved.
    """
    folder = Path(opt['path']['results_root'])
    result, unfinished = folder / 'ranking.parquet', folder / 'unfinished'
    with job_log(opt, 'rank') as open_log_file:
        logger = get_root_logger()
        set_random_seed(opt['manual_seed'])
        dataset = scheduled(build_dataset(opt['datasets']['train']))
        items = inventory(dataset)
        if settings.groups is not None:
            items = with_groups(items, settings.groups, 'rank.groups')
        nets = {name: trained_network(opt, name) for name in settings.networks}
        scan = _scan(opt, settings, dataset, nets, unfinished)
        if only_check or nets:
            scan.try_first()
        if only_check:
            _check_images(opt, dataset)
            logger.info(f'{opt["name"]}: options, {len(items)} images and the first of them measured are sound.')
            return
        identity = _identity(opt, settings, dataset, items, nets)
        if not begin(result, unfinished, identity, manifest_header):
            return
        open_log_file()
        scan.run()
        if opt['rank'] == 0:
            values = scan.values()
            columns = {'complexity': values.tolist(), 'rank': ranks_of(values).tolist()}
            write_manifest(result, items, columns, identity)
            shutil.rmtree(unfinished)
            logger.info(f'{len(items)} images ranked: {result}')


def _scan(
    opt: Options, settings: ComplexitySettings, dataset: SampleDataset, nets: dict[str, nn.Module], folder: Path
) -> ComplexityScan:
    bfloat16 = settings.precision == 'bfloat16'
    restoration = scorer = None
    if 'g' in nets:
        sides = input_sides(nets['g'], opt['network_g'])
        restoration = Restoration(nets['g'], sides, settings.tile_size, settings.tile_overlap, bfloat16)
    if 'scorer' in nets:
        scorer = Scorer(nets['scorer'], bfloat16)
    side = SIDE if scorer is None else scorer.side
    reader = ComplexityReader(WholeImages(dataset), len(dataset), settings, side)
    return ComplexityScan(reader, folder, restoration, scorer)


def _check_images(opt: Options, dataset: SampleDataset) -> None:
    if opt['rank'] == 0:
        check_dataset(dataset, 'datasets.train')
        check_pixels(dataset, 'datasets.train')


def _identity(
    opt: Options, settings: ComplexitySettings, dataset: SampleDataset, items: list[Item], nets: dict[str, nn.Module]
) -> dict[str, Any]:
    """All that decides the result; neither the number of workers nor that of processes does."""
    without = OF_WORK if nets else OF_WORK + OF_NETWORKS
    networks = [f'network_{name}' for name in nets]
    return {
        'method': settings.method,
        'seed': opt['manual_seed'],
        'options': {
            'rank': {key: value for key, value in asdict(settings).items() if key not in without},
            **{key: opt[key] for key in ('datasets', *networks)},
        },
        'weights': {f'network_{name}': weights_digest(net) for name, net in nets.items()},
        'train': {
            'fingerprint': fingerprint(items),
            'content': content_digest(dataset),
            'groups': groups_digest(items),
        },
    }
