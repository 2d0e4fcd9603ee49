"""Whether a network fits the first images."""

import pytest
import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ext.errors import OptionError
from basicsr_ext.networks.described import CuttableNetwork, input_channels
from basicsr_ext.networks.fits import refuse_other_shape, try_network


def test_what_a_network_gives_is_passed_on() -> None:
    net = nn.Conv2d(1, 1, 3)
    output = try_network(lambda: net(torch.ones(1, 1, 4, 4)), 'Net', '(1, 1, 4, 4)', 'network_g', 'Correct it.')
    assert output.shape == (1, 1, 2, 2)


def test_a_network_that_does_not_take_its_input() -> None:
    net = nn.Conv2d(3, 1, 3)
    with pytest.raises(OptionError) as caught:
        try_network(lambda: net(torch.ones(1, 1, 4, 4)), 'Net', '(1, 1, 4, 4)', 'datasets.train', 'Correct color.')
    message = str(caught.value)
    assert message.startswith('datasets.train: expected input that Net takes, got (1, 1, 4, 4) and Given groups=1')
    assert message.endswith('. Correct color.') and '\n' not in message


def test_another_shape() -> None:
    refuse_other_shape(torch.Size((1, 2)), (1, 2), 'Net', 'network_g', 'Correct scale.')
    with pytest.raises(
        OptionError, match=r'expected output of Net of the shape of gt \(1, 4\), got \(1, 2\)\. Correct'
    ):
        refuse_other_shape((1, 2), (1, 4), 'Net', 'network_g', 'Correct scale.')


@pytest.mark.parametrize(
    ('block', 'channels'),
    [
        ({'type': 'IRCNN', 'num_in_ch': 2, 'num_out_ch': 2}, 2),
        ({'type': 'EDSR', 'num_in_ch': 1, 'num_out_ch': 3, 'num_block': 1}, 1),
        ({'type': 'MIRNetv2'}, 3),
        ({'type': 'FlexIR', 'in_chans': 1, 'upscale': 1, 'depths': [1], 'num_heads': [2], 'embed_dim': 4}, 1),
    ],
)
def test_the_channels_of_the_input(block: dict[str, object], channels: int) -> None:
    net = build_network(dict(block))
    assert input_channels(net, block) == input_channels(net) == channels


def test_the_channels_that_a_network_says_come_first() -> None:
    net = nn.Sequential(nn.Conv2d(12, 3, 1))
    assert input_channels(net) == 12
    net.input_channels = 3  # type: ignore[assignment]
    assert input_channels(net, {'num_in_ch': 5}) == 3
    with pytest.raises(OptionError, match='expected a network with an argument num_in_ch or'):
        input_channels(nn.Identity(), {})


def test_flexir_says_what_it_is_cut_to() -> None:
    block = {'upscale': 1, 'window_size': 4, 'depths': [2, 1], 'embed_dim': 12, 'num_heads': [2, 3], 'upsampler': ''}
    net = build_network({'type': 'FlexIR', **block})
    assert isinstance(net, CuttableNetwork) and not isinstance(nn.Identity(), CuttableNetwork)
    weights, options = net.cut(1)
    assert options == {'depths': [2], 'num_heads': [2]}
    cut = build_network({'type': 'FlexIR', **block, **options}).eval()
    cut.load_state_dict(weights)
    net.pointer, image = 1, torch.rand(1, 3, 9, 10)
    with torch.no_grad():
        torch.testing.assert_close(cut(image), net.eval()(image))
    assert net.equal_part(9, 10) == ((4, 4), 9)
    assert net.sizes_to_try()[0] == (11, 15)
