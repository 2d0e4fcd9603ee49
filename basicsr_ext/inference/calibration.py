"""The effects of pointers, thresholds and budgets, on images without ground truth."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from basicsr_ext.inference.forecast import Forecast
from basicsr_ext.inference.observation import Expense, Observations
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings
from basicsr_ext.inference.spending import dither_of, spend


@dataclass(frozen=True)
class Operation:
    """A pointer, a threshold or a budget and what it does.

    Attributes:
        pointer: of regular inference, else None.
        threshold: of early exits, else None.
        budget: that the regions of each image spend, else None.
        psnr: in dB, agreement with the full network: of all images together against what the last exit restores from
            the same regions; None for equal images. Where regions overlap it is a lower bound.
        truth: the same against the ground truth, where it is known, else None.
        macs: in parts of those of the full network on whole images, the tails that run included.
        ms_per_megapixel: time per megapixel of the input.
        exits: share of the computed pixels that leaves by each exit.
    """

    pointer: int | None
    threshold: float | None
    budget: float | None
    psnr: float | None
    truth: float | None
    macs: float
    ms_per_megapixel: float
    exits: list[float]


def exits_at(observations: Observations, settings: InferenceSettings) -> np.ndarray:
    """The exit of each region, (regions,), from 1."""
    number, adaptive = observations.differences.shape[1], settings.adaptive
    last = number if settings.pointer is None else settings.pointer
    if adaptive is None:
        return np.full(len(observations.pixels), last)
    if adaptive.budget is not None:
        forecast = adaptive.forecast_for(number)
        looks = observations.looks_by(forecast.scores)
        errors = forecast.errors(looks) * observations.pixels[:, None]
        return exits_within(observations, errors[:, :last], adaptive.budget, looks)
    leaves = adaptive.leaves(observations.scores[:, : last - 1])
    return np.where(leaves.any(1), leaves.argmax(1) + 1 if last > 1 else 1, last)


def exits_within(
    observations: Observations, errors: np.ndarray, budget: float, looks: np.ndarray | None = None
) -> np.ndarray:
    """The exit of each region when every image spends a budget.

    Args:
        observations: of images.
        errors: by which it is spent, regions x exits.
        budget: of an image, in parts of the MACs of the full network on it.
        looks: scores, regions x any number, by which what is spent is dithered; None for those of all names.

    Returns:
        Exits, from 1, (regions,).
    """
    looks = observations.looks if looks is None else looks
    exits = np.empty(len(errors), int)
    ends = np.searchsorted(observations.images, np.arange(len(observations.whole)), side='right')
    for image, (start, end) in enumerate(pairwise([0, *ends])):
        share = observations.pixels[start] / observations.whole[image]
        costs, dither = observations.macs.regular[: errors.shape[1]] * share, dither_of(looks[start:end])
        exits[start:end] = spend(errors[start:end], costs, budget, dither)
    return exits


def spent(observations: Observations, expense: Expense, settings: InferenceSettings) -> float:
    """The cost of all regions, relative to `expense.total`."""
    each = expense.of(settings)[exits_at(observations, settings) - 1]
    return float((observations.pixels * each).sum() / expense.total)


def error_at(exits: np.ndarray, errors: np.ndarray) -> float:
    """The errors of all regions, regions x exits, at their exits, summed."""
    return float(errors[np.arange(len(exits)), exits - 1].sum())


def evaluate(observations: Observations, settings: InferenceSettings) -> Operation:
    """Evaluate settings that differ from the observed ones in pointer, threshold and budget alone; no network runs."""
    return _operation(observations, settings, exits_at(observations, settings))


def oracle(observations: Observations, settings: InferenceSettings, budget: float) -> Operation:
    """What spending a budget by the true differences to the full network would do."""
    exits = exits_within(observations, observations.differences, budget)
    return _operation(observations, with_budget(settings, budget, None), exits)


def _operation(observations: Observations, settings: InferenceSettings, exits: np.ndarray) -> Operation:
    adaptive, number = settings.adaptive, observations.differences.shape[1]
    shares = np.bincount(exits - 1, observations.pixels, number) / observations.pixels.sum()

    def cost(expense: Expense) -> float:
        return float((observations.pixels * expense.of(settings)[exits - 1]).sum() / expense.total)

    def psnr(errors: np.ndarray) -> float | None:
        error = error_at(exits, errors) / observations.values
        return -10 * math.log10(error) if error > 0 else None

    return Operation(
        settings.pointer if adaptive is None else None,
        None if adaptive is None else adaptive.threshold,
        None if adaptive is None else adaptive.budget,
        psnr(observations.differences),
        None if observations.truth is None else psnr(observations.truth),
        cost(observations.macs),
        cost(observations.time),
        shares.tolist(),
    )


def with_pointer(settings: InferenceSettings, pointer: int) -> InferenceSettings:
    """Regular inference in the same regions."""
    return replace(settings, pointer=pointer, adaptive=None)


def with_threshold(settings: InferenceSettings, threshold: float, pointer: int) -> InferenceSettings:
    """Early exits in the same regions; the threshold is rounded to float32, as the scores are."""
    adaptive = settings.adaptive or AdaptiveSettings(threshold=0)
    return replace(settings, pointer=pointer, adaptive=replace(adaptive, threshold=float(np.float32(threshold))))


def with_budget(settings: InferenceSettings, budget: float, forecast: Forecast | None) -> InferenceSettings:
    """A budget for each image, spent in the same regions by a forecast; None for one that is not asked."""
    known = settings.adaptive or AdaptiveSettings(threshold=0)
    adaptive = AdaptiveSettings(budget=budget, forecast=forecast, operator=known.operator, mean=known.mean)
    return replace(settings, pointer=None, adaptive=adaptive)


def as_block(settings: InferenceSettings) -> dict[str, Any]:
    """Settings as `read_settings` reads them."""

    def without_empty(block: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in block.items() if value is not None}
        return {key: without_empty(value) if isinstance(value, dict) else value for key, value in kept.items()}

    return without_empty(asdict(settings))


def format_operations(operations: Sequence[Operation]) -> str:
    """The rows for people."""
    known = operations[0].truth is not None
    numbers = ''.join(f'{number:>6}' for number in range(1, len(operations[0].exits) + 1))
    lines = [
        f'{"":>20}{"PSNR to":>10}{"PSNR to" if known else "":>10}{"":>10}{"ms per":>11}   share of exit',
        f'{"":>20}{"full [dB]":>10}{"truth [dB]" if known else "":>11}{"MACs":>9}{"megapixel":>11}  {numbers}',
    ]
    for row in operations:
        truth = '' if row.truth is None else f'{row.truth:.2f}'
        psnr = 'equal' if row.psnr is None else f'{row.psnr:.2f}'
        shares = ''.join(f'{share:>6.0%}' for share in row.exits)
        lines.append(f'{name_of(row):<20}{psnr:>10}{truth:>10}{row.macs:>10.4f}{row.ms_per_megapixel:>11.1f}  {shares}')
    return '\n'.join(lines)


def name_of(row: Operation) -> str:
    """Which pointer, threshold or budget it is."""
    if row.budget is not None:
        return f'budget {row.budget:.4g}'
    return f'pointer {row.pointer}' if row.threshold is None else f'threshold {row.threshold:.5g}'
