"""The network whose gradients are matched, as it changes over the steps."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from basicsr_ext.distillation.matching import Loss
from basicsr_ext.distillation.settings import NetworkSettings
from basicsr_ext.networks.tiling import Sides, run_padded


class Networks:
    """One network per round of matching steps, trained on synthetic images in between if that is asked for.

    It is in evaluation mode all the time, so that nothing in it is random.

    Args:
        make: gives the network that a round, counted from 0, starts with.
        settings: how long a round is, and the training.
    """

    def __init__(self, make: Callable[[int], nn.Module], settings: NetworkSettings) -> None:
        self.make, self.settings, self.round = make, settings, -1
        self.net: nn.Module
        self.optimizer: torch.optim.Optimizer

    def at(self, step: int) -> nn.Module:
        """The network of a matching step, counted from 1."""
        length = self.settings.matching_steps
        number = 0 if length is None else (step - 1) // length
        if number != self.round:
            # Channels-last: on CPUs it nearly halves the time of the second derivatives.
            self.net = self.make(number).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.round = number
            self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.settings.lr)
        return self.net

    def trainings_after(self, step: int) -> int:
        """The number of training steps that follow a matching step."""
        return 0 if step % self.settings.train_every else self.settings.train_steps

    def changes_after(self, step: int) -> bool:
        """Whether the next matching step sees a network that was trained after this one, or a new one."""
        length = self.settings.matching_steps
        return self.trainings_after(step) > 0 or (length is not None and step % length == 0)

    def train(self, batches: Iterator[tuple[Tensor, Tensor]], loss: Loss, sides: Sides) -> None:
        """Train as usual, one step per batch of input and clean images."""
        for lq, gt in batches:
            self.optimizer.zero_grad(set_to_none=True)
            loss(run_padded(self.net, lq, sides), gt).backward()
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """The state of a network that was trained; one that was not is made again and has none."""
        if not self.settings.train_steps:
            return {}
        return {'net': self.net.state_dict(), 'optimizer': self.optimizer.state_dict()}

    def load(self, state: dict[str, Any], step: int) -> None:
        """Continue after a matching step."""
        self.at(step)
        if state:
            self.net.load_state_dict(state['net'])
            self.optimizer.load_state_dict(state['optimizer'])
