"""Influence of training images on a test set."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.utils import get_root_logger
from torch import Tensor

from basicsr_ext.errors import DataError
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState, alike
from basicsr_ext.runtime.spread import spread_to_ends
from basicsr_ext.selection.influence.batches import Batch, ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives, ImageLoss
from basicsr_ext.selection.influence.krylov import Krylov, lanczos
from basicsr_ext.selection.influence.loss_curvature import mean_curvature, sums_of_curvature
from basicsr_ext.selection.influence.precision_trial import IMAGES as TRIED
from basicsr_ext.selection.influence.precision_trial import WORTH_TRYING, try_precisions
from basicsr_ext.selection.influence.score_notes import ScoreNotes
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.influence.settling import overlap_of_draws
from basicsr_ext.selection.influence.stochastic import largest_eigenvalue, stochastic_solve

Score = Callable[[Derivatives, Batch], Tensor]  # the rows (N, D) of a batch, of a network in one of its precisions
SCALE_IMAGES = 8  # whose largest eigenvalues decide `scale: auto`


class InfluenceEngine:
    """Score z_i = 1 / (n c) g_test^T (H + damping I)^-1 g_i: the predicted rise of the mean test loss without image i.

    That is -I_up,loss / n with Eq. 6 of the influence paper (Koh and Liang, 2017); positive means the image helps.
    s = (H + damping I)^-1 g_test is computed once, then each image costs one derivative of its loss along s. H is the
    mean over training images of the Gauss-Newton matrix or the Hessian of the smooth loss (Eq. 7), c the curvature of
    the loss where that of Eq. 7 is 1 (see `loss_curvature`): 2 for the mean squared error. The network is taken to be
    trained by this loss. Exact for a linear network and a quadratic loss up to 1 / n; sums over the values of images of
    several sizes have one c for all. A loss without curvature, such as L1, has c = 1, and its scores have no unit.

    All ranks of a process group work on it together and get the same result.

    Args:
        derivatives: of the network.
        train: the images to rank.
        test: the images whose mean loss counts.
        loss: (output, gt) -> one loss per image; its gradients are the g above.
        settings: method and solver.
        seed: chooses the images for the curvature.
        folder: where the state of an unfinished computation is kept.
        device: where the network is.
        scored: which training images get scores, ascending; None scores all. The curvature and n are those of all.
    """

    def __init__(
        self,
        derivatives: Derivatives,
        train: ImageBatches,
        test: ImageBatches,
        loss: ImageLoss,
        settings: RankSettings,
        seed: int,
        folder: Path,
        device: torch.device | str = 'cpu',
        scored: Sequence[int] | None = None,
    ) -> None:
        self.derivatives, self.train, self.test, self.loss = derivatives, train, test, loss
        self.settings, self.folder, self.device = settings, folder, device
        self.scored = range(train.images) if scored is None else scored
        self.order = np.random.default_rng(seed).permutation(train.images).tolist()
        self.rank, self.world_size = distributed.rank_and_world()
        self.curvature_images = len(self.order[: settings.curvature_images])
        self.steps = min(settings.iterations, derivatives.size)
        self.times = settings.times or train.images
        self.chosen: dict[str, Any] = {}
        self.loss_curvature: float | None = None

    def work(self) -> int:
        """How many derivatives of the loss of an image the scores take."""
        method, dampings = self.settings.method, len(self.settings.dampings)
        scoring = len(self.scored) * (self.settings.settle.rounds if self.settings.settle else 1)
        if method in ('random', 'loss'):
            return scoring if method == 'loss' else 0
        solving = 0
        if method == 'influence' and self.settings.solver == 'stochastic':
            solving = self.times * dampings + self._scaling_images()
        elif method == 'influence':
            solving = self.steps * self.curvature_images
        if method == 'influence':
            solving += self.curvature_images
        return self.test.images + solving + scoring

    def scores(self, progress: Progress | None = None) -> np.ndarray:
        """The scores of the images of `scored`, (images, dampings) float64; one column for the baselines. `chosen` then
        tells what `auto` became.

        Args:
            progress: counts the derivatives, of other engines too; None shows those of this one.

        Raises:
            Interrupted: a stop was asked for; calling again in a new process continues.
            DivergenceError: the solver found no solution.
        """
        if progress is None:
            with Progress('Ranking', self.work(), unit='derivative', hidden=self.rank > 0) as progress:
                return self.scores(progress)
        self.progress, method = progress, self.settings.method
        if method == 'random':
            places = np.random.default_rng(self.order).permutation(self.train.images)
            return places[self.scored, None].astype(np.float64)
        if method == 'loss':
            return self._image_scores(lambda of, batch: of.losses(batch, self.loss)[:, None])
        gradient = self._test_gradient(self.folder)
        directions = gradient[None] if method == 'graddot' else self._sized(self._solve(gradient))
        directions = directions / self.train.images
        return self._image_scores(lambda of, batch: of.directional(batch, self.loss, directions))

    def direction(self) -> Tensor:
        """s / c for every damping, (dampings, P). `chosen` then tells what `auto` became.

        Raises:
            Interrupted: a stop was asked for; calling again in a new process continues.
            DivergenceError: the solver found no solution.
        """
        work = self.work() - len(self.scored)
        with Progress('Solving', work, unit='derivative', hidden=self.rank > 0) as self.progress:
            return self._sized(self._solve(self._test_gradient(self.folder)))

    # ---- the curvature of the loss ----

    def _sized(self, directions: Tensor) -> Tensor:
        """s / c, with the c of the images that the curvature sees."""
        return directions / self._measured_curvature()

    def _measured_curvature(self) -> float:
        """c, or 1 for a loss that has none; `loss_curvature` and `chosen` tell which."""

        def term(batch: Batch) -> Tensor:
            return sums_of_curvature(self.loss, self.derivatives.outputs(batch), batch.gt, batch.weights)

        images = self.order[: self.curvature_images]
        sums = self._mean(self.train, images, term, torch.zeros(5, device=self.device, dtype=torch.float64))
        self.loss_curvature = distributed.from_first(mean_curvature(sums, len(images)))
        self.chosen = {**self.chosen, 'loss_curvature': self.loss_curvature}
        return self.loss_curvature or 1.0

    # ---- sums over images ----

    def _test_gradient(self, folder: Path, images: list[int] | None = None) -> Tensor:
        saved = SavedState(folder / 'test_gradient.pth')
        state = saved.load()
        if state is not None:
            self.progress.skip(self.test.images if images is None else len(images))
            with saved.fitting():
                return alike(state['gradient'], self.derivatives.parameters[0].new_empty(self.derivatives.size))
        gradient = self._mean(self.test, images, lambda batch: self.derivatives.gradient(batch, self.loss))
        if not torch.isfinite(gradient).all() or not gradient.any():
            raise DataError(
                'datasets.test',
                'a finite gradient of the test loss that is not zero',
                'another one',
                'Correct the test set or path.pretrain_network_g.',
            )
        saved.save({'gradient': gradient})
        return gradient

    def _mean(
        self,
        data: ImageBatches,
        images: list[int] | None,
        term: Callable[[Batch], Tensor],
        zero: Tensor | None = None,
    ) -> Tensor:
        """The mean over images of a vector, of the size of `zero` or of the parameters; each rank adds its share."""
        units = data.units(images)
        number = sum(map(len, units))
        dtype = self.derivatives.parameters[0].dtype
        total = torch.zeros(self.derivatives.size, device=self.device, dtype=dtype) if zero is None else zero
        own = units[self.rank :: self.world_size]
        for _, batches in self._batches(data, own):
            if interrupt.requested():
                break
            for batch in batches:
                total += term(batch)
            self.progress.update(number / len(own))
        if distributed.any_rank(interrupt.requested()):
            raise interrupt.Interrupted
        return distributed.add_up(total) / number

    def _batches(self, data: ImageBatches, units: list[list[int]]) -> Iterator[tuple[list[int], list[Batch]]]:
        for unit, batches in zip(units, data.load(units), strict=True):
            yield unit, [batch.to(self.device) for batch in batches]

    # ---- (H + damping I)^-1 v, one row per damping ----

    def _solve(self, vector: Tensor) -> Tensor:
        rows = self._stochastic(vector) if self.settings.solver == 'stochastic' else self._krylov(vector)
        return torch.stack([distributed.from_first(row.cpu()) for row in rows]).to(self.device)

    def _krylov(self, vector: Tensor) -> list[Tensor]:
        krylov = self._lanczos(vector, self.folder)
        values = krylov.ritz_values
        dampings = [relative * values[-1] for relative in self.settings.dampings_for(values)]
        self.chosen = {**self.chosen, 'damping': dampings}
        return [krylov.solve(damping) for damping in dampings]

    def _lanczos(self, vector: Tensor, folder: Path) -> Krylov:
        is_gauss_newton = self.settings.solver == 'gauss_newton'
        term = self.derivatives.gauss_newton_product if is_gauss_newton else self.derivatives.hessian_product
        images = self.order[: self.curvature_images]
        made = 0

        def product(x: Tensor, number: int) -> Tensor:
            nonlocal made
            self.progress.skip((number - made) * len(images))  # a continued run does not begin at the first product
            made = number + 1
            return self._mean(self.train, images, lambda batch: term(batch, x))

        krylov = lanczos(product, vector, self.steps, SavedState(folder / 'solver.pth'))
        self.progress.skip((len(krylov.matrix) - made) * len(images))
        self.progress.drop((self.steps - len(krylov.matrix)) * len(images))
        self.chosen = {
            'curvature_images': len(images),
            'products': len(krylov.matrix),
            'largest_eigenvalue': krylov.ritz_values[-1],
        }
        return krylov

    def _stochastic(self, vector: Tensor) -> list[Tensor]:
        """Run the stochastic solver; every rank does all steps, for each needs the one before."""
        scale = self._scale(vector) if self.settings.scale == 'auto' else self.settings.scale
        dampings = [relative * scale for relative in self.settings.dampings]
        self.chosen = {'times': self.times, 'scale': scale, 'damping': dampings}
        solve = partial(self._recursion, vector, scale)
        return [solve(damping, f'solver_{number}.pth') for number, damping in enumerate(dampings)]

    def _scale(self, vector: Tensor) -> float:
        """The largest eigenvalue of a few images' Hessians: half of it would just be stable."""
        largest = []
        for _, batches in self._batches(self.train, [[image] for image in self.order[: self._scaling_images()]]):
            largest.append(largest_eigenvalue(partial(self._hessian, batches), vector))
            self.progress.update()
        return distributed.from_first(max(largest))

    def _scaling_images(self) -> int:
        return min(SCALE_IMAGES, self.train.images) if self.settings.scale == 'auto' else 0

    def _recursion(self, vector: Tensor, scale: float, damping: float, file: str) -> Tensor:
        """Algorithm 1 over the images in a shuffled order, again and again if `times` is more than there are."""
        stream: Iterator[tuple[list[int], list[Batch]]] | None = None
        made = 0

        def product(x: Tensor, step: int) -> Tensor:
            nonlocal stream, made
            if stream is None:  # a continued run does not begin at the first image
                images = [[self.order[place % len(self.order)]] for place in range(step, self.times)]
                stream = self._batches(self.train, images)
                self.progress.skip(step)
            image = self._hessian(next(stream)[1], x)
            made = step + 1
            self.progress.update()
            return image

        solved = stochastic_solve(product, vector, self.times, scale, damping, SavedState(self.folder / file))
        self.progress.skip(self.times - made)
        return solved

    def _hessian(self, batches: list[Batch], x: Tensor) -> Tensor:
        return torch.stack([self.derivatives.hessian_product(batch, x) for batch in batches]).sum(0)

    # ---- one row per image ----

    def _image_scores(self, score: Score) -> np.ndarray:
        of = self._scoring_derivatives(score)
        settle = self.settings.settle
        if settle is None:
            return self._drawn_scores(0, score, of)
        size = settle.number(self.train.images, len(self.scored))
        draws, overlap = [self._drawn_scores(0, score, of)], 0.0
        while overlap < settle.overlap and len(draws) < settle.rounds:
            again = self._drawn_scores(len(draws), score, of, width=draws[0].shape[1])
            draws.append(np.where(np.isnan(again), draws[0], again))
            firsts = np.stack([each[:, 0] for each in draws])  # the first damping ranks
            overlap = overlap_of_draws(firsts, size, np.random.default_rng([self.order[0], len(draws) - 1]))
        self.progress.drop((settle.rounds - len(draws)) * len(self.scored))
        self.chosen = {**self.chosen, 'draws': len(draws), 'overlap': overlap}
        if overlap < settle.overlap:
            get_root_logger().warning(
                f'rank.settle: after {len(draws)} draws {overlap:.0%} of the first {size} images are expected to '
                f'stay, less than {settle.overlap:.0%}.'
            )
        return np.mean(draws, 0)

    def _drawn_scores(self, draw: int, score: Score, of: Derivatives, width: int = 1) -> np.ndarray:
        data, folder = (
            (self.train.drawn_again(draw), self.folder / f'draw_{draw}') if draw else (self.train, self.folder)
        )
        return self._rows(data, folder, partial(score, of), self.scored, width)

    def _scoring_derivatives(self, score: Score) -> Derivatives:
        """Those in bfloat16 where the precision is to be chosen and a trial of the first rank says so."""
        if self.settings.precision != 'auto' or len(self.scored) < WORTH_TRYING:
            return self.derivatives
        saved = SavedState(self.folder / 'precision.pth')
        state = saved.load()
        distributed.barrier()  # every rank has looked before the first one writes
        if state is None:
            state = distributed.from_first(self._try_precisions(score) if self.rank == 0 else {})
            saved.save(state)
        self.chosen = {**self.chosen, **state}
        return self.derivatives.in_bfloat16() if state['precision'] == 'bfloat16' else self.derivatives

    def _try_precisions(self, score: Score) -> dict[str, Any]:
        kinds = {False: self.derivatives, True: self.derivatives.in_bfloat16()}

        def scores(bfloat16: bool, images: list[int]) -> np.ndarray:
            read = self._batches(self.train, self.train.units(images))
            return np.concatenate(
                [sums_of_rows(unit, batches, partial(score, kinds[bfloat16])) for unit, batches in read]
            )[:, 0]

        trial = try_precisions(
            scores, [self.scored[place] for place in spread_to_ends(TRIED, len(self.scored))], self.device
        )
        return {'precision': 'bfloat16' if trial.is_passed else 'float32', 'agreement': trial.agreement}

    def _rows(
        self,
        data: ImageBatches,
        folder: Path,
        row_of: Callable[[Batch], Tensor],
        images: Sequence[int] | None = None,
        width: int = 1,
    ) -> np.ndarray:
        """(images, D) float64; each rank works on its share and notes every unit when it is done.

        An image of which the data have no tile gets `width` times NaN.
        """
        notes = ScoreNotes(folder, self.rank)
        units = data.units(images)
        todo = [unit for unit in units if unit[0] not in notes.known]
        own = todo[self.rank :: self.world_size]
        left = sum(map(len, todo))
        self.progress.skip(sum(map(len, units)) - left)
        distributed.barrier()  # every rank has read the notes
        for unit, batches in self._batches(data, own):
            if interrupt.requested():
                break
            notes.write(unit[0], sums_of_rows(unit, batches, row_of, width).tolist())
            self.progress.update(left / len(own))
        notes.close()
        if distributed.any_rank(interrupt.requested()):
            raise interrupt.Interrupted
        known = {start: rows for part in distributed.gather(notes.known) for start, rows in part.items()}
        return np.concatenate([np.array(known[unit[0]]) for unit in units])


def sums_of_rows(
    unit: Sequence[int], batches: Sequence[Batch], row_of: Callable[[Batch], Tensor], width: int = 1
) -> np.ndarray:
    """The weighted sum of the rows of each image of a unit, (images, D) float64; NaN, `width` times, without any."""
    rows: dict[int, np.ndarray] = {}
    for batch in batches:
        values = (row_of(batch) * batch.weights[:, None]).double().cpu().numpy()
        for image, value in zip(batch.images.tolist(), values, strict=True):
            rows[image] = rows.get(image, 0) + value
    return np.stack([rows.get(image, np.full(width, np.nan)) for image in unit])
