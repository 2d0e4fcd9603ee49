"""The effects of pointers and thresholds, on images without ground truth."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from basicsr_ext.inference.observation import Expense, Observations
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings


@dataclass(frozen=True)
class Operation:
    """A pointer or a threshold and what it does.

    Attributes:
        pointer: of regular inference, else None.
        threshold: of early exits, else None.
        psnr: in dB, agreement with the full network: of all images together against what the last exit restores from
            the same regions; None for equal images. Where regions overlap it is a lower bound.
        macs: in parts of those of the full network on whole images, the tails of exits passed included.
        ms_per_megapixel: time per megapixel of the input.
        exits: share of the computed pixels that leaves by each exit.
    """

    pointer: int | None
    threshold: float | None
    psnr: float | None
    macs: float
    ms_per_megapixel: float
    exits: list[float]


def exits_at(observations: Observations, settings: InferenceSettings) -> np.ndarray:
    """The exit of each region, (regions,), from 1."""
    number = observations.differences.shape[1]
    last = number if settings.pointer is None else settings.pointer
    if settings.adaptive is None:
        return np.full(len(observations.pixels), last)
    leaves = observations.scores[:, : last - 1] > settings.adaptive.threshold
    return np.where(leaves.any(1), leaves.argmax(1) + 1 if last > 1 else 1, last)


def spent(observations: Observations, expense: Expense, settings: InferenceSettings) -> float:
    """The cost of all regions, relative to `expense.total`."""
    each = expense.regular if settings.adaptive is None else expense.adaptive
    return float((observations.pixels * each[exits_at(observations, settings) - 1]).sum() / expense.total)


def uncertainty(observations: Observations, expense: Expense, settings: InferenceSettings) -> float:
    """The standard error of what settings cost per pixel, relative to it, as far as it varies between the images.

    It is that of a ratio of sums over the images (Cochran, "Sampling Techniques", 1977, Sec. 6.4); nan for one image.
    """
    each = expense.regular if settings.adaptive is None else expense.adaptive
    pixels = np.bincount(observations.images, observations.pixels)
    costs = np.bincount(observations.images, observations.pixels * each[exits_at(observations, settings) - 1])
    residuals, number = costs - costs.sum() / pixels.sum() * pixels, len(pixels)
    return float(np.sqrt(number / (number - 1) * np.square(residuals).sum()) / costs.sum()) if number > 1 else math.nan


def missed(observations: Observations, settings: InferenceSettings) -> float:
    """The squared differences of all regions to the full network, summed."""
    exits = exits_at(observations, settings)
    return float(observations.differences[np.arange(len(exits)), exits - 1].sum())


def evaluate(observations: Observations, settings: InferenceSettings) -> Operation:
    """Evaluate settings that differ from the observed ones in pointer and threshold alone; no network runs."""
    exits = exits_at(observations, settings)
    difference = missed(observations, settings) / observations.values
    shares = np.bincount(exits - 1, observations.pixels, observations.differences.shape[1]) / observations.pixels.sum()
    return Operation(
        settings.pointer if settings.adaptive is None else None,
        None if settings.adaptive is None else settings.adaptive.threshold,
        -10 * math.log10(difference) if difference > 0 else None,
        spent(observations, observations.macs, settings),
        spent(observations, observations.time, settings),
        shares.tolist(),
    )


def with_pointer(settings: InferenceSettings, pointer: int) -> InferenceSettings:
    """Regular inference in the same regions."""
    return replace(settings, pointer=pointer, adaptive=None)


def with_threshold(settings: InferenceSettings, threshold: float, pointer: int) -> InferenceSettings:
    """Early exits in the same regions; the threshold is rounded to float32, as the scores are."""
    adaptive = settings.adaptive or AdaptiveSettings(threshold=0)
    return replace(settings, pointer=pointer, adaptive=replace(adaptive, threshold=float(np.float32(threshold))))


def sweep(
    observations: Observations, settings: InferenceSettings, thresholds: int
) -> tuple[list[Operation], list[Operation]]:
    """Every pointer, and thresholds at equally spaced quantiles of the scores."""
    last = observations.differences.shape[1]
    finite = observations.scores[np.isfinite(observations.scores)]
    quantiles = np.quantile(finite, np.linspace(0, 1, thresholds)) if finite.size else np.empty(0)
    return (
        [evaluate(observations, with_pointer(settings, pointer)) for pointer in range(1, last + 1)],
        [evaluate(observations, with_threshold(settings, threshold, last)) for threshold in np.unique(quantiles)],
    )


def as_block(settings: InferenceSettings) -> dict[str, Any]:
    """Settings as `read_settings` reads them."""

    def without_empty(block: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in block.items() if value is not None}
        return {key: without_empty(value) if isinstance(value, dict) else value for key, value in kept.items()}

    return without_empty(asdict(settings))


def format_operations(operations: Sequence[Operation]) -> str:
    """The rows for people."""
    numbers = ''.join(f'{number:>6}' for number in range(1, len(operations[0].exits) + 1))
    lines = [
        f'{"":>20}{"PSNR to":>10}{"":>10}{"ms per":>11}   share of exit',
        f'{"":>20}{"full [dB]":>10}{"MACs":>10}{"megapixel":>11}  {numbers}',
    ]
    for row in operations:
        name = f'pointer {row.pointer}' if row.threshold is None else f'threshold {row.threshold:.5g}'
        psnr = 'equal' if row.psnr is None else f'{row.psnr:.2f}'
        shares = ''.join(f'{share:>6.0%}' for share in row.exits)
        lines.append(f'{name:<20}{psnr:>10}{row.macs:>10.4f}{row.ms_per_megapixel:>11.1f}  {shares}')
    return '\n'.join(lines)
