"""The MACs of mmengine's analysis against those of torch's own counter of floating-point operations."""

from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from basicsr_ext.networks.macs import full_macs

NETWORKS: dict[str, dict[str, Any]] = {
    'IRCNN': {'num_in_ch': 3, 'num_out_ch': 3},
    'EDSR': {'num_in_ch': 3, 'num_out_ch': 3, 'num_block': 2},
    'Restormer': {'dim': 8, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
    'FlexIR': {'upscale': 1, 'window_size': 4, 'depths': [2], 'embed_dim': 12, 'num_heads': [2], 'plain': True},
}


@pytest.mark.parametrize('kind', NETWORKS)
def test_both_count_alike(kind: str) -> None:
    """Layer norms, of which mmengine counts 5 operations a value and torch none, aside."""
    net: nn.Module = build_network({'type': kind, **NETWORKS[kind]}).eval()
    image, normed = torch.zeros(1, 3, 32, 32), 0

    def add(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        nonlocal normed
        normed += output.numel()

    for module in net.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(image)
    layer_norms = 5 * normed
    assert full_macs(net, image) == counter.get_total_flops() // 2 + layer_norms
