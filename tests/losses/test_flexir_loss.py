"""The loss of FlexIR against its formula."""

import math

import pytest
import torch
from basicsr.losses.basic_loss import CharbonnierLoss
from torch import Tensor

from basicsr_ext.errors import OptionError
from basicsr_ext.losses.flexir_loss import ProgressiveDistillationLoss, channel_attention_loss, charbonnier_loss


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def test_charbonnier_has_epsilon_squared() -> None:
    image, gt = tensors((2, 3, 5, 4), (2, 3, 5, 4))
    expected = sum(math.hypot(a - b, 1e-3) for a, b in zip(image.flatten(), gt.flatten(), strict=True)) / image.numel()
    assert charbonnier_loss(image, gt, 1e-3).item() == pytest.approx(expected, rel=1e-12)
    assert charbonnier_loss(gt, gt, 1e-3).item() == pytest.approx(1e-3)
    torch.testing.assert_close(charbonnier_loss(image, gt, 1e-3), CharbonnierLoss(eps=1e-6)(image, gt))


def test_channel_attention_weighs_channels() -> None:
    feature, score, teacher = tensors((2, 4, 3, 5), (2, 4, 1, 1), (2, 4, 3, 5))
    total = 0.0
    for n in range(2):
        for c in range(4):
            total += (feature[n, c] * score[n, c, 0, 0] - teacher[n, c]).abs().sum().item()
    assert channel_attention_loss(feature, score, teacher).item() == pytest.approx(total / feature.numel())
    assert channel_attention_loss(teacher, None, teacher).item() == 0


@pytest.mark.parametrize('scored', [False, True])
def test_later_branches_count_more(scored: bool) -> None:
    gt, teacher, *items = tensors((2, 3, 6, 6), (2, 4, 8, 8), *[(2, 4, 8, 8), (2, 3, 6, 6), (2, 4, 1, 1)] * 3)
    branches = [(items[3 * j], items[3 * j + 1], items[3 * j + 2] if scored else None) for j in range(3)]
    loss = ProgressiveDistillationLoss(alpha=0.3, epsilon=0.01, loss_weight=2.0)(branches, gt, teacher)
    expected = 0.0
    for j, (feature, image, score) in enumerate(branches, start=1):
        difference = (feature if score is None else feature * score) - teacher
        l_c = ((image - gt).square() + 0.01**2).sqrt().mean()
        expected += j * (0.3 * difference.abs().mean().item() + 0.7 * l_c.item()) / 6
    assert loss.item() == pytest.approx(2 * expected, rel=1e-12)


def test_one_branch_without_teacher_is_charbonnier() -> None:
    image, gt = tensors((2, 3, 5, 4), (2, 3, 5, 4))
    loss = ProgressiveDistillationLoss(alpha=0.25)
    expected = 0.75 * charbonnier_loss(image, gt, 1e-3)
    torch.testing.assert_close(loss(image, gt), expected)
    torch.testing.assert_close(loss([(image, image, None)], gt), expected)


def test_gradients() -> None:
    gt, teacher, *items = tensors((1, 1, 2, 2), (1, 2, 2, 2), *[(1, 2, 2, 2), (1, 1, 2, 2), (1, 2, 1, 1)] * 2)
    for item in items:
        item.requires_grad_()

    def loss(*items: Tensor) -> Tensor:
        return ProgressiveDistillationLoss()([items[:3], items[3:]], gt, teacher)

    assert torch.autograd.gradcheck(loss, items)


@pytest.mark.parametrize(('name', 'value'), [('alpha', 1.5), ('alpha', -0.1), ('epsilon', 0.0)])
def test_wrong_options_are_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f'ProgressiveDistillationLoss.{name}: expected .* got {value}'):
        ProgressiveDistillationLoss(**{name: value})
