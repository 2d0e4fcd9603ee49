"""Counts of layers that are not those of a network of ours, by hand."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from basicsr_ext.networks.macs import full_macs, paper_count


class Fused(nn.Module):
    """Attention with 2 heads of 3 channels for 5 queries, 7 keys."""

    def forward(self, x: Tensor) -> Tensor:
        return scaled_dot_product_attention(x[:, :, :5], x, x)


def test_fused_attention_is_counted() -> None:
    assert full_macs(Fused(), torch.zeros(1, 2, 7, 3)) == 2 * 5 * 7 * (3 + 3)
    assert paper_count(Fused(), torch.zeros(1, 2, 7, 3)) == (0, 0)


def test_other_layers_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 2, 2)).eval()
    params, macs = paper_count(net, torch.zeros(1, 4, 9, 9))
    assert params == sum(p.numel() for p in net.parameters())
    assert macs == 16 * 6 * 2 * 9 + 4 * 16 * 6 + 16 * 6 * 2 * 4
