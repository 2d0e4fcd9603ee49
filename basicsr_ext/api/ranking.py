"""Rank the images of a dataset from Python."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from basicsr.losses import build_loss
from torch import nn

from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.networks.described import input_sides
from basicsr_ext.options.blocks import read_block
from basicsr_ext.selection.complexity.networks import SIDE, Scorer
from basicsr_ext.selection.complexity.scan import ComplexityReader, ComplexityScan
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.coreset.choice import Choice
from basicsr_ext.selection.coreset.gradients import measure_gradients
from basicsr_ext.selection.coreset.orders import ORDERS
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.coreset.stored import write_features
from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, per_image
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.first_stage import FirstStage, first_stage
from basicsr_ext.selection.influence.loss_curvature import unit_of
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.influence.tiling_choice import tiling_of
from basicsr_ext.selection.manifest import Manifest, fingerprint, read_manifest, write_manifest
from basicsr_ext.selection.ranks import ranks_of, score_columns

E = TypeVar('E', bound=InfluenceEngine)

OF_EACH = ('influence', 'random')  # rank every image alone, and are orders beside it


def rank(
    dataset: Any,
    target: Any = None,
    net: nn.Module | None = None,
    *,
    method: str = 'influence',
    output: str | os.PathLike[str] = 'ranking.parquet',
    seed: int = 0,
    **settings: Any,
) -> Manifest:
    """Rank the images of a dataset by their influence on a target, or by their complexity.

    Args:
        dataset: map-style; items are dicts with `lq` and `gt`, pairs `(lq, gt)`, or, for `complexity`, clean images;
            tensors C x H x W, RGB or grey, [0, 1].
        target: likewise; the images whose mean loss counts. Not for `complexity`, `loss` and `random`.
        net: trained on such pairs, on its device; for `complexity` with `criterion='scorer'` the scorer.
        method: `influence`, `graddot`, `loss`, `random` or `complexity`; or images chosen together: `matching`,
            `kcenter`, `herding`, `moderate`, `craig`, `stratified` or `el2n`, which ask for `size`.
        output: file of the ranking; `features.parquet` beside it holds what images were chosen together by.
        seed: of what is drawn.
        **settings: keys of the block `rank` of an option file, such as `iterations=40` or `criterion='std'`.

    Returns:
        The ranking, one row per image: `path`, the score under the name of the method, `rank` from 1 for the largest.
        `header['unit']` says what the score of `influence` or of images chosen together is.

    Raises:
        OptionError: a setting is wrong, or a target or network is missing.
        DataError: items that cannot be used.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(4)]
        >>> pairs = [((image + 0.1).clamp(0, 1), image) for image in images]
        >>> ranking = bx.rank(pairs, pairs[:2], torch.nn.Conv2d(3, 3, 3, padding=1), output=folder / 'ranking.parquet')
        >>> sorted(ranking.column('rank'))
        [1, 2, 3, 4]
    """
    pairs = OwnPairs(dataset, 'dataset')
    items = pairs.items()
    options = {'method': method, **settings}
    features, notes = None, {}
    with TemporaryDirectory() as folder:
        if method == 'complexity':
            values = _complexity(pairs, net, read_block(ComplexitySettings, options, 'rank'), Path(folder))
            columns: Any = {'complexity': values.tolist(), 'rank': ranks_of(values).tolist()}
        elif method in ORDERS and method not in OF_EACH:
            together = read_block(CoresetSettings, options, 'rank')
            together.check_pool(len(items), [item.group for item in items])
            engine = _engine(pairs, target, net, together, seed, Path(folder), FeatureEngine)
            measured = measure_gradients([engine], together)
            features, columns = measured.whole, Choice(together, measured, [], seed).columns()
            notes = _notes(engine, together, True)
        else:
            asked = read_block(RankSettings, options, 'rank')
            scoring = _engine(pairs, target, net, asked, seed, Path(folder), InfluenceEngine)
            stage = _first_stage(pairs, asked, seed, Path(folder, 'first_stage'), scoring.device)
            scoring.scored = scoring.scored if stage is None else stage.candidates
            if asked.settle is not None:
                asked.settle.number(len(items), len(scoring.scored))
            columns = score_columns(method, {'': scoring.scores()}, asked.dampings)
            columns = columns if stage is None else stage.of_all(columns)
            notes = _notes(scoring, asked, False) if method == 'influence' else {}
    made_from = {'options': {'rank': options}, 'train': {'fingerprint': fingerprint(items)}, **notes}
    if features is not None:
        write_features(Path(output).parent, items, features, {'method': method, 'seed': seed, **made_from})
    write_manifest(Path(output), items, columns, {'method': method, 'seed': seed, **made_from})
    return read_manifest(output)


def _notes(engine: InfluenceEngine, settings: RankSettings, together: bool) -> dict[str, Any]:
    unit = unit_of([engine.loss_curvature], str(settings.grad_loss['type']), together)
    return {'chosen': {'': engine.chosen}, 'unit': unit}


def _first_stage(
    pairs: OwnPairs, settings: RankSettings, seed: int, folder: Path, device: torch.device | str
) -> FirstStage | None:
    if settings.candidates is None:
        return None
    return first_stage(settings.candidates, CleanImages(pairs), FilterBankEncoder(), seed, folder, device)


def _complexity(pairs: OwnPairs, net: nn.Module | None, settings: ComplexitySettings, folder: Path) -> Any:
    if settings.source == 'restored':
        raise OptionError('source', "'gt' or 'lq'", "'restored'", 'Give a dataset of restored images.')
    if (net is None) == (settings.criterion == 'scorer'):
        expected = 'a scorer' if net is None else "none but for criterion='scorer'"
        raise OptionError('net', expected, type(net).__name__, 'Correct it.')
    scorer = None if net is None else Scorer(net, settings.precision == 'bfloat16')
    side = SIDE if scorer is None else scorer.side
    scan = ComplexityScan(ComplexityReader(WholeImages(pairs), len(pairs), settings, side), folder, None, scorer)
    scan.run()
    return scan.values()


def _engine(
    pairs: OwnPairs,
    target: Any,
    net: nn.Module | None,
    settings: RankSettings,
    seed: int,
    folder: Path,
    kind: type[E],
) -> E:
    if net is None:
        raise OptionError('net', f'a trained network for method={shown(settings.method)}', 'none', 'Give it.')
    if settings.levels or settings.groups is not None:
        raise OptionError('levels, groups', 'none from Python', 'some', 'Rank each level on its own.')
    if isinstance(settings, CoresetSettings) and settings.features == 'encoder':
        raise OptionError('features', 'gradients from Python', 'encoder', 'Write an option file for encoders.')
    if target is None and settings.method not in ('loss', 'random'):
        raise OptionError('target', f'a dataset for method={shown(settings.method)}', 'none', 'Give it.')
    aim = pairs if target is None else OwnPairs(target, 'target')
    device = next(net.parameters()).device
    derivatives = Derivatives(net, input_sides(net), settings.precision == 'bfloat16')
    loss = per_image(build_loss(settings.grad_loss).to(device))
    tiling = tiling_of(settings.tile_size, derivatives, aim[0]['lq'].shape[0], loss)
    train = ImageBatches(pairs, settings.batch_size, tiling, tiles_per_image=settings.tiles_per_image, seed=seed)
    test = ImageBatches(aim, settings.batch_size, tiling)
    batch = next(test.load([[0]]))[0].to(device)
    derivatives.leave_forward_mode_if_missing(batch, settings.solver != 'gauss_newton')
    return kind(derivatives, train, test, loss, settings, seed, folder, device)
