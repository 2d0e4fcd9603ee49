"""The exits of the regions of images that each cost a budget."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.errors import OptionError
from basicsr_ext.inference.exit_costs import ExitCosts
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.settings import LESS_COSTLY, AdaptiveSettings
from basicsr_ext.inference.spending import dither_of, spend

WHERE = 'val.inference.adaptive.budget'


class Planner:
    """Plans exits for images of one size.

    Args:
        adaptive: with a budget.
        grid: regions of the images.
        costs: of the network.
        last: P, the last exit that is taken.

    Raises:
        OptionError: the first exit of the network costs more than the budget on the whole image already.
    """

    def __init__(self, adaptive: AdaptiveSettings, grid: RegionGrid, costs: ExitCosts, last: int) -> None:
        if adaptive.budget is None or adaptive.budget < costs.regular[0]:
            raise OptionError(
                WHERE,
                f'at least {costs.regular[0]:.4g}, what the first exit costs on the whole image',
                adaptive.budget,
                'Raise it or train a smaller network.',
            )
        self.budget, self.grid = adaptive.budget, grid
        self.forecast = adaptive.forecast_for(len(costs.regular))
        self.costs = np.array(costs.regular[:last]) * costs.share(grid)
        self.left: defaultdict[int, float] = defaultdict(float)
        self._warn_of_least()

    def _warn_of_least(self) -> None:
        """Say that the regions of these images cost more than the budget wherever they leave."""
        rows, columns = self.grid.shape
        least = rows * columns * self.costs[0]
        if least > self.budget:
            height, width = self.grid.rows.length, self.grid.columns.length
            get_root_logger().warning(
                f'{WHERE}: {self.budget:.4g} is less than {least:.4g}, what {rows} x {columns} regions of {height} x '
                f'{width} pixels cost that all leave by the first exit. {LESS_COSTLY}'
            )

    def plan(self, scores: np.ndarray, images: Sequence[int]) -> np.ndarray:
        """Plan the exits of some regions; together they cost their share of the budgets of their images.

        What that leaves of a budget, or exceeds it by, passes to the next regions of the image.

        Args:
            scores: regions x scores.
            images: the number of the image of each region.

        Returns:
            Exits, from 1, (regions,).
        """
        errors = self.forecast.errors(scores)[:, : len(self.costs)]
        exits, which = np.empty(len(scores), int), np.array(images)
        for image in np.unique(which):
            own = which == image
            given = self.budget * own.sum() / np.prod(self.grid.shape) + self.left[image]
            exits[own] = spend(errors[own], self.costs, given, dither_of(scores[own]))
            self.left[image] = given - self.costs[exits[own] - 1].sum()
        return exits
