"""The architectures of spandrel: all build, agree with spandrel's own, and come back from their weights."""

import logging
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from basicsr_ext.archs import spandrel_arch
from basicsr_ext.archs.spandrel_arch import SpandrelArch
from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.tiling import Sides, run_padded
from basicsr_ext.options.load import load_options
from tests.helpers.option_files import option_file
from tests.helpers.processes import run

spandrel = pytest.importorskip('spandrel')

SWIN = {'embed_dim': 12, 'depths': [1], 'num_heads': [2], 'window_size': 8, 'img_size': 16}
HAT = {**SWIN, 'compress_ratio': 3, 'squeeze_factor': 3, 'num_feat': 16, 'upscale': 1, 'upsampler': 'pixelshuffle'}
GRL = {
    'embed_dim': 16, 'depths': [1, 1], 'num_heads_window': [1, 1], 'num_heads_stripe': [1, 1], 'mlp_ratio': 2.0
}  # fmt: skip
UNSEEN = {'window_size': 4, 'stripe_size': [8, 16], 'anchor_window_down_factor': 2}  # in the weights of a GRL
SMALL: dict[str, dict[str, Any]] = {
    'AuraSR': {
        'dim': 8, 'image_size': 256, 'input_image_size': 64, 'skip_connect_scale': 0.4,
        'style_network': {'dim_in': 8, 'dim_out': 16, 'depth': 1},
    },
    'DRCT': {'embed_dim': 36, 'depths': [6], 'num_heads': [6], 'gc': 4, 'upsampler': 'pixelshuffle'},
    'ESRGAN': {'num_blocks': 1},
    'FFTformer': {'dim': 8, 'num_blocks': [1, 1, 1], 'num_refinement_blocks': 1},
    'GRL': GRL,
    'HAT': HAT,
    'IPT': {'num_layers': 1},
    'KBNet_l': {'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
    'KBNet_s': {'width': 8, 'middle_blk_num': 1, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1, 1]},
    'MMRealSR': {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'num_grow_ch': 4},
    'MoESR': {'n_blocks': 1, 'n_block': 1},
    'NAFNet': {'middle_blk_num': 1, 'enc_blk_nums': [1], 'dec_blk_nums': [1]},
    'RCAN': {'n_resgroups': 1, 'n_resblocks': 1},
    'RestoreFormer': {'ch': 32},
    'SAFMN': {'dim': 8},
    'SAFMNBCIE': {'dim': 8},
    'SCUNet': {'config': [1] * 7},
    'SPAN': {'num_in_ch': 3, 'num_out_ch': 3},
    'Swin2SR': {**SWIN, 'upscale': 1},
    'SwinIR': SWIN,
    'Uformer': {'depths': [1] * 9},
}  # fmt: skip


def classes(identity: str) -> tuple[type[nn.Module], ...]:
    (kind,) = get_args(type(spandrel.MAIN_REGISTRY[identity].architecture).__orig_bases__[0])
    return get_args(kind) or (kind,)


# More than a second each; the others are built by the default suite.
LARGE = {
    'ATD', 'AuraSR', 'CRAFT', 'DCTLSA', 'DRUNet', 'FBCNN', 'FDAT', 'GFPGAN', 'LaMa', 'MMRealSR', 'PLKSR', 'SAFMNBCIE',
    'SeemoRe',
}  # fmt: skip
ALL = [
    pytest.param(name, kind, id=f'{name}-{kind.__name__}', marks=[pytest.mark.slow] if name in LARGE else [])
    for name in (support.architecture.id for support in spandrel.MAIN_REGISTRY)
    for kind in classes(name)
]


def small(identity: str, kind: type[nn.Module]) -> dict[str, Any]:
    block = {'type': 'SpandrelArch', 'architecture': identity, **SMALL.get(kind.__name__, SMALL.get(identity, {}))}
    return {**block, 'variant': kind.__name__} if len(classes(identity)) > 1 else block


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def images(*size: int) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))


def saved(net: nn.Module, folder: Path, key: str | None = None) -> str:
    weights = net.state_dict()
    torch.save({key: weights} if key else weights, folder / 'net.pth')
    return str(folder / 'net.pth')


# ---- from scratch ----


@pytest.mark.parametrize(('identity', 'kind'), ALL)
def test_every_architecture_builds_and_comes_back(identity: str, kind: type[nn.Module], tmp_path: Path) -> None:
    net = build_network(small(identity, kind))
    assert type(net) is kind and net.training
    assert any(parameter.requires_grad for parameter in net.parameters())
    asked = spandrel.MAIN_REGISTRY[identity].architecture.load(dict(net.state_dict())).size_requirements
    assert input_sides(net) == Sides(asked.multiple_of, asked.minimum, asked.square)
    again = SpandrelArch(checkpoint=saved(net, tmp_path))
    assert type(again) is kind and again.training
    assert input_sides(again, {}) == input_sides(net)
    for name, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    trained = {name: parameter.requires_grad for name, parameter in net.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in again.named_parameters()} == trained


@pytest.mark.parametrize('identity', ['SwinIR', 'GRL', 'HAT'])
def test_equals_the_class_of_spandrel(identity: str) -> None:
    net, (kind,) = (
        build_network({'type': 'SpandrelArch', 'architecture': identity, **SMALL[identity]}),
        classes(identity),
    )
    own = kind(**SMALL[identity])
    own.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(images(16, 24)), own.eval()(images(16, 24)))


def test_describing_the_network_draws_no_random_numbers() -> None:
    (kind,) = classes('HAT')
    kind(**HAT)
    expected = torch.rand(3)
    torch.manual_seed(0)
    SpandrelArch('HAT', **HAT)
    assert torch.equal(torch.rand(3), expected)


def test_all_parameters_of_a_grl_learn() -> None:
    net = SpandrelArch('GRL', drop_path_rate=0.0, **GRL)
    net(images(16, 16)).square().mean().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


def test_a_network_that_spandrel_cannot_describe_is_built(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GRL with this upsampler and no upscaling has weights in which spandrel does not see the upsampler."""
    monkeypatch.setattr(spandrel_arch, 'get_root_logger', lambda: logging.getLogger('test'))
    net = SpandrelArch('GRL', upsampler='pixelshuffle', upscale=1, **GRL)
    assert 'network GRL: spandrel cannot tell which images it takes' in caplog.text
    assert input_sides(net, {'window_size': 8}) == Sides(8)
    assert net(images(16, 16)).requires_grad


@pytest.mark.parametrize(
    ('name', 'count'),
    [
        ('train_SwinIR-S_color_sigma50_DIV2K', 2_248_083),
        ('train_SwinIR-B_color_sigma50_DIV2K', 11_504_163),
        ('train_GRL-S_color_sigma50_DIV2K', 3_120_227),
        ('train_HAT-S_color_sigma50_DIV2K', 9_410_495),
    ],
)
def test_sizes_of_the_networks_of_traps(name: str, count: int) -> None:
    """TRAPS, 2024: SwinIR-S has 2.24 M parameters, SwinIR-B 11.5 M, GRL-S 3.12 M, HAT-S 9.41 M."""
    net = build_network(load_options(option_file(name))['network_g'])
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize(
    ('name', 'arguments', 'count'),
    [
        ('DRUNet', {'in_nc': 4, 'out_nc': 3}, 32_640_960),  # three colours and the noise level
        ('DRUNet', {'in_nc': 2, 'out_nc': 1}, 32_638_656),
        ('DnCNN', {'in_nc': 3, 'out_nc': 3, 'act_mode': 'R'}, 557_443),
    ],
)
def test_sizes_of_the_networks_that_flexir_compares(name: str, arguments: dict[str, Any], count: int) -> None:
    """FlexIR, 2024, Tables 3 and 4: DRUNet has 32.64 M parameters, DnCNN 0.56 M."""
    (kind,) = classes(name)
    with torch.device('meta'):
        assert sum(parameter.numel() for parameter in kind(**arguments).parameters()) == count


# ---- what is refused ----


@pytest.mark.parametrize(
    ('block', 'text'),
    [
        ({'architecture': 'GRLL'}, r"architecture: expected one of spandrel, got 'GRLL'\. Did you mean GRL\?"),
        ({'architecture': 'swinir'}, r"got 'swinir'\. Did you mean SwinIR\?"),
        ({}, r'architecture: expected a name or a checkpoint, got neither'),
        ({'architecture': 'GRL', 'embed_dims': 8}, r"embed_dims: expected an argument of GRL.*Did you mean embed_dim"),
        ({'architecture': 'SAFMN'}, r'dim: expected a value, which SAFMN needs, got none'),
        ({'architecture': 'SwinIR', 'window_size': 7}, r'expected arguments that make a SwinIR, .*RuntimeError: shape'),
        ({'architecture': 'KBNet'}, r'variant: expected one of KBNet, got None\. Known names: KBNet_l, KBNet_s\.'),
        ({'architecture': 'KBNet', 'variant': 'KBNet_m'}, r"got 'KBNet_m'\. Known names: KBNet_l, KBNet_s\."),
        ({'architecture': 'GRL', 'variant': 'HAT'}, r"variant: expected one of GRL, got 'HAT'\. Known names: GRL\."),
    ],
)  # fmt: skip
def test_wrong_options(block: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=rf'SpandrelArch[.:].*{text}'):
        SpandrelArch(**block)


@pytest.mark.parametrize(('identity', 'upsampler'), [('HAT', ''), ('DRCT', None), ('DAT', 'nearest+conv')])
def test_an_upsampler_that_returns_the_input(identity: str, upsampler: str | None) -> None:
    """Spandrel's own class does not notice; `None` leaves its default."""
    arguments = {**SMALL.get(identity, {}), 'upscale': 1, 'upsampler': upsampler}
    if upsampler is None:
        del arguments['upsampler']
    (kind,) = classes(identity)
    torch.testing.assert_close(kind(**arguments).eval()(images(16, 16)), images(16, 16))
    with pytest.raises(OptionError, match=r'upsampler: expected pixelshuffle.*Use upsampler: pixelshuffle, with upsca'):
        SpandrelArch(identity, **arguments)
    restored = SpandrelArch(identity, **{**arguments, 'upsampler': 'pixelshuffle'}).eval()(images(16, 16))
    assert restored.shape == (1, 3, 16, 16) and restored.requires_grad


def test_without_spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'spandrel', None)
    with pytest.raises(OptionError, match=r'expected spandrel to be installed.*pip install "basicsr-ext\[archs\]"'):
        SpandrelArch('GRL')


def test_the_package_does_not_import_spandrel(tmp_path: Path) -> None:
    """Nor does any job, all of which the forks have loaded."""
    script = tmp_path / 'script.py'
    script.write_text(
        'import sys\n'
        'import basicsr\n'
        "assert 'basicsr_ext.jobs.rank' in sys.modules and 'basicsr_ext.archs.spandrel_arch' in sys.modules\n"
        "assert 'spandrel' not in sys.modules\n"
    )
    run([str(script)], tmp_path)


# ---- checkpoints ----


@pytest.mark.parametrize('key', [None, 'params', 'params_ema', 'state_dict'])
def test_a_checkpoint_gives_the_same_network(key: str | None, tmp_path: Path) -> None:
    net = SpandrelArch('SwinIR', **SWIN).eval()
    again = SpandrelArch(checkpoint=saved(net, tmp_path, key)).eval()
    assert torch.equal(again(images(16, 24)), net(images(16, 24)))


def test_a_checkpoint_of_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    net = SpandrelArch('HAT', **HAT).eval()
    save_file(net.state_dict(), tmp_path / 'net.safetensors')
    again = SpandrelArch(checkpoint=str(tmp_path / 'net.safetensors')).eval()
    assert torch.equal(again(images(16, 24)), net(images(16, 24)))
    (tmp_path / 'net.safetensors').write_bytes(b'nothing')
    for name, expected in (
        ('net.safetensors', 'a file of safetensors, got'),
        ('none.safetensors', 'a file, got none'),
    ):
        with pytest.raises(CheckpointError, match=rf'{name}: expected {expected}'):
            SpandrelArch(checkpoint=str(tmp_path / name))


def test_arguments_beside_a_checkpoint_replace_what_is_inferred(tmp_path: Path) -> None:
    net = SpandrelArch('GRL', **GRL, **UNSEEN).eval()
    path, expected = saved(net, tmp_path), net(images(16, 24))
    assert torch.equal(SpandrelArch(checkpoint=path, stripe_shift=False, **UNSEEN).eval()(images(16, 24)), expected)
    assert not torch.allclose(SpandrelArch(checkpoint=path).eval()(images(16, 24)), expected)
    with pytest.raises(CheckpointError, match=r"expected weights for \{'embed_dim': 32\}, got another shape: .*size"):
        SpandrelArch(checkpoint=path, embed_dim=32)
    with pytest.raises(OptionError, match=r'windows_size: expected an argument of GRL.*Did you mean window_size'):
        SpandrelArch(checkpoint=path, windows_size=8)


def test_names_beside_a_checkpoint_have_to_agree(tmp_path: Path) -> None:
    path = saved(SpandrelArch('GRL', **GRL), tmp_path)
    assert type(SpandrelArch('GRL', path, 'GRL')).__name__ == 'GRL'
    with pytest.raises(OptionError, match=r"architecture: expected GRL, as the weights in .* are, got 'HAT'"):
        SpandrelArch('HAT', path)
    with pytest.raises(OptionError, match=r"variant: expected GRL, as the weights in .* are, got 'GRL2'"):
        SpandrelArch(checkpoint=path, variant='GRL2')


def test_weights_that_spandrel_does_not_know(tmp_path: Path) -> None:
    path = saved(nn.Linear(2, 2), tmp_path)
    with pytest.raises(CheckpointError, match=r'expected weights of an architecture of spandrel .*pretrain_network_g'):
        SpandrelArch(checkpoint=path)
    with pytest.raises(CheckpointError, match=r'nothing\.pth: expected a file, got none'):
        SpandrelArch(checkpoint=str(tmp_path / 'nothing.pth'))


# ---- what images they take ----


@pytest.mark.parametrize(
    ('identity', 'size', 'padded'),
    [('HAT', (5, 20), (16, 20)), ('Uformer', (5, 20), (128, 128)), ('SCUNet', (41, 9), (41, 40))],
)
@torch.no_grad()
def test_padding_meets_what_the_network_asks(identity: str, size: tuple[int, int], padded: tuple[int, int]) -> None:
    net = SpandrelArch(identity, **SMALL[identity]).eval()
    seen: list[tuple[int, ...]] = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    assert run_padded(net, images(*size), input_sides(net)).shape == (1, 3, *size)
    assert seen == [padded]


def test_a_model_restores_an_image_smaller_than_the_minimum() -> None:
    block = {'type': 'SpandrelArch', 'architecture': 'HAT', **HAT}
    with pytest.raises(RuntimeError):
        build_network(block)(images(3, 7))
    opt = {'num_gpu': 0, 'dist': False, 'is_train': False, 'network_g': block, 'path': {}, 'val': {}, 'name': 'small'}
    model = RestorationModel(opt)
    model.feed_data({'lq': images(3, 7)})
    model.test()
    assert model.output.shape == (1, 3, 3, 7)
