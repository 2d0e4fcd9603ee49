"""Run every region through all exits once: what each exit would have scored, missed and cost."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.errors import DataError
from basicsr_ext.inference.adaptive import ExitNetwork, ThresholdScores
from basicsr_ext.inference.exit_costs import ExitCosts
from basicsr_ext.inference.exit_scores import EXIT_SCORES, region_scores
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings

Clock = Callable[[], float]


@dataclass(frozen=True)
class Expense:
    """The cost of leaving by each exit, in one unit.

    Attributes:
        regular: of each exit by itself, per computed pixel of a region, (exits,).
        adaptive: the same with the tails and the scores of the exits passed, as a threshold needs them, (exits,).
        planned: `regular` with the scores by which a budget is spent, (exits,).
        total: what the sum over all regions is divided by.
    """

    regular: np.ndarray
    adaptive: np.ndarray
    planned: np.ndarray
    total: float

    def of(self, settings: InferenceSettings) -> np.ndarray:
        """That of settings, (exits,)."""
        if settings.adaptive is None:
            return self.regular
        return self.adaptive if settings.tails_passed else self.planned

    def times(self, factor: float) -> 'Expense':
        """The same, each figure multiplied."""
        return Expense(self.regular * factor, self.adaptive * factor, self.planned * factor, self.total)


@dataclass(frozen=True)
class Observations:
    """Regions of several images after each of the exits.

    Attributes:
        scores: what is compared with the threshold, regions x (exits - 1), float64.
        looks: scores of the regions after the first stage, see `region_scores`, regions x names.
        names: of the scores in `looks`.
        differences: squared differences to what the last exit restores, clipped to [0, 1], summed over the pixels with
            the weights of blending, regions x exits.
        truth: the same to the ground truth, regions x exits; None if an image has none.
        pixels: computed for each region, with padding, (regions,).
        images: the number of the image of each region, ascending from 0, (regions,).
        whole: pixels computed for each whole image, (images,).
        values: pixels times channels of all restored images.
        macs: in parts of those of the full network on whole images.
        time: in milliseconds per megapixel of the input.
        fingerprint: of the input images.
    """

    scores: np.ndarray
    looks: np.ndarray
    names: list[str]
    differences: np.ndarray
    truth: np.ndarray | None
    pixels: np.ndarray
    images: np.ndarray
    whole: np.ndarray
    values: int
    macs: Expense
    time: Expense
    fingerprint: str

    def looks_by(self, names: Sequence[str]) -> np.ndarray:
        """The columns of `looks` of some scores, regions x scores."""
        return self.looks[:, [self.names.index(name) for name in names]]


@dataclass(frozen=True)
class ImageObservation:
    """The regions of one image after each of the exits.

    Attributes:
        scores, looks, differences: as in `Observations`, of its regions.
        truth: the same, without columns where there is no ground truth.
        laps: seconds per computed pixel of each part of the network, batches x parts.
        pixels: computed for each region, with padding.
        counts: pixels times channels of the restored image; pixels of the input; those computed for the whole image.
        digest: of the image.
    """

    scores: Tensor
    looks: Tensor
    differences: Tensor
    truth: Tensor
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
        settings: regions and score; neither pointer nor threshold nor budget is read.
        costs: of the network.
        clock: gives seconds.

    Attributes:
        seen: what is observed of each image so far.
    """

    def __init__(
        self, net: ExitNetwork, settings: InferenceSettings, costs: ExitCosts, clock: Clock = perf_counter
    ) -> None:
        self.net, self.settings, self.costs = net, settings, costs
        adaptive = settings.adaptive or AdaptiveSettings(threshold=0)
        self.rule, self.names = ThresholdScores(adaptive), list(EXIT_SCORES)
        self.look = partial(region_scores, [adaptive.with_arguments(name) for name in self.names])
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
            shapes = (
                (regions, exits - 1), (regions, len(self.names)), (regions, exits),
                (regions, image.truth.shape[1] and exits), (batches, 3 * exits + 2),
            )  # fmt: skip
            parts = (image.scores, image.looks, image.differences, image.truth, image.laps)
            for found, shape in zip(parts, shapes, strict=True):
                if tuple(found.shape) != shape or found.dtype != torch.float64 or not batches:
                    raise ValueError(f'{tuple(found.shape)} for {shape}')
            if not all(type(number) is int and number > 0 for number in (image.pixels, *image.counts)):
                raise ValueError(f'{image.pixels} and {image.counts} pixels')
            bytes.fromhex(image.digest)
        self.seen = seen

    def add(self, image: Tensor, truth: Tensor | None = None) -> None:
        """Observe the next image, as `observed`, and keep that."""
        self.seen.append(self.observed(image, truth))

    @torch.no_grad()
    def observed(self, image: Tensor, truth: Tensor | None = None) -> ImageObservation:
        """Cut an image into regions as `restore` does, and pass them all through all exits; it is not kept.

        Args:
            image: C x H x W, [0, 1].
            truth: what it should become, C x (H scale) x (W scale), if that is known.
        """
        height, width = image.shape[1:]
        grid, whole = self.settings.grid(height, width), self.costs.pixels(height, width)
        computed = self.costs.pixels(*grid.region_size)
        seen: dict[str, list[Tensor]] = {'scores': [], 'looks': [], 'differences': [], 'truth': [], 'laps': []}
        for places in grid.batches(1, self.settings.batch_limit(self.like.device.type)):
            for _ in range(1 if self.is_warm else 2):
                self.watch.lap()
                regions = grid.cut(image[None], places).to(self.like)
                outputs, scores, looks, times = self._pass(regions)
            self.is_warm = True
            scale = outputs[0].shape[-1] // regions.shape[-1]
            scaled = grid.scaled(scale)
            weights = _weights(scaled, places).to(self.like.device)
            clipped = [output.float().clamp(0, 1) for output in outputs]
            targets = None if truth is None else scaled.cut(truth[None], places).to(clipped[0])
            seen['scores'].append(scores.cpu().double())
            seen['looks'].append(looks.cpu().double())
            seen['differences'].append(_differences(clipped, clipped[-1], weights))
            seen['truth'].append(_differences(clipped, targets, weights))
            seen['laps'].append(torch.from_numpy(times / (computed * len(places)))[None])
        content = f'{tuple(image.shape)}'.encode() + image.contiguous().cpu().numpy().tobytes()
        return ImageObservation(
            **{name: torch.cat(parts) for name, parts in seen.items()},
            pixels=computed,
            counts=(outputs[0].shape[1] * height * width * scale**2, height * width, whole),
            digest=blake2b(content, digest_size=16).hexdigest(),
        )

    def _pass(self, regions: Tensor) -> tuple[list[Tensor], Tensor, Tensor, np.ndarray]:
        """Pass all exits: restored regions of each, their scores, regions x (exits - 1), their looks, and seconds.

        The seconds are of start, steps, tails, scores and looks.
        """
        net, watch = self.net, self.watch
        state, previous = net.begin(regions), regions
        self.rule.begin(regions)
        outputs: list[Tensor] = []
        scores: list[Tensor] = []
        looks = regions.new_empty(len(regions), 0)
        begin, looking, steps, tails, scoring = watch.lap(), 0.0, [], [], []
        for branch in range(1, net.num_branches + 1):
            before = state
            state = net.step(state)
            steps.append(watch.lap())
            if branch == 1:
                looks = self.look(regions, before.feature, state.feature)
                looking = watch.lap()
            current = net.restore(state)
            tails.append(watch.lap())
            if branch < net.num_branches:
                scores.append(self.rule.scores(current, previous))
            scoring.append(watch.lap())
            outputs.append(current)
            previous = current
        stacked = torch.stack(scores, 1) if scores else regions.new_empty(len(regions), 0)
        return outputs, stacked, looks, np.array([begin, *steps, *tails, *scoring, looking])

    def result(self) -> Observations:
        """All images together.

        Raises:
            DataError: there is none.
        """
        if not self.seen:
            raise DataError('observe', 'at least one image', 'none', 'Correct the dataset.')
        numbers = [len(image.scores) for image in self.seen]
        values, inputs, whole = (
            np.array(counts) for counts in zip(*(image.counts for image in self.seen), strict=True)
        )
        exits, costs = self.net.num_branches, self.costs
        laps = torch.cat([image.laps for image in self.seen]).numpy()
        ends = (1, 1 + exits, 1 + 2 * exits, 1 + 3 * exits)
        begin, steps, tails, scoring, looking = np.split(np.median(laps, 0) * 1e3, ends)
        macs, times = np.array(costs.regular), begin + steps.cumsum() + tails
        digest = blake2b(''.join(image.digest for image in self.seen).encode(), digest_size=16)
        known = all(image.truth.shape[1] for image in self.seen)
        return Observations(
            torch.cat([image.scores for image in self.seen]).numpy(),
            torch.cat([image.looks for image in self.seen]).numpy(),
            self.names,
            torch.cat([image.differences for image in self.seen]).numpy(),
            torch.cat([image.truth for image in self.seen]).numpy() if known else None,
            np.repeat([image.pixels for image in self.seen], numbers),
            np.repeat(np.arange(len(numbers)), numbers),
            whole,
            int(values.sum()),
            Expense(macs, np.array(costs.adaptive), macs, float(whole.sum())),
            Expense(times, begin + (steps + tails + scoring).cumsum(), times + looking, float(inputs.sum()) / 1e6),
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


class _Watch:
    """Seconds between laps, work on a GPU included."""

    def __init__(self, device: torch.device, clock: Clock) -> None:
        self.device, self.clock, self.last = device, clock, 0.0

    def lap(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        before, self.last = self.last, self.clock()
        return self.last - before


def _weights(grid: RegionGrid, places: list[tuple[int, int, int]]) -> Tensor:
    """The weight of each pixel of a region in the image, places x 1 x h x w."""
    down, across = grid.rows.weights(), grid.columns.weights()
    return torch.stack([torch.outer(down[row], across[column]) for _, row, column in places])[:, None].float()


def _differences(outputs: list[Tensor], target: Tensor | None, weights: Tensor) -> Tensor:
    """Weighted squared differences to a target, regions x exits; without columns where there is none."""
    if target is None:
        return torch.empty(len(weights), 0, dtype=torch.float64)
    sums = [(weights * (output - target).square()).sum((1, 2, 3)) for output in outputs]
    return torch.stack(sums, 1).cpu().double()
