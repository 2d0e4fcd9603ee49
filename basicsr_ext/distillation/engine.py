"""The steps that turn real patches into synthetic images whose gradients are those of the dataset."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from basicsr_ext.distillation.codec import Codec
from basicsr_ext.distillation.degradation import Degrade, degraded
from basicsr_ext.distillation.matching import Loss, parameter_gradients
from basicsr_ext.distillation.networks import Networks
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.distillation.steps import in_rounds, items_of_step, steps_of_pass
from basicsr_ext.distillation.variables import Variables
from basicsr_ext.errors import DivergenceError
from basicsr_ext.networks.tiling import Sides
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState, within

Pair = tuple[Tensor, Tensor]  # input and clean images
GradientLoss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
TRAINING, NOISE = 1, 2  # streams of random numbers beside those of the matching steps


@dataclass(frozen=True)
class Matching:
    """The losses that are compared, and the network's side of them.

    Attributes:
        match: of the gradients on synthetic and on real images, a scalar.
        loss: of the restoration, a scalar.
        sides: what the network asks of the sides of its input.
        degrades: make the input of the synthetic images, one each; None optimises it as well.
        device: of the computation.
    """

    match: GradientLoss
    loss: Loss
    sides: Sides
    degrades: Sequence[Degrade] | None
    device: torch.device


class Move(NamedTuple):
    """What a matching step asks of the variables.

    Attributes:
        loss: of matching, before it.
        gradients: kind -> those of the images of the step, N x C x h x w, in main memory.
    """

    loss: float
    gradients: dict[str, Tensor]


class Distillation:
    """Synthetic images by gradient matching (TripleD, Eq. 3; GLaD, Cazenavette et al., 2023).

    A step takes a few synthetic images and a batch of real patches, and moves the variables z of the former against the
    gradient of grad_match(g_S, g_T) + anchor mean((z - z_0)^2), where g are the gradients of the restoration loss with
    respect to the parameters of the network and z_0 is where z started. All that is random depends on seed, step and
    image, so that a run that was stopped goes on as if it had not been.

    Variables of all images and their moments stay in main memory; only a batch is on the device.

    Ranks share out the steps of a pass over the synthetic images: these move different images, so that none needs the
    result of another one, unless the network was trained in between. Every rank makes all moves, in the order of the
    steps, so that the result is the same for any number of them.

    Args:
        settings: the block `distill`.
        seed: of everything random.
        codec: what the variables are.
        networks: whose gradients.
        matching: what is compared.
        real: gives the real batches of some steps, which are counted from 1.
        state: where the state is kept.
    """

    def __init__(
        self,
        settings: DistillSettings,
        seed: int,
        codec: Codec,
        networks: Networks,
        matching: Matching,
        real: Callable[[Sequence[int]], Iterator[Pair]],
        state: SavedState,
    ) -> None:
        self.settings, self.seed, self.codec, self.networks = settings, seed, codec, networks
        self.matching, self.real, self.state = matching, real, state
        self.variables: dict[str, Variables] = {}
        self.losses: list[float] = []

    def __len__(self) -> int:
        return len(self.variables['gt'].values)

    def begin(self, patches: Iterator[Pair]) -> None:
        """Take the variables from real patches, one image at a time: input and clean, C x H x W each."""
        values: dict[str, list[Tensor]] = {}
        for number, (lq, gt) in enumerate(patches):
            pair = {'gt': gt} if self.matching.degrades is not None else {'gt': gt, 'lq': lq}
            for place, (kind, image) in enumerate(pair.items()):
                value = self.codec.encode(image[None].to(self.matching.device)).cpu()
                if self.settings.start == 'noise':
                    seed = int(np.random.default_rng((self.seed, NOISE, number, place)).integers(2**62))
                    value = self.codec.noise(tuple(value.shape), torch.Generator().manual_seed(seed))
                values.setdefault(kind, []).append(value)
        self.variables = {kind: Variables.starting_at(torch.cat(parts)) for kind, parts in values.items()}

    def run(self, patches: Iterator[Pair], show: Callable[['Distillation'], None]) -> None:
        """Do the steps that are left.

        Args:
            patches: as in `begin`; not looked at where there is a state to continue from.
            show: called by the first rank now and then, and at the end, to draw pictures.

        Raises:
            Interrupted: a stop was asked for; the state is saved.
            DivergenceError: the loss is not finite.
        """
        if not self._continue():
            self.begin(patches)
        done, last = len(self.losses), self.settings.steps
        rank, world = distributed.rank_and_world()
        rounds = in_rounds(done, last, world, self._ends_round)
        batches = self.real([step for steps in rounds for step in steps[rank : rank + 1]])
        with Progress('Distilling', last, done, 'step', hidden=rank > 0) as progress:
            for steps in rounds:
                own = [self.match(step, next(batches)) for step in steps[rank : rank + 1]]
                for step, move in zip(steps, chain(*distributed.gather(own)), strict=True):
                    self._take(step, move)
                    self._train(step)
                    progress.update(loss=move.loss)
                    if rank == 0 and (step % self.settings.picture_freq == 0 or step == last):
                        show(self)
                    self.state.offer(self._state)
        self.state.save(self._state())

    def _ends_round(self, step: int) -> bool:
        return step % steps_of_pass(len(self), self.settings.batch_size) == 0 or self.networks.changes_after(step)

    def _items(self, step: int) -> list[int]:
        return items_of_step(step, len(self), self.settings.batch_size, self.seed)

    def _take(self, step: int, move: Move) -> None:
        items = self._items(step)
        for kind, part in self.variables.items():
            part.step(items, move.gradients[kind], self.settings.lr)
            part.values[items] = self.codec.limit(part.values[items])
        self.losses.append(move.loss)

    def match(self, step: int, real: Pair) -> Move:
        """What one step finds; nothing is changed."""
        items = self._items(step)
        net, matching = self.networks.at(step), self.matching
        common = net, matching.loss, matching.sides
        real_lq, real_gt = (image.to(matching.device) for image in real)
        targets = parameter_gradients(*common, real_lq, real_gt)
        leaves = {
            kind: part.values[items].to(matching.device).requires_grad_() for kind, part in self.variables.items()
        }
        lq, gt = self._pair(leaves, items, (self.seed, step))
        loss = matching.match(parameter_gradients(*common, lq, gt, create_graph=True), targets)
        gradients = torch.autograd.grad(loss + self._anchor(leaves, items), list(leaves.values()))
        if not all(part.isfinite().all() for part in (loss, *gradients)):
            raise DivergenceError(
                'distill',
                'a finite matching loss and gradients',
                f'others at step {step}',
                'Check the weights of the network, or lower distill.lr.',
            )
        return Move(loss.item(), dict(zip(leaves, (gradient.cpu() for gradient in gradients), strict=True)))

    def images(self, items: Sequence[int], at_start: bool = False) -> dict[str, Tensor]:
        """`gt`, and `lq` where it is optimised, of synthetic images: N x C x H x W, [0, 1], in main memory."""
        with torch.no_grad():
            return {
                kind: torch.cat([self._decode((part.start if at_start else part.values)[[n]]).cpu() for n in items])
                for kind, part in self.variables.items()
            }

    def _decode(self, values: Tensor) -> Tensor:
        return self.codec.decode(values.to(self.matching.device))

    def _pair(self, leaves: dict[str, Tensor], items: Sequence[int], key: tuple[int, ...]) -> Pair:
        """Input and clean images of the variables of some items; what is random depends on key and item."""
        gt, degrades = self._decode(leaves['gt']), self.matching.degrades
        if degrades is None:
            return self._decode(leaves['lq']), gt
        rngs = [np.random.default_rng((*key, item)) for item in items]
        return degraded(gt, [degrades[item] for item in items], rngs), gt

    def _anchor(self, leaves: dict[str, Tensor], items: Sequence[int]) -> Tensor | float:
        if self.settings.start == 'noise':
            return 0.0
        starts = {kind: part.start[items].to(self.matching.device) for kind, part in self.variables.items()}
        distances = [(leaf - starts[kind]).square().mean() for kind, leaf in leaves.items()]
        return self.settings.anchor * torch.stack(distances).sum()

    def _train(self, step: int) -> None:
        """Train the network on synthetic images where it is time for it."""
        number = self.networks.trainings_after(step)

        def batches() -> Iterator[Pair]:
            for count in range(number):
                draw = np.random.default_rng((self.seed, TRAINING, step, count))
                items = draw.permutation(len(self))[: self.settings.batch_size].tolist()
                leaves = {kind: part.values[items] for kind, part in self.variables.items()}
                with torch.no_grad():
                    pair = self._pair(leaves, items, (self.seed, TRAINING, step, count))
                yield pair

        if number:
            self.networks.at(step)
            self.networks.train(batches(), self.matching.loss, self.matching.sides)

    def _state(self) -> dict[str, Any]:
        variables = {kind: part.state() for kind, part in self.variables.items()}
        return {'losses': self.losses, 'variables': variables, 'network': self.networks.state()}

    def _continue(self) -> bool:
        """Whether there was a state to continue from."""
        state = self.state.load()
        if state is None:
            return False
        with self.state.fitting():
            within(len(state['losses']), self.settings.steps)
            self.losses = [float(loss) for loss in state['losses']]
            self.variables = {kind: Variables(**part) for kind, part in state['variables'].items()}
            for part in self.variables.values():
                part.check()
            self.networks.load(state['network'], len(self.losses))
        return True
