"""Run every region through all exits once: what each exit would have scored, missed and cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.errors import DataError
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.exit_costs import ExitCosts
from basicsr_ext.inference.exit_scores import ExitScore
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings

Clock = Callable[[], float]


@dataclass(frozen=True)
class Expense:
    """The cost of leaving by each exit, in one unit.

    Attributes:
        regular: of each exit by itself, per computed pixel of a region, (exits,).
        adaptive: the same with the tails and the scores of the exits passed, (exits,).
        total: what the sum over all regions is divided by.
    """

    regular: np.ndarray
    adaptive: np.ndarray
    total: float

    def times(self, factor: float) -> 'Expense':
        """The same, each figure multiplied."""
        return Expense(self.regular * factor, self.adaptive * factor, self.total)


@dataclass(frozen=True)
class Observations:
    """Regions of several images after each of the exits.

    Attributes:
        scores: what is compared with the threshold, regions x (exits - 1), float64.
        differences: squared differences to what the last exit restores, clipped to [0, 1], summed over the pixels with
            the weights of blending, regions x exits.
        pixels: computed for each region, with padding, (regions,).
        images: the number of the image of each region, ascending from 0, (regions,).
        values: pixels times channels of all restored images.
        macs: in parts of those of the full network on whole images.
        time: in milliseconds per megapixel of the input.
        fingerprint: of the input images.
    """

    scores: np.ndarray
    differences: np.ndarray
    pixels: np.ndarray
    images: np.ndarray
    values: int
    macs: Expense
    time: Expense
    fingerprint: str


@torch.no_grad()
def observe(
    net: ExitNetwork,
    images: Iterable[Tensor],
    settings: InferenceSettings,
    costs: ExitCosts,
    clock: Clock = perf_counter,
) -> Observations:
    """Cut images into regions as `restore` does, and pass them all through all exits.

    The times are the medians over the batches, a pixel, of each part of the network; the first batch runs twice, once
    to warm up.

    Args:
        net: in evaluation mode.
        images: C x H x W, [0, 1].
        settings: regions and score; neither pointer nor threshold is read.
        costs: of the network.
        clock: gives seconds.

    Raises:
        DataError: no image.
    """
    score = _ThresholdScore(settings.adaptive or AdaptiveSettings(threshold=0))
    like = next(p for p in net.parameters() if p.is_floating_point())  # type: ignore[attr-defined]
    watch = _Watch(like.device, clock)
    scores: list[np.ndarray] = []
    differences: list[np.ndarray] = []
    pixels: list[int] = []
    numbers: list[int] = []
    laps: list[np.ndarray] = []
    values, whole, inputs, digest = 0, 0, 0, blake2b(digest_size=16)
    for number, image in enumerate(images):
        digest.update(f'{tuple(image.shape)}'.encode() + image.contiguous().cpu().numpy().tobytes())
        height, width = image.shape[1:]
        grid = settings.grid(height, width)
        whole, inputs = whole + costs.pixels(height, width), inputs + height * width
        computed = costs.pixels(*grid.region_size)
        for places in grid.batches(1, settings.batch_limit(like.device.type)):
            for _ in range(1 if laps else 2):
                watch.lap()
                regions = grid.cut(image[None], places).to(like)
                outputs, batch_scores, times = _pass(net, regions, score, watch)
            scale = outputs[0].shape[-1] // regions.shape[-1]
            weights = _weights(grid.scaled(scale), places).to(like.device)
            scores.append(batch_scores.cpu().double().numpy())
            differences.append(_differences(outputs, weights))
            pixels += [computed] * len(places)
            numbers += [number] * len(places)
            laps.append(times / (computed * len(places)))
        values += outputs[0].shape[1] * height * width * scale**2
    if not laps:
        raise DataError('observe: expected at least one image, got none. Correct the dataset.')
    begin, steps, tails, scoring = np.split(
        np.median(laps, 0) * 1e3, (1, 1 + net.num_branches, 1 + 2 * net.num_branches)
    )
    return Observations(
        np.concatenate(scores),
        np.concatenate(differences),
        np.array(pixels),
        np.array(numbers),
        values,
        Expense(np.array(costs.regular), np.array(costs.adaptive), whole),
        Expense(begin + steps.cumsum() + tails, begin + (steps + tails + scoring).cumsum(), inputs / 1e6),
        digest.hexdigest(),
    )


class _ThresholdScore:
    """Scores in the unit of the threshold: parts of a reference if it is relative to one."""

    def __init__(self, settings: AdaptiveSettings) -> None:
        self.score: ExitScore = settings.exit_score()
        self.relative = settings.relative
        self.reference: Tensor | None = None

    def begin(self, images: Tensor) -> None:
        self.reference = None if self.relative is None else self.score(images, images)

    def __call__(self, restored: Tensor, previous: Tensor) -> Tensor:
        scores = self.score(restored, previous)
        reference = self.reference
        if reference is None:
            return scores
        if self.relative == 'previous':
            self.reference = scores
        # A score above 0 is above every multiple of a reference of 0, one of 0 above none.
        none = torch.where(scores > 0, torch.inf, -torch.inf).to(scores)
        return torch.where(reference > 0, scores / reference, none)


class _Watch:
    """Seconds between laps, work on a GPU included."""

    def __init__(self, device: torch.device, clock: Clock) -> None:
        self.device, self.clock, self.last = device, clock, 0.0

    def lap(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        before, self.last = self.last, self.clock()
        return self.last - before


def _pass(
    net: ExitNetwork, regions: Tensor, score: _ThresholdScore, watch: _Watch
) -> tuple[list[Tensor], Tensor, np.ndarray]:
    """Restored regions of each exit, their scores, regions x (exits - 1), seconds of start, steps, tails and scores."""
    state, previous = net.begin(regions), regions
    score.begin(regions)
    outputs: list[Tensor] = []
    scores: list[Tensor] = []
    begin, steps, tails, scoring = watch.lap(), [], [], []
    for branch in range(1, net.num_branches + 1):
        state = net.step(state)
        steps.append(watch.lap())
        current = net.restore(state)
        tails.append(watch.lap())
        if branch < net.num_branches:
            scores.append(score(current, previous))
        scoring.append(watch.lap())
        outputs.append(current)
        previous = current
    stacked = torch.stack(scores, 1) if scores else regions.new_empty(len(regions), 0)
    return outputs, stacked, np.array([begin, *steps, *tails, *scoring])


def _weights(grid: RegionGrid, places: list[tuple[int, int, int]]) -> Tensor:
    """The weight of each pixel of a region in the image, places x 1 x h x w."""
    down, across = grid.rows.weights(), grid.columns.weights()
    return torch.stack([torch.outer(down[row], across[column]) for _, row, column in places])[:, None].float()


def _differences(outputs: list[Tensor], weights: Tensor) -> np.ndarray:
    """Regions x exits."""
    clipped = [output.float().clamp(0, 1) for output in outputs]
    sums = [(weights * (output - clipped[-1]).square()).sum((1, 2, 3)) for output in clipped]
    return torch.stack(sums, 1).cpu().double().numpy()
