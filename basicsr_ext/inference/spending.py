"""Spend a budget on regions: those go on through the network from whom most is to be gained."""

import numpy as np

TINY = 1e-9  # of a budget, lost to rounding


NEAREST = 0.5


def spend(errors: np.ndarray, costs: np.ndarray, budget: float, dither: float = NEAREST) -> np.ndarray:
    """Choose the exits of regions whose summed error is least for what they may cost together.

    Every region leaves by the first exit at least. Further ones are bought in the order of error saved per cost, over
    the lower convex hull of each region's errors, which is optimal for every budget that is used up exactly (Shoham and
    Gersho, "Efficient Bit Allocation for an Arbitrary Set of Quantizers", IEEE TASSP 1988). What does not fit is left
    out, and so is what is further of that region.

    Args:
        errors: expected after each exit, at least 0, regions x exits.
        costs: of leaving a region by each exit, ascending, (exits,).
        budget: for all regions together.
        dither: part of its price that must be left for a purchase; by 0.5 what is spent is the nearest to the budget,
            by numbers spread over [0, 1) it is the budget on average.

    Returns:
        Exits, from 1, (regions,).
    """
    exits = np.zeros(len(errors), int)
    left, stopped = budget - len(errors) * costs[0], set()
    for _, region, exit in _purchases(errors, costs):
        price = costs[exit] - costs[exits[region]]
        if region in stopped or price * dither > left + TINY * budget:
            stopped.add(region)
            continue
        exits[region] = exit
        left -= price
    return exits + 1


def _purchases(errors: np.ndarray, costs: np.ndarray) -> list[tuple[float, int, int]]:
    """What can be bought, the best first: error saved per cost, region, exit."""
    found = []
    for region, own in enumerate(errors):
        here = 0
        while here < len(costs) - 1:
            savings = (own[here] - own[here + 1 :]) / (costs[here + 1 :] - costs[here])
            best = int(savings.argmax())
            if savings[best] < 0:
                break
            here += 1 + best
            found.append((-float(savings[best]), region, here))
    return sorted(found)


def dither_of(scores: np.ndarray) -> float:
    """A number in [0, 1) that differs from image to image and is the same for one: what its scores, summed, are beyond
    a whole number."""
    return float(scores.sum() % 1)
