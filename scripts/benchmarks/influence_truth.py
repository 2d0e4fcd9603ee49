"""How well estimates of influence predict retraining: ours, the influence paper's, baselines, kronfluence and dattri.

    python scripts/benchmarks/influence_truth.py --task gray

The truth are the test losses of networks trained on random halves of the images (retraining.py, a quarter of an hour a
task on two cores; `--quick` minutes). An estimate predicts that a half helps as much as the scores of its images add up
to. LDS is Spearman's correlation over the halves between that and minus the test loss (Park et al., "TRAK", 2023,
Definition 2.3): of the ensemble, where the scores of each seed's network are divided by their standard deviation and
averaged and the losses are averaged too, and of every seed alone. All estimates are treated alike. Ours is
`gauss_newton` with its default damping; of everything else the best of several dampings is taken, which nobody can know
without the truth.

Intervals hold 95 of 100 bootstrap draws of the halves (2,000 draws), for the LDS and, on the same draws, for what ours
has more. Costs are seconds at one damping over those of a forward and backward pass over all training and test images.

Writes lds.json and lds.png (lds_quick with `--quick`) beside the truth. Exit code 1 if the full truth gives ours less
than 0.7, or the lower end of its interval is not above the LDS of every peer.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import peers
import peers_dattri
import retraining
import torch
from denoising import CropDataset, l1_loss, mse_loss
from retraining import Crops
from scipy.stats import rankdata, spearmanr
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
LEAST = 0.7
DRAWS = 2000
PEERS = ('kronfluence', 'dattri')

RELATIVE = [1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]  # to the largest eigenvalue
INDEFINITE = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]  # relative too; smaller ones leave negative eigenvalues
ABSOLUTE = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]  # the largest eigenvalue is about 10
SUMMED = [0, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100]  # absolute, of losses that are sums over pixels; 0 is automatic

PROJECTED = [1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-4]  # absolute, of gradients over the root of their number
FISHER = [1e-2, 1e-1, 1]  # relative to the mean eigenvalue of a layer

Dampings = Sequence[float | None]  # None where there is none
Scores = Callable[[nn.Module, Crops, Crops, Dampings], np.ndarray]  # network, train, test -> (images, dampings)


@dataclass(frozen=True)
class Result:
    """LDS of one estimate, at its best damping.

    Attributes:
        damping: None where there is none.
        lds: of the ensemble.
        interval: of it.
        less: interval of what ours has more.
        seeds: of every seed.
        cost: in passes over the images; None where it was not measured.
        every: of the ensemble at every damping; None where the estimate does not exist.
    """

    damping: float | None
    lds: float
    interval: tuple[float, float]
    less: tuple[float, float]
    seeds: list[float]
    cost: float | None
    every: dict[str, float | None]


def is_peer(name: str) -> bool:
    """Whether an estimate is another library's."""
    return name.startswith(PEERS)


def ours(
    net: nn.Module, train: Crops, test: Crops, dampings: Dampings, settings: RankSettings, loss: ImageLoss
) -> np.ndarray:
    """Scores by this package; columns of NaN where there is no solution."""
    if None not in dampings:
        settings = replace(settings, damping=list(dampings))
    batches = ImageBatches(CropDataset(train), len(train.gt)), ImageBatches(CropDataset(test), len(test.gt))
    with tempfile.TemporaryDirectory() as folder:
        engine = InfluenceEngine(Derivatives(net), *batches, loss, settings, 0, Path(folder))
        try:
            return engine.scores()
        except DivergenceError:
            return np.full((len(train.gt), len(settings.dampings)), np.nan)


def exact(net: nn.Module, train: Crops, test: Crops, dampings: Dampings) -> np.ndarray:
    """Scores by this package with the exact Hessian, each damping alone, because small ones have no solution."""
    settings = RankSettings(solver='cg', curvature_images=None)
    return np.concatenate([ours(net, train, test, [damping], settings, mse_loss) for damping in dampings], 1)


def kronfluence(net: nn.Module, train: Crops, test: Crops, dampings: Dampings, loss: peers.Loss) -> np.ndarray:
    """Scores by EK-FAC."""
    with tempfile.TemporaryDirectory() as folder:
        return peers.kronfluence_scores(net, train, test, dampings, loss, Path(folder))


def estimates() -> dict[str, tuple[Scores, Dampings]]:
    """Name -> scores and their dampings."""

    def by(loss: ImageLoss = l1_loss, **options: Any) -> tuple[Scores, Dampings]:
        settings = RankSettings(curvature_images=None, **options)
        damped = settings.method == 'influence' and settings.solver != 'stochastic'
        return partial(ours, settings=settings, loss=loss), settings.dampings if damped else [None]

    paper = {
        f'paper, scale {scale}, {times} steps': by(solver='stochastic', scale=scale, times=times)
        for scale in (25, 'auto')
        for times in (400, 1000)
    }
    others = {
        'kronfluence, EK-FAC': (kronfluence, SUMMED),
        'dattri, CG 20': (peers_dattri.cg_scores, ABSOLUTE),
        'dattri, TRAK': (peers_dattri.trak_scores, PROJECTED),
        'dattri, LoGra': (peers_dattri.logra_scores, FISHER),
    }
    losses = {'': functional.l1_loss, ', MSE gradients': functional.mse_loss}
    return {
        OURS: by(mse_loss),
        'gauss_newton': by(mse_loss, damping=RELATIVE),
        'gauss_newton, 40 products': by(mse_loss, damping=RELATIVE, iterations=40),
        'gauss_newton, L1 gradients': by(l1_loss, damping=RELATIVE),
        'cg (exact Hessian)': (exact, INDEFINITE),
        **paper,
        'graddot (TracIn)': by(method='graddot'),
        'own loss': by(method='loss'),
        'random': by(method='random'),
        **{
            f'{name}{kind}': (partial(scores, loss=loss), dampings)
            for name, (scores, dampings) in others.items()
            for kind, loss in losses.items()
        },
    }


def epoch_seconds(net: nn.Module, truth: retraining.Experiment) -> float:
    """Of a forward and backward pass over the training and the test images: the median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for crops in (truth.train, truth.test):
            loss = functional.l1_loss(net(crops.lq), crops.gt)
            torch.autograd.grad(loss, list(net.parameters()))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


@dataclass(frozen=True)
class Judge:
    """What predictions are compared with.

    Attributes:
        losses: (seeds, halves) test losses.
        halves: (halves, K) indices of images.
        draws: (draws, halves) indices of halves.
    """

    losses: np.ndarray
    halves: np.ndarray
    draws: np.ndarray

    def predicted(self, scores: np.ndarray) -> np.ndarray:
        """The sums of the scores (seeds, images) of an ensemble over the halves."""
        ensemble = (scores / scores.std(1, keepdims=True)).mean(0)
        return np.asarray(ensemble[self.halves].sum(1))

    def lds(self, predicted: np.ndarray) -> float:
        """Of the ensemble, for predictions (halves,)."""
        return float(spearmanr(predicted, -self.losses.mean(0))[0])

    def drawn(self, predicted: np.ndarray) -> np.ndarray:
        """The LDS of every draw of halves."""
        return _correlations(predicted[self.draws], -self.losses.mean(0)[self.draws])

    def result(
        self,
        damping: float | None,
        predicted: np.ndarray,
        seeds: Sequence[np.ndarray],
        reference: np.ndarray | None,
        cost: float | None = None,
        every: dict[str, float | None] | None = None,
    ) -> Result:
        """Of predictions (halves,) of the ensemble and of every seed; `reference` are ours, None for ours itself."""
        drawn = self.drawn(predicted)
        less = (drawn if reference is None else self.drawn(reference)) - drawn
        own = [float(spearmanr(one, -losses)[0]) for one, losses in zip(seeds, self.losses, strict=True)]
        return Result(damping, self.lds(predicted), _interval(drawn), _interval(less), own, cost, every or {})


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlations of rows."""
    ranks = [rankdata(rows, axis=1) for rows in (first, second)]
    centred = [rows - rows.mean(1, keepdims=True) for rows in ranks]
    lengths = [np.linalg.norm(rows, axis=1) for rows in centred]
    return np.asarray((centred[0] * centred[1]).sum(1) / (lengths[0] * lengths[1]))


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def best_damping(scores: np.ndarray, dampings: Dampings, judge: Judge) -> tuple[int, dict[str, float | None]]:
    """The index of the damping of the highest LDS, and the LDS of all; scores are (seeds, images, dampings)."""
    lds = np.array([judge.lds(judge.predicted(scores[..., column])) for column in range(len(dampings))])
    every = {
        f'{damping:g}': None if np.isnan(value) else float(value)
        for damping, value in zip(dampings, lds, strict=True)
        if damping is not None
    }
    return int(np.nan_to_num(lds, nan=-2).argmax()), every


def second_orders(
    nets: Sequence[nn.Module], truth: retraining.Experiment, judge: Judge, reference: np.ndarray
) -> dict[str, Result]:
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
        ensemble, *single = (
            -np.array([predict(features, half) for half in truth.halves]) for features in [side_by_side(seeds), *seeds]
        )
        found[name] = judge.result(settings.dampings[0], ensemble, single, reference)
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
    cost = '' if result.cost is None else f'{result.cost:.1f}'
    ends = [f'{low:.2f} to {high:.2f}' for low, high in (result.interval, result.less)]
    seeds = ' '.join(f'{lds:5.2f}' for lds in result.seeds)
    print(f'{name:<46}{damping:>8}{result.lds:8.3f}{ends[0]:>16}{ends[1]:>17}{cost:>8}   {seeds}', flush=True)
    if len(result.every) > 1:
        print('    ' + ', '.join(f'{key}: {"-" if lds is None else f"{lds:.2f}"}' for key, lds in result.every.items()))


def draw(results: dict[str, Result], ceiling: float, path: Path) -> None:
    """Bars of the LDS, dots for single seeds."""
    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.35 * len(results) + 1))
    for place, (name, result) in enumerate(results.items()):
        colour = 'C1' if name == OURS else 'C2' if is_peer(name) else 'C0'
        low, high = result.interval
        axes.barh(place, result.lds, color=colour)
        axes.plot([low, high], [place, place], color='grey', linewidth=3)
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
    parser.add_argument(
        '--only', nargs='+', default=[''], metavar='NAME', help='beginnings of names; ours is there too'
    )
    args = parser.parse_args()
    truth = retraining.experiment(args.task, args.data, args.cache, args.quick, args.halves, args.steps)
    nets, losses = truth.full_networks(), truth.losses()
    draws = np.random.default_rng(0).integers(losses.shape[1], size=(DRAWS, losses.shape[1]))
    judge, epoch = Judge(losses, truth.halves, draws), epoch_seconds(nets[0], truth)
    agreement = [float(spearmanr(a, b)[0]) for a, b in combinations(losses, 2)]
    print(
        f'{args.task}: {losses.shape[1]} halves, {len(nets)} seeds; '
        f'two seeds of the truth agree at {min(agreement):.2f} to {max(agreement):.2f}'
    )
    print(f'{"estimate":<46}{"damping":>8}{"LDS":>8}{"interval":>16}{"ours less it":>17}{"cost":>8}   single seeds')
    results: dict[str, Result] = {}
    reference = None
    for name, (scores, dampings) in estimates().items():
        if name != OURS and not name.startswith(tuple(args.only)):
            continue
        if is_peer(name) and not peers.installed(name.split(',')[0]):
            print(f'{name:<46}not installed, see peers.py')
            continue
        every = np.stack([scores(net, truth.train, truth.test, dampings) for net in nets])
        best, table = best_damping(every, dampings, judge)
        start = time.perf_counter()
        scores(nets[0], truth.train, truth.test, dampings[best : best + 1])
        cost = (time.perf_counter() - start) / epoch
        ensemble, *single = (judge.predicted(part) for part in [every[..., best], *every[:, None, :, best]])
        results[name] = judge.result(dampings[best], ensemble, single, reference, cost, table)
        reference = ensemble if reference is None else reference
        print_row(name, results[name])
    if 'features'.startswith(tuple(args.only)):
        for name, result in second_orders(nets, truth, judge, reference).items():
            results[name] = result
            print_row(name, result)
    rows = {name: vars(result) for name, result in results.items()}
    text = json.dumps({'halves': losses.shape[1], 'agreement': agreement, 'estimates': rows}, indent=1)
    name = 'lds_quick' if args.quick else 'lds'
    (truth.cache / f'{name}.json').write_text(text + '\n')
    draw(results, float(np.mean(agreement)), truth.cache / f'{name}.png')
    best_peer = max((result.lds for name, result in results.items() if is_peer(name)), default=-1.0)
    ours_low = results[OURS].interval[0]
    return int(not args.quick and (results[OURS].lds < LEAST or ours_low <= best_peer))


if __name__ == '__main__':
    sys.exit(main())
