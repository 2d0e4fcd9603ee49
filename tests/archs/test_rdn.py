"""RDN: the keys of EDSR-PyTorch's weights, its counts, and its blocks against a loop."""

import pytest
import torch
import torch.nn.functional as F

from basicsr_ext.archs.rdn_arch import RDB, RDN
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.described import output_scale

TINY = {'num_feat': 8, 'num_grow_ch': 4, 'num_block': 2, 'num_layers': 3}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ('channels', 'upscale', 'count'),
    # FlexIR, Table 4: 22.12 M, which is the network that enlarges twice
    [(3, 2, 22_123_395), (1, 2, 22_121_089), (3, 1, 21_975_683), (1, 1, 21_973_377), (3, 4, 22_271_107)],
)
def test_number_of_parameters(channels: int, upscale: int, count: int) -> None:
    with torch.device('meta'):
        net = RDN(channels, channels, upscale=upscale)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


UPNET = {
    1: {'UPNet.0': (3, 64, 3, 3)},
    2: {'UPNet.0': (256, 64, 3, 3), 'UPNet.2': (3, 64, 3, 3)},
    3: {'UPNet.0': (576, 64, 3, 3), 'UPNet.2': (3, 64, 3, 3)},
    4: {'UPNet.0': (256, 64, 3, 3), 'UPNet.2': (256, 64, 3, 3), 'UPNet.4': (3, 64, 3, 3)},
}


@pytest.mark.parametrize('upscale', UPNET)
def test_has_the_keys_of_the_published_weights(upscale: int) -> None:
    with torch.device('meta'):
        state = RDN(upscale=upscale).state_dict()
    weights = {'SFENet1': (64, 3, 3, 3), 'SFENet2': (64, 64, 3, 3), 'GFF.0': (64, 1024, 1, 1), 'GFF.1': (64, 64, 3, 3)}
    for block in range(16):
        weights |= {f'RDBs.{block}.convs.{i}.conv.0': (64, 64 + 64 * i, 3, 3) for i in range(8)}
        weights[f'RDBs.{block}.LFF'] = (64, 576, 1, 1)
    weights |= UPNET[upscale]
    expected = {f'{key}.weight': shape for key, shape in weights.items()}
    expected |= {f'{key}.bias': shape[:1] for key, shape in weights.items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


@pytest.mark.parametrize('upscale', UPNET)
def test_shape_weights_and_gradients(upscale: int) -> None:
    net, again = RDN(upscale=upscale, **TINY), RDN(upscale=upscale, **TINY)
    again.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(2, 3, 7, 9)
    out = net(x)
    assert torch.equal(out, again(x))
    assert out.shape == (2, 3, 7 * upscale, 9 * upscale) and output_scale(net) == upscale
    out.square().sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_a_block_equals_a_loop_over_its_layers() -> None:
    block, x = RDB(8, 4, 3).double(), torch.rand(2, 8, 5, 6, dtype=torch.float64)
    weights = block.state_dict()
    outs = [x]
    for layer in range(3):
        key = f'convs.{layer}.conv.0'
        seen = torch.cat(outs, dim=1)
        outs.append(F.conv2d(seen, weights[f'{key}.weight'], weights[f'{key}.bias'], padding=1).clamp(min=0))
    fused = F.conv2d(torch.cat(outs, dim=1), weights['LFF.weight'], weights['LFF.bias'])
    torch.testing.assert_close(block(x), x + fused)


def test_all_blocks_are_fused_and_the_input_is_added() -> None:
    net, x = RDN(**TINY), torch.rand(1, 3, 6, 5)
    shallow = net.SFENet1(x)
    first = net.RDBs[0](net.SFENet2(shallow))
    fused = net.GFF(torch.cat([first, net.RDBs[1](first)], dim=1))
    torch.testing.assert_close(net(x), x + net.UPNet(shallow + fused))


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'upscale': 5}, r'RDN\.upscale: expected 1, 2, 3 or 4, got 5'),
        ({'num_out_ch': 1}, r'RDN\.num_out_ch: expected num_in_ch = 3, because the input is added.*got 1'),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        RDN(**{**TINY, **options})
