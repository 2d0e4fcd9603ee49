"""Run every region through all exits once: what each exit would have scored, missed and cost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter
from typing import Any

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


@dataclass(frozen=True)
class ImageObservation:
    """The regions of one image after each of the exits.

    Attributes:
        scores, differences: as in `Observations`, of its regions.
        laps: seconds per computed pixel of each part of the network, batches x parts.
        pixels: computed for each region, with padding.
        counts: pixels times channels of the restored image; pixels of the input; those computed for the whole image.
        digest: of the image.
    """

    scores: Tensor
    differences: Tensor
    laps: Tensor
    pixels: int
    counts: tuple[int, int, int]
    digest: str


class Observing:
    """Observes images one after another; what is observed can be kept and taken up again.

    The times are the medians over the batches, a pixel, of each part of the network; the first batch runs twice, once
    to warm up.

    Args:
        net: in evaluation mode.
        settings: regions and score; neither pointer nor threshold is read.
        costs: of the network.
        clock: gives seconds.

    Attributes:
        seen: what is observed of each image so far.
    """

    def __init__(
        self, net: ExitNetwork, settings: InferenceSettings, costs: ExitCosts, clock: Clock = perf_counter
    ) -> None:
        self.net, self.settings, self.costs = net, settings, costs
        self.score = _ThresholdScore(settings.adaptive or AdaptiveSettings(threshold=0))
        self.like = next(p for p in net.parameters() if p.is_floating_point())  # type: ignore[attr-defined]
        self.watch, self.is_warm = _Watch(self.like.device, clock), False
        self.seen: list[ImageObservation] = []

    def state(self) -> dict[str, Any]:
        """What `load` takes up."""
        return {'seen': [vars(image) for image in self.seen]}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what was observed before.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        exits = self.net.num_branches
        seen = [ImageObservation(**image) for image in state['seen']]
        for image in seen:
            regions, batches = len(image.scores), len(image.laps)
            shapes = ((regions, exits - 1), (regions, exits), (batches, 3 * exits + 1))
            for found, shape in zip((image.scores, image.differences, image.laps), shapes, strict=True):
                if tuple(found.shape) != shape or found.dtype != torch.float64 or not batches:
                    raise ValueError(f'{tuple(found.shape)} for {shape}')
            if not all(type(number) is int and number > 0 for number in (image.pixels, *image.counts)):
                raise ValueError(f'{image.pixels} and {image.counts} pixels')
            bytes.fromhex(image.digest)
        self.seen = seen

    @torch.no_grad()
    def add(self, image: Tensor) -> None:
        """Cut an image, C x H x W, [0, 1], into regions as `restore` does, and pass them all through all exits."""
        height, width = image.shape[1:]
        grid, whole = self.settings.grid(height, width), self.costs.pixels(height, width)
        computed = self.costs.pixels(*grid.region_size)
        scores, differences, laps = [], [], []
        for places in grid.batches(1, self.settings.batch_limit(self.like.device.type)):
            for _ in range(1 if self.is_warm else 2):
                self.watch.lap()
                regions = grid.cut(image[None], places).to(self.like)
                outputs, batch_scores, times = _pass(self.net, regions, self.score, self.watch)
            self.is_warm = True
            scale = outputs[0].shape[-1] // regions.shape[-1]
            weights = _weights(grid.scaled(scale), places).to(self.like.device)
            scores.append(batch_scores.cpu().double())
            differences.append(torch.from_numpy(_differences(outputs, weights)))
            laps.append(torch.from_numpy(times / (computed * len(places))))
        content = f'{tuple(image.shape)}'.encode() + image.contiguous().cpu().numpy().tobytes()
        self.seen.append(
            ImageObservation(
                torch.cat(scores),
                torch.cat(differences),
                torch.stack(laps),
                computed,
                (outputs[0].shape[1] * height * width * scale**2, height * width, whole),
                blake2b(content, digest_size=16).hexdigest(),
            )
        )

    def result(self) -> Observations:
        """All images together.

        Raises:
            DataError: there is none.
        """
        if not self.seen:
            raise DataError('observe', 'at least one image', 'none', 'Correct the dataset.')
        numbers = [len(image.scores) for image in self.seen]
        values, inputs, whole = (sum(counts) for counts in zip(*(image.counts for image in self.seen), strict=True))
        exits, costs = self.net.num_branches, self.costs
        laps = torch.cat([image.laps for image in self.seen]).numpy()
        begin, steps, tails, scoring = np.split(np.median(laps, 0) * 1e3, (1, 1 + exits, 1 + 2 * exits))
        digest = blake2b(''.join(image.digest for image in self.seen).encode(), digest_size=16)
        return Observations(
            torch.cat([image.scores for image in self.seen]).numpy(),
            torch.cat([image.differences for image in self.seen]).numpy(),
            np.repeat([image.pixels for image in self.seen], numbers),
            np.repeat(np.arange(len(numbers)), numbers),
            values,
            Expense(np.array(costs.regular), np.array(costs.adaptive), whole),
            Expense(begin + steps.cumsum() + tails, begin + (steps + tails + scoring).cumsum(), inputs / 1e6),
            digest.hexdigest(),
        )


def observe(
    net: ExitNetwork,
    images: Iterable[Tensor],
    settings: InferenceSettings,
    costs: ExitCosts,
    clock: Clock = perf_counter,
) -> Observations:
    """Observe all images, C x H x W, [0, 1]; see `Observing`.

    Raises:
        DataError: no image.
    """
    observing = Observing(net, settings, costs, clock)
    for image in images:
        observing.add(image)
    return observing.result()


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
