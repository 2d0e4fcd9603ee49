"""The job `rank`: training images in, their order of influence on a test set, or of complexity, out."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from basicsr.data import build_dataset
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from torch import Tensor, nn

from basicsr_ext.data.file_checks import check_dataset, check_pixels
from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.rank.complexity import rank_complexity
from basicsr_ext.jobs.rank.complexity_options import parse_complexity_options
from basicsr_ext.jobs.rank.options import method_of, parse_rank_options
from basicsr_ext.networks.trained import device_of, input_sides, trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.log import job_log
from basicsr_ext.runtime.unfinished import begin
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.influence.batches import Batch, ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.manifest import Item, fingerprint, manifest_header, write_manifest
from basicsr_ext.selection.ranks import score_columns
from basicsr_ext.selection.subsets.groups import groups_digest, with_groups


def rank_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Rank as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    try:
        work = _work(root_path, argv)
        return interrupt.run(work, 'Stopped. What is done is saved; the same command continues.')
    finally:
        distributed.stop()


def _work(root_path: str | os.PathLike[str], argv: Sequence[str] | None) -> Callable[[], None]:
    """What the method of the option file is, with its options read."""
    if method_of(argv) == 'complexity':
        opt, complexity, args = parse_complexity_options(root_path, argv)
        return lambda: rank_complexity(opt, complexity, only_check=args.check)
    levels, settings, args = parse_rank_options(root_path, argv)
    return lambda: rank(levels, settings, only_check=args.check)


def rank(levels: dict[str, Options], settings: RankSettings, only_check: bool = False) -> None:
    """Write `results/<name>/ranking.parquet`.

    Args:
        levels: name -> completed and checked options; one for an ordinary ranking.
        settings: the block `rank`.
        only_check: build and try everything, compute and write nothing.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
    """
    opt = next(iter(levels.values()))
    folder = Path(opt['path']['results_root'])
    result, unfinished = folder / 'ranking.parquet', folder / 'unfinished'
    with job_log(opt, 'rank') as open_log_file:
        set_random_seed(opt['manual_seed'])
        rankings = {name: Ranking(name, level, settings) for name, level in levels.items()}
        items = _common_items(rankings)
        if settings.groups is not None:
            items = with_groups(items, settings.groups, 'rank.groups')
        for ranking in rankings.values():
            ranking.check(decode=only_check)
        logger = get_root_logger()
        if only_check:
            logger.info(f'{opt["name"]}: options, {len(items)} images and the network are sound.')
            return
        identity = {
            'method': settings.method,
            'seed': opt['manual_seed'],
            'options': {
                'rank': asdict(settings),
                **{key: opt[key] for key in ('network_g', 'datasets')},
            },
            'levels': {name: ranking.identity() for name, ranking in rankings.items()},
            'groups': groups_digest(items),
        }
        if not begin(result, unfinished, identity, manifest_header):
            return
        open_log_file()
        engines = {name: ranking.engine(unfinished / name) for name, ranking in rankings.items()}
        scores = {name: engine.scores() for name, engine in engines.items()}
        if opt['rank'] == 0:
            chosen = {name: engine.chosen for name, engine in engines.items()}
            columns = score_columns(settings.method, scores, settings.dampings)
            write_manifest(result, items, columns, {**identity, 'chosen': chosen})
            shutil.rmtree(unfinished)
            logger.info(f'{len(items)} images ranked: {result}')


class Ranking:
    """One network, one training set and one test set.

    Args:
        name: of the level; empty for an ordinary ranking.
        opt: completed and checked options.
        settings: the block `rank`.
    """

    def __init__(self, name: str, opt: Options, settings: RankSettings) -> None:
        self.name, self.opt, self.settings = name, opt, settings
        self.device = device_of(opt)
        self.train, self.test = (build_dataset(opt['datasets'][key]) for key in ('train', 'test'))
        self.items = inventory(self.train)
        self.net = trained_network(opt)
        sides = input_sides(self.net, opt['network_g'])
        self.derivatives = Derivatives(self.net, sides, settings.precision == 'bfloat16')

    def identity(self) -> dict[str, Any]:
        """What decides the scores beside the options."""
        return {
            'weights': weights_digest(self.net),
            'train': {'fingerprint': fingerprint(self.items), 'content': content_digest(self.train)},
            'test': {'content': content_digest(self.test)},
        }

    def check(self, decode: bool) -> None:
        """Look at all files, and run the network on the first images.

        Args:
            decode: decode every image.

        Raises:
            DataError, OptionError: files that cannot be used, a network that does not fit them.
        """
        for key, dataset in (('train', self.train), ('test', self.test)):
            if self.opt['rank'] == 0:
                check_dataset(dataset, f'datasets.{key}')
                if decode:
                    check_pixels(dataset, f'datasets.{key}')
            batch = next(self._batches(dataset).load([[0]]))[0].to(self.device)
            self._check_shapes(batch, f'datasets.{key}')
        missing = self.derivatives.leave_forward_mode_if_missing(batch, self.settings.solver != 'gauss_newton')
        if missing is not None:
            get_root_logger().warning(
                f'{type(self.net).__name__} has no forward-mode derivative, gradients are taken instead, which takes '
                f'longer ({missing})'
            )

    def _check_shapes(self, batch: Batch, where: str) -> None:
        name = type(self.net).__name__
        try:
            shape = self.derivatives.output_shape(batch)
        except RuntimeError as error:
            raise OptionError(
                f'{where}: expected input that {name} takes, got {tuple(batch.lq.shape)} and '
                f'{str(error).splitlines()[0]}. Correct network_g, color of the dataset or rank.tile_size.'
            ) from error
        if shape != batch.gt.shape:
            raise OptionError(
                f'{where}: expected output of {name} of the shape of gt {tuple(batch.gt.shape)}, got {tuple(shape)}. '
                'Correct network_g, scale or the dataset.'
            )

    def engine(self, folder: Path) -> InfluenceEngine:
        """What computes the scores, with its state in a folder."""
        return InfluenceEngine(
            self.derivatives,
            self._batches(self.train),
            self._batches(self.test),
            per_image(build_loss(self.settings.grad_loss)),
            self.settings,
            self.opt['manual_seed'],
            folder,
            self.device,
            f'{self.name} ' if self.name else '',
        )

    def _batches(self, dataset: SampleDataset) -> ImageBatches:
        workers = self.opt['datasets']['train'].get('num_worker_per_gpu', 0)
        return ImageBatches(dataset, self.settings.batch_size, self.settings.tile_size, workers)


def per_image(loss: nn.Module) -> ImageLoss:
    """A loss of BasicSR, which averages over a batch, for each image: (N, C, H, W) twice to (N,)."""

    def losses(output: Tensor, gt: Tensor) -> Tensor:
        return torch.stack([loss(output[i : i + 1], gt[i : i + 1]) for i in range(len(output))])

    return losses


def _common_items(rankings: dict[str, Ranking]) -> list[Item]:
    """The images, which have to be the same at all levels."""
    first, *others = rankings.values()
    for other in others:
        if other.items != first.items:
            raise OptionError(
                f'rank.levels {other.name}.dataset: expected the training images of {first.name}, got others. '
                'Levels may differ in weights and degradation only.'
            )
    return first.items
