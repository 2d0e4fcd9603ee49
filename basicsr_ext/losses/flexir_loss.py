"""The loss with which the branches of FlexIR learn from the ground truth and from a teacher."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError

Branch = tuple[Tensor | None, Tensor, Tensor | None]


def charbonnier_loss(image: Tensor, gt: Tensor, epsilon: float) -> Tensor:
    """Mean of sqrt((image - gt)^2 + epsilon^2) (FlexIR, Eq. 2)."""
    return torch.sqrt((image - gt) ** 2 + epsilon**2).mean()


def channel_attention_loss(feature: Tensor, score: Tensor | None, teacher_feature: Tensor) -> Tensor:
    """Mean of |feature * score - teacher_feature| (FlexIR, Eq. 4); without a score that is 1.

    Reading chosen: there is no sum over channels, which is printed but does not fit the shapes.

    Args:
        feature, teacher_feature: N x C x H x W.
        score: N x C x 1 x 1.
    """
    return ((feature if score is None else feature * score) - teacher_feature).abs().mean()


@LOSS_REGISTRY.register()
class ProgressiveDistillationLoss(nn.Module):
    """Sum of j (alpha L_CA,j + (1 - alpha) L_c,j) over the active branches j, divided by the sum of j.

    "FlexIR", Eq. 5: L_c (Eq. 2) compares the image of a branch with the ground truth, L_CA (Eq. 4) its scored feature
    with the last feature of the teacher; later branches count more. FlexIRModel applies it as `distillation_opt`.

    Reading chosen: epsilon = 1e-3 stands squared below the root, as printed; BasicSR's CharbonnierLoss has its `eps`
    there as it is, so that 1e-6 is the same.

    .. code-block:: yaml

        train:
          distillation_opt:
            type: ProgressiveDistillationLoss
            alpha: 0.1
            epsilon: 1e-3

    Args:
        alpha: weight of the teacher, from 0 to 1.
        epsilon: of the Charbonnier loss, images being in [0, 1].
        loss_weight: factor of the whole.

    Raises:
        OptionError: `alpha` is not in [0, 1], or `epsilon` is not positive.
    """

    def __init__(self, alpha: float = 0.1, epsilon: float = 1e-3, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise OptionError('ProgressiveDistillationLoss.alpha', '0 to 1', alpha, 'Correct the value.')
        if epsilon <= 0:
            raise OptionError('ProgressiveDistillationLoss.epsilon', 'a positive number', epsilon, 'Correct the value.')
        self.alpha, self.epsilon, self.loss_weight = alpha, epsilon, loss_weight

    @property
    def needs_teacher(self) -> bool:
        """Whether what the teacher says has a weight."""
        return self.alpha > 0

    def forward(self, branches: Sequence[Branch] | Tensor, gt: Tensor, teacher_feature: Tensor | None = None) -> Tensor:
        """Compare the active branches with ground truth and teacher.

        Args:
            branches: feature N x C x h x w, image N x C' x H x W and score N x C x 1 x 1 or None of the active branches
                from the first on; a tensor is the image of a single branch.
            gt: N x C' x H x W.
            teacher_feature: N x C x h x w; None leaves L_CA out.

        Returns:
            A scalar.
        """
        if isinstance(branches, Tensor):
            branches = [(None, branches, None)]
        total = gt.new_zeros(())
        for number, (feature, image, score) in enumerate(branches, start=1):
            loss = (1 - self.alpha) * charbonnier_loss(image, gt, self.epsilon)
            if teacher_feature is not None and feature is not None:
                loss = loss + self.alpha * channel_attention_loss(feature, score, teacher_feature)
            total = total + number * loss
        return self.loss_weight * total / sum(range(1, len(branches) + 1))
