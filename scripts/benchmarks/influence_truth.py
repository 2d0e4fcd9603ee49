"""How well estimates of influence predict retraining: ours, the influence paper's, baselines, kronfluence and dattri.

    python scripts/benchmarks/influence_truth.py --train datasets/BSD400_gray --test datasets/Set12

The truth are the test losses of networks trained on random halves of the images (retraining.py, half an hour; `--quick`
minutes). An estimate predicts that a half helps as much as the scores of its images add up to. LDS is Spearman's
correlation over the halves between that and minus the test loss (Park et al., "TRAK", 2023, Definition 2.3): of the
ensemble, where the scores of each seed's network are divided by their standard deviation and averaged and the losses
are averaged too, and of every seed alone. All estimates are treated alike. Ours is `gauss_newton` with its default
damping; of everything else the best of several dampings is taken, which nobody can know without the truth.

Writes lds.json and lds.png (lds_quick with `--quick`) beside the truth. Exit code 1 if the full truth gives ours less
than 0.65 or not more than every peer.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import peers
import retraining
from denoising import CropDataset, l1_loss, mse_loss
from retraining import Crops
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from basicsr_ext.errors import DivergenceError
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.selection.coreset.features import side_by_side
from basicsr_ext.selection.coreset.prediction import first_order, second_order
from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.feature_engine import FeatureEngine
from basicsr_ext.selection.influence.gradient_features import GradientFeatures
from basicsr_ext.selection.influence.settings import RankSettings

OURS = 'gauss_newton, default'
LEAST = 0.65
PEERS = ('kronfluence', 'dattri')

RELATIVE = [1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]  # to the largest eigenvalue
INDEFINITE = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]  # relative too; smaller ones leave negative eigenvalues
ABSOLUTE = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]  # the largest eigenvalue is about 10
SUMMED = [0, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100]  # absolute, of losses that are sums over pixels; 0 is automatic

Scores = Callable[[nn.Module, Crops, Crops], np.ndarray]  # network, train, test -> (images, dampings)


@dataclass(frozen=True)
class Result:
    """LDS of one estimate, at its best damping.

    Attributes:
        damping: None where there is none.
        lds: of the ensemble.
        seeds: of every seed.
        every: of the ensemble at every damping; None where the estimate does not exist.
    """

    damping: float | None
    lds: float
    seeds: list[float]
    every: dict[str, float | None]


def is_peer(name: str) -> bool:
    """Whether an estimate is another library's."""
    return name.startswith(PEERS)


def ours(net: nn.Module, train: Crops, test: Crops, settings: RankSettings, loss: ImageLoss) -> np.ndarray:
    """Scores by this package; columns of NaN where there is no solution."""
    batches = ImageBatches(CropDataset(train), len(train.gt)), ImageBatches(CropDataset(test), len(test.gt))
    with tempfile.TemporaryDirectory() as folder:
        engine = InfluenceEngine(Derivatives(net), *batches, loss, settings, 0, Path(folder))
        try:
            return engine.scores()
        except DivergenceError:
            return np.full((len(train.gt), len(settings.dampings)), np.nan)


def exact(net: nn.Module, train: Crops, test: Crops, dampings: Sequence[float]) -> np.ndarray:
    """Scores by this package with the exact Hessian, each damping alone, because small ones have no solution."""
    settings = (RankSettings(solver='cg', curvature_images=None, damping=damping) for damping in dampings)
    return np.concatenate([ours(net, train, test, one, mse_loss) for one in settings], 1)


def kronfluence(net: nn.Module, train: Crops, test: Crops, loss: peers.Loss) -> np.ndarray:
    """Scores by EK-FAC."""
    with tempfile.TemporaryDirectory() as folder:
        return peers.kronfluence_scores(net, train, test, SUMMED, loss, Path(folder))


def dattri(net: nn.Module, train: Crops, test: Crops, loss: peers.Loss) -> np.ndarray:
    """Scores by conjugate gradients."""
    return peers.dattri_cg_scores(net, train, test, ABSOLUTE, loss)


def estimates() -> dict[str, tuple[Scores, Sequence[float | None]]]:
    """Name -> scores and their dampings."""

    def by(loss: ImageLoss = l1_loss, **options: Any) -> tuple[Scores, Sequence[float | None]]:
        settings = RankSettings(curvature_images=None, **options)
        damped = settings.method == 'influence' and settings.solver != 'stochastic'
        return partial(ours, settings=settings, loss=loss), settings.dampings if damped else [None]

    paper = {
        f'paper, scale {scale}, {times} steps': by(solver='stochastic', scale=scale, times=times)
        for scale in (25, 'auto')
        for times in (400, 1000)
    }
    return {
        OURS: by(mse_loss),
        'gauss_newton': by(mse_loss, damping=RELATIVE),
        'gauss_newton, 40 products': by(mse_loss, damping=RELATIVE, iterations=40),
        'gauss_newton, L1 gradients': by(l1_loss, damping=RELATIVE),
        'cg (exact Hessian)': (partial(exact, dampings=INDEFINITE), INDEFINITE),
        **paper,
        'graddot (TracIn)': by(method='graddot'),
        'own loss': by(method='loss'),
        'random': by(method='random'),
        'kronfluence, EK-FAC': (partial(kronfluence, loss=functional.l1_loss), SUMMED),
        'kronfluence, EK-FAC, MSE gradients': (partial(kronfluence, loss=functional.mse_loss), SUMMED),
        'dattri, CG 20': (partial(dattri, loss=functional.l1_loss), ABSOLUTE),
        'dattri, CG 20, MSE gradients': (partial(dattri, loss=functional.mse_loss), ABSOLUTE),
    }


def correlation(scores: np.ndarray, losses: np.ndarray, halves: np.ndarray) -> float:
    """LDS of the scores (images,) and the test losses (halves,) of networks that saw the images halves (halves, K)."""
    return float(spearmanr(scores[halves].sum(1), -losses)[0])


def evaluate(scores: np.ndarray, dampings: Sequence[float | None], losses: np.ndarray, halves: np.ndarray) -> Result:
    """LDS of an estimate.

    Args:
        scores: (seeds, images, dampings).
        dampings: their values.
        losses: (seeds, halves).
        halves: (halves, K) indices of images.
    """
    ensemble = (scores / scores.std(1, keepdims=True)).mean(0)
    lds = np.array([correlation(column, losses.mean(0), halves) for column in ensemble.T])
    best = int(np.nan_to_num(lds, nan=-2).argmax())
    seeds = [correlation(one[:, best], own, halves) for one, own in zip(scores, losses, strict=True)]
    every = {
        f'{damping:g}': None if np.isnan(value) else float(value)
        for damping, value in zip(dampings, lds, strict=True)
        if damping is not None
    }
    return Result(dampings[best], float(lds[best]), seeds, every)


def second_orders(nets: Sequence[nn.Module], truth: retraining.Experiment, losses: np.ndarray) -> dict[str, Result]:
    """LDS of predictions from features: the sum of influences, then to second order, with the curvature of all images
    or with that of the half's own; at the default damping."""
    settings = RankSettings(curvature_images=None)
    spaces = [_space(net, truth.train, truth.test, settings) for net in nets]
    found = {}
    for name, predict, with_curvature in (
        ('features, first order', first_order, False),
        ('features, second order', second_order, False),
        ("features, second order, the half's curvature", second_order, True),
    ):
        seeds = [space.at(settings.dampings[0]) for space in spaces]
        if not with_curvature:
            seeds = [replace(features, curvature=None) for features in seeds]
        both = [
            float(spearmanr([predict(features, half) for half in truth.halves], own)[0])
            for features, own in zip([side_by_side(seeds), *seeds], [losses.mean(0), *losses], strict=True)
        ]
        found[name] = Result(settings.dampings[0], both[0], both[1:], {})
    return found


def _space(net: nn.Module, train: Crops, test: Crops, settings: RankSettings) -> GradientFeatures:
    batches = ImageBatches(CropDataset(train), len(train.gt)), ImageBatches(CropDataset(test), len(test.gt))
    with tempfile.TemporaryDirectory() as folder:
        engine = FeatureEngine(Derivatives(net), *batches, mse_loss, settings, 0, Path(folder))
        engine.directions = settings.iterations
        with Progress('Features', engine.work(), hidden=True) as progress:
            return engine.features(progress)[0]


def print_row(name: str, result: Result) -> None:
    """A line of the table, and one with every damping."""
    damping = '' if result.damping is None else f'{result.damping:g}'
    print(f'{name:<36}{damping:>8}{result.lds:8.2f}   {" ".join(f"{lds:5.2f}" for lds in result.seeds)}', flush=True)
    if len(result.every) > 1:
        print('    ' + ', '.join(f'{key}: {"-" if lds is None else f"{lds:.2f}"}' for key, lds in result.every.items()))


def draw(results: dict[str, Result], ceiling: float, path: Path) -> None:
    """Bars of the LDS, dots for single seeds."""
    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.35 * len(results) + 1))
    for place, (name, result) in enumerate(results.items()):
        colour = 'C1' if name == OURS else 'C2' if is_peer(name) else 'C0'
        axes.barh(place, result.lds, color=colour)
        axes.plot(result.seeds, [place] * len(result.seeds), 'k.', markersize=4)
    axes.axvline(ceiling, color='grey', linestyle=':', label='agreement of two seeds of the truth')
    axes.set_yticks(range(len(results)), results)
    axes.invert_yaxis()
    axes.set_xlabel('LDS of the ensemble (bars) and of single seeds (dots)')
    axes.legend(loc='lower center', bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=120, bbox_inches='tight')


def main() -> int:
    """Compare all estimates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    retraining.arguments(parser)
    args = parser.parse_args()
    truth = retraining.experiment(args.train, args.test, args.cache, args.quick, args.steps)
    nets, losses = truth.full_networks(), truth.losses()
    agreement = [float(spearmanr(a, b)[0]) for a, b in combinations(losses, 2)]
    print(
        f'{losses.shape[1]} halves; two seeds of the truth agree at {" ".join(f"{value:.2f}" for value in agreement)}'
    )
    print(f'{"estimate":<36}{"damping":>8}{"LDS":>8}   single seeds')
    results = {}
    for name, (scores, dampings) in estimates().items():
        if is_peer(name) and not peers.installed(name.split(',')[0]):
            print(f'{name:<36}not installed, see peers.py')
            continue
        every = np.stack([scores(net, truth.train, truth.test) for net in nets])
        results[name] = evaluate(every, dampings, losses, truth.halves)
        print_row(name, results[name])
    for name, result in second_orders(nets, truth, losses).items():
        results[name] = result
        print_row(name, result)
    rows = {name: vars(result) for name, result in results.items()}
    text = json.dumps({'halves': losses.shape[1], 'agreement': agreement, 'estimates': rows}, indent=1)
    name = 'lds_quick' if args.quick else 'lds'
    (truth.cache / f'{name}.json').write_text(text + '\n')
    draw(results, float(np.mean(agreement)), truth.cache / f'{name}.png')
    best_peer = max((result.lds for name, result in results.items() if is_peer(name)), default=-1.0)
    return int(not args.quick and (results[OURS].lds < LEAST or results[OURS].lds <= best_peer))


if __name__ == '__main__':
    sys.exit(main())
