"""The influence of patches on a target: Eq. 6 of the influence paper (Koh and Liang, 2017) for parts of images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from basicsr_ext.errors import DivergenceError
from basicsr_ext.networks.tiling import Sides
from basicsr_ext.runtime.saved_state import SavedState, alike
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.selection.influence.batches import Batch, ImageBatches, tiles_of
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.tiling_choice import tiling_of, without_margins
from basicsr_ext.selection.influence.trial import refuse_misfit, settle_forward_mode
from basicsr_ext.selection.patches.criteria import PatchGrid, PatchImage
from basicsr_ext.selection.patches.settings import InfluenceSettings


def squared_error(output: Tensor, gt: Tensor) -> Tensor:
    """The mean squared error of each image: (N, C, H, W) twice to (N,)."""
    return (output - gt).square().flatten(1).mean(1)


class SomeItems:
    """The items of a dataset at some indices."""

    def __init__(self, dataset: SampleDataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices, self.opt = dataset, indices, dataset.opt

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]


class PatchInfluence:
    """The predicted rise of the mean target loss without an image of such patches: g_target^T s_patch / (2 n).

    The loss is the mean squared error, whose curvature is 2, and s_patch = (H + damping I)^-1 g_patch with the gradient
    of its mean over the pixels of the patch, where the network sees the whole image: a patch that is the m-th part of
    an image counts for the m-th part of its score. Positive means that the patch helps. With
    s = (H + damping I)^-1 g_target / 2, solved for once as by `InfluenceEngine`, the derivative of every pixel's error
    along s is 2 (f(x) - y) J s / n: one forward-mode pass gives J s for all patches of an image. The mean over patches
    that tile an image is the score of the image.

    Args:
        net: trained, on its device.
        sides: what it asks of the sides of its input, a number is a multiple; images are padded to it.
        train: the n images whose patches are measured.
        target: the images whose mean loss counts.
        settings: how s is solved for. With `tile_size` the network sees tiles of that size in place of whole images,
            and a pixel of several tiles counts with their mean.
        seed: chooses the images for the curvature.
        folder: where the state of an unfinished computation is kept.
        workers: processes that decode while s is solved for.
    """

    def __init__(
        self,
        net: nn.Module,
        sides: Sides | int,
        train: SampleDataset,
        target: SampleDataset,
        settings: InfluenceSettings,
        seed: int,
        folder: Path,
        workers: int = 0,
    ) -> None:
        self.device = next(net.parameters()).device
        self.derivatives = Derivatives(net, sides, settings.precision == 'bfloat16')
        self.tiling = tiling_of(settings.tile_size, self.derivatives, train[0]['lq'].shape[0], squared_error)
        self.engine = InfluenceEngine(
            self.derivatives,
            ImageBatches(train, settings.batch_size, self.tiling, workers),
            ImageBatches(target, settings.batch_size, self.tiling, workers),
            squared_error,
            settings.as_ranking(),
            seed,
            folder,
            self.device,
        )
        self.saved = SavedState(folder / 'direction.pth')
        self.direction = self.derivatives.parameters[0].new_zeros(self.derivatives.size)

    def solve(self) -> dict[str, Any]:
        """Find s, or read what an earlier run found; every rank has to come here before any patch is measured.

        Returns:
            What `auto` became.

        Raises:
            Interrupted: a stop was asked for; calling again in a new process continues.
            DivergenceError: the solver found no solution.
        """
        state = self.saved.load()
        if state is None:
            state = {'direction': self._solved(), 'chosen': json.dumps(self.engine.chosen)}
            self.saved.save(state)
        with self.saved.fitting():
            self.direction = alike(state['direction'], self.direction)
            return dict(json.loads(state['chosen']))

    def _solved(self) -> Tensor:
        try:
            return self.engine.direction()[0]
        except DivergenceError as error:
            advice = error.advice.replace('rank.', 'mine.influence.')
            raise DivergenceError(error.where, error.expected, error.got, advice) from error

    def __call__(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> np.ndarray:
        """The influence of the patches of an image.

        Args:
            lq: (C, H / scale, W / scale), [0, 1].
            gt: (C', H, W), [0, 1].
            grid: of patches in gt.

        Returns:
            (number of patches,), float64.
        """
        patches = PatchImage(self._derivative_of_error(lq, gt).sum(0)[..., None].numpy(), grid)
        pixels = gt.shape[0] * grid.size**2
        return patches.sums(patches.pixels, grid.size, grid.size) / pixels / self.engine.train.images

    def _derivative_of_error(self, lq: Tensor, gt: Tensor) -> Tensor:
        """The derivative of the squared error of every value along s, (C', H, W) float64 on the CPU."""
        total, times = torch.zeros(gt.shape, dtype=torch.float64), torch.zeros(gt.shape[1:], dtype=torch.float64)
        for tile in tiles_of(lq, gt, self.tiling):
            rows, columns = (
                slice(start, start + length) for start, length in zip(tile.place, tile.gt.shape[1:], strict=True)
            )
            batch = Batch.of(tile).to(self.device)
            output, moved = (part[0].double().cpu() for part in self.derivatives.moved_output(batch, self.direction))
            total[:, rows, columns] += 2 * (output - tile.gt) * moved
            times[rows, columns] += 1
        return total / times

    def check(self, lq: Tensor, gt: Tensor, grid: PatchGrid) -> None:
        """Try the network on an image, on the first one of the target, and its derivatives there.

        Raises:
            OptionError: it does not take the input, or gives another shape than that of the clean image.
        """
        advice = 'Correct network_g, scale or color of the dataset.'
        tiling = without_margins(self.tiling)
        first = Batch.of(next(tiles_of(lq, gt, tiling)))
        (batch, *_) = next(ImageBatches(self.engine.test.dataset, 1, tiling).load([[0]]))
        for each, where in ((first, 'datasets.train'), (batch, 'datasets.test')):
            refuse_misfit(self.derivatives, each.to(self.device), where, advice, advice)
        settle_forward_mode(self.derivatives, batch.to(self.device))
