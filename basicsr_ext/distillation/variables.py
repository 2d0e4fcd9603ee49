"""The variables of all synthetic images and the state of their optimiser, in main memory."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from basicsr_ext.runtime.saved_state import alike

BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass
class Variables:
    """Variables of M images, of which a step changes a few, by Adam (Kingma and Ba, 2015, Algorithm 1).

    Every image counts its own steps, as if it had an optimiser of its own.

    Attributes:
        values, start: now and at the beginning, M x C x h x w.
        first, second: Adam's moments, of the same shape.
        counts: steps of each image, (M,).
    """

    values: Tensor
    start: Tensor
    first: Tensor
    second: Tensor
    counts: Tensor

    @classmethod
    def starting_at(cls, values: Tensor) -> 'Variables':
        """The variables before the first step."""
        counts = torch.zeros(len(values), dtype=torch.long)
        return cls(values.clone(), values, torch.zeros_like(values), torch.zeros_like(values), counts)

    def check(self) -> None:
        """Check what was read from a file.

        Raises:
            TypeError: tensors that do not belong together.
        """
        for tensor in (self.start, self.first, self.second):
            alike(tensor, self.values)
        alike(self.counts, torch.zeros(len(self.values)))

    def step(self, items: Sequence[int], gradients: Tensor, lr: float) -> None:
        """Move some images.

        Args:
            items: which, each once.
            gradients: len(items) x C x h x w.
            lr: size of the step.
        """
        rows = torch.tensor(items)
        self.counts[rows] += 1
        counts = self.counts[rows].view(-1, *[1] * (gradients.ndim - 1)).double()
        first = BETAS[0] * self.first[rows] + (1 - BETAS[0]) * gradients
        second = BETAS[1] * self.second[rows] + (1 - BETAS[1]) * gradients**2
        self.first[rows], self.second[rows] = first, second
        corrected = (first / (1 - BETAS[0] ** counts), second / (1 - BETAS[1] ** counts))
        self.values[rows] -= (lr * corrected[0] / (corrected[1].sqrt() + EPS)).to(self.values.dtype)

    def state(self) -> dict[str, Tensor]:
        """The tensors that continue it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
