"""PromptIR: the keys of the official weights, its prompts, and where they enter."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from basicsr_ext.archs.promptir_arch import PromptGenBlock, PromptIR
from basicsr_ext.archs.restormer_arch import Restormer
from basicsr_ext.errors import OptionError
from basicsr_ext.networks.tiling import run_padded

TINY = {'dim': 8, 'num_blocks': (1, 1, 1, 1), 'num_refinement_blocks': 1, 'heads': (1, 2, 4, 8)}
# What the official weights have in place of, or beside, those of Restormer.
OFFICIAL_SHAPES = {
    'prompt1.prompt_param': (1, 5, 64, 64, 64),
    'prompt1.linear_layer.weight': (5, 96),
    'prompt1.linear_layer.bias': (5,),
    'prompt1.conv3x3.weight': (64, 64, 3, 3),
    'prompt2.prompt_param': (1, 5, 128, 32, 32),
    'prompt2.linear_layer.weight': (5, 192),
    'prompt2.linear_layer.bias': (5,),
    'prompt2.conv3x3.weight': (128, 128, 3, 3),
    'prompt3.prompt_param': (1, 5, 320, 16, 16),
    'prompt3.linear_layer.weight': (5, 384),
    'prompt3.linear_layer.bias': (5,),
    'prompt3.conv3x3.weight': (320, 320, 3, 3),
    'chnl_reduce1.weight': (64, 64, 1, 1),
    'chnl_reduce2.weight': (128, 128, 1, 1),
    'chnl_reduce3.weight': (256, 320, 1, 1),
    'reduce_noise_channel_1.weight': (48, 112, 1, 1),
    'reduce_noise_channel_2.weight': (96, 224, 1, 1),
    'reduce_noise_channel_3.weight': (192, 448, 1, 1),
    'up4_3.body.0.weight': (384, 192, 3, 3),
    'reduce_chan_level3.weight': (192, 288, 1, 1),
    'reduce_noise_level1.weight': (96, 160, 1, 1),
    'reduce_noise_level2.weight': (192, 320, 1, 1),
    'reduce_noise_level3.weight': (192, 704, 1, 1),
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_number_of_parameters() -> None:
    """The paper: 35.59 M."""
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in PromptIR().parameters()) == 35_592_263


def test_has_the_official_keys() -> None:
    with torch.device('meta'):
        state, plain = PromptIR().state_dict(), Restormer().state_dict()
    assert {key: tuple(state[key].shape) for key in OFFICIAL_SHAPES} == OFFICIAL_SHAPES
    shared = set(plain) - set(OFFICIAL_SHAPES)
    assert all(state[key].shape == plain[key].shape for key in shared)
    blocks = {key for key in state if key.startswith('noise_level')}
    kinds = {key.split('.', 2)[2] for key in plain if key.startswith('latent.0.')}
    assert blocks == {f'noise_level{level}.{kind}' for level in (1, 2, 3) for kind in kinds}
    assert set(state) == shared | set(OFFICIAL_SHAPES) | blocks
    for level, width in ((1, 160), (2, 320), (3, 704)):
        assert state[f'noise_level{level}.attn.qkv.weight'].shape == (3 * width, width, 1, 1)
        assert state[f'noise_level{level}.attn.temperature'].shape == (4, 1, 1)


def test_mixed_precision_changes_little() -> None:
    net, x = PromptIR(**TINY), torch.rand(1, 3, 16, 16)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = net(x)
    torch.testing.assert_close(mixed.float(), net(x), atol=0.05, rtol=0)
    assert net.to(torch.bfloat16)(x.bfloat16()).dtype is torch.bfloat16


def test_weights_come_back() -> None:
    net, again = PromptIR(**TINY).eval(), PromptIR(**TINY).eval()
    again.load_state_dict(net.state_dict(), strict=True)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(net(x), again(x))


@pytest.mark.parametrize('options', [{}, {'norm_type': 'BiasFree', 'bias': True, 'num_in_ch': 1, 'num_out_ch': 1}])
def test_shape_and_gradients(options: dict) -> None:
    net = PromptIR(**{**TINY, **options})
    channels = options.get('num_in_ch', 3)
    out = run_padded(net, torch.rand(2, channels, 13, 21), net.size_multiple)
    assert out.shape == (2, channels, 13, 21)
    out.square().sum().backward()
    # a trained parameter without a gradient would stop distributed training
    without = {name.partition('.')[0] for name, p in net.named_parameters() if p.grad is None}
    assert without == {name.partition('.')[0] for name, p in net.named_parameters() if not p.requires_grad}
    assert without == {f'{kind}{n}' for kind in ('chnl_reduce', 'reduce_noise_channel_') for n in (1, 2, 3)}


def test_a_prompt_is_a_weighted_sum_of_prompts() -> None:
    block, features = PromptGenBlock(6, 4, 8).double(), torch.rand(2, 6, 5, 7, dtype=torch.float64)
    expected = []
    for image in features:
        scores = block.linear_layer.weight @ image.mean(dim=(1, 2)) + block.linear_layer.bias
        weights = scores.exp() / scores.exp().sum()
        prompt = sum(weight * prompt for weight, prompt in zip(weights, block.prompt_param[0], strict=True))
        expected.append(F.interpolate(prompt[None], (5, 7), mode='bilinear', align_corners=False)[0])
    torch.testing.assert_close(block(features), block.conv3x3(torch.stack(expected)))


def test_prompts_enter_before_each_enlargement() -> None:
    net = PromptIR(**TINY)
    taken: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}

    def record(name: str, value: Tensor, out: Tensor) -> None:
        taken[name], given[name] = value, out

    for name, child in net.named_children():
        child.register_forward_hook(lambda _, args, out, name=name: record(name, args[0], out))
    net(torch.rand(1, 3, 16, 16))
    for level, before, after in (
        (3, 'latent', 'up4_3'),
        (2, 'decoder_level3', 'up3_2'),
        (1, 'decoder_level2', 'up2_1'),
    ):
        assert torch.equal(taken[f'prompt{level}'], given[before])
        joined = torch.cat([given[before], given[f'prompt{level}']], dim=1)
        assert torch.equal(taken[f'noise_level{level}'], joined)
        assert torch.equal(taken[f'reduce_noise_level{level}'], given[f'noise_level{level}'])
        assert torch.equal(taken[after], given[f'reduce_noise_level{level}'])


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'num_out_ch': 1}, r'PromptIR\.num_out_ch: expected num_in_ch = 3.*got 1\. Give both the same value'),
        ({'heads': (1, 2, 4)}, r'PromptIR\.heads: expected 4 values, one per level'),
        (
            {'heads': (1, 2, 12, 8), 'dim': 24},
            r'PromptIR\.heads: expected of level 3 a divisor of dim \* 2 \+ 64.*got 12',
        ),
        ({'norm_type': 'None'}, r"PromptIR\.norm_type: expected WithBias or BiasFree, got 'None'"),
    ],
)
def test_refuses(options: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        PromptIR(**{**TINY, **options})


def test_states_the_size_it_needs() -> None:
    with pytest.raises(ValueError, match=r'PromptIR: expected height and width divisible by 8, got \(16, 20\)'):
        PromptIR(**TINY)(torch.rand(1, 3, 16, 20))
