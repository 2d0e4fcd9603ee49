"""The tuner and the encoder without weights: sizes, bounds, what filters respond to."""

import math

import pytest
import torch
from basicsr.archs import build_network

from basicsr_ext.archs.distribution_tuner_arch import DistributionTuner
from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.errors import DataError, OptionError

# ---- tuner ----


def test_the_paper_s_size() -> None:
    net = build_network({'type': 'DistributionTuner'})
    assert sum(p.numel() for p in net.parameters()) == 225_091
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.body) == 8


@pytest.mark.parametrize('channels', [1, 3])
def test_it_starts_as_the_identity_and_can_learn(channels: int) -> None:
    net, x = DistributionTuner(channels, width=8, depth=3), torch.rand(2, channels, 9, 7)
    assert torch.equal(net(x), x)
    net(x).sum().backward()
    assert net.body[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize('bound', [8 / 255, 1 / 255])
def test_no_weights_break_the_bound(bound: float) -> None:
    torch.manual_seed(0)
    net, x = DistributionTuner(width=8, depth=4, bound=bound), torch.rand(2, 3, 20, 20)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=10)
    change = net(x) - x
    assert change.abs().max() <= bound + 1e-7  # the rounding of the sum
    assert change.abs().mean() > bound / 2
    rounded = (net(x.mul(255).round() / 255).clamp(0, 1) * 255).round() - x.mul(255).round()
    assert rounded.abs().max() <= round(255 * bound)


def test_small_changes_pass_unbent() -> None:
    net, x = DistributionTuner(width=8, depth=2), torch.rand(1, 3, 9, 9)
    torch.nn.init.constant_(net.body[-1].bias, 1e-4)
    torch.testing.assert_close(net(x) - x, torch.full_like(x, 1e-4), atol=1e-7, rtol=0)


@pytest.mark.parametrize('wrong', [{'depth': 1}, {'bound': 0.0}, {'bound': math.nan}])
def test_what_the_tuner_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=f'DistributionTuner.{next(iter(wrong))}: expected'):
        DistributionTuner(**wrong)


# ---- encoder ----


def wave(wavelength: float, angle: float, contrast: float, side: int = 64) -> torch.Tensor:
    places = torch.arange(side, dtype=torch.float64)
    y, x = torch.meshgrid(places, places, indexing='ij')
    phase = 2 * math.pi / wavelength * (x * math.cos(angle) + y * math.sin(angle))
    return (0.5 + contrast * torch.cos(phase)).float().expand(1, 3, -1, -1)


@pytest.mark.parametrize(('scale', 'wavelength'), [(0, 4), (1, 8), (2, 16)])
def test_a_wave_stands_out_in_its_own_channel(scale: int, wavelength: int) -> None:
    for number in range(4):
        energies = (
            FilterBankEncoder().features(wave(wavelength, number * math.pi / 4, 0.1))[0, 3:, 3:-3, 3:-3].mean((1, 2))
        )
        assert int(energies.argmax()) == 4 * scale + number


def test_the_finest_energy_of_a_wave_is_its_amplitude() -> None:
    inside = FilterBankEncoder().features(wave(4, 0, 0.1))[0, 3, 3:-3, 3:-3]
    torch.testing.assert_close(inside, torch.full_like(inside, math.log1p(255 * 0.1)), rtol=1e-3, atol=0)


def test_a_constant_image_has_colour_and_no_energy() -> None:
    colour = torch.tensor([0.2, 0.4, 0.6])
    features = FilterBankEncoder().features(colour[None, :, None, None].expand(1, 3, 32, 40))
    assert features.shape == (1, 15, 8, 10)
    expected = torch.tensor([0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6, -0.2, 0.3 - 0.6])
    torch.testing.assert_close(features[0, :3].mean((1, 2)), expected)
    assert features[0, 3:].max() < 0.01
    assert FilterBankEncoder(scales=2, orientations=3).features(torch.rand(1, 3, 33, 40)).shape == (1, 9, 16, 20)


def test_the_encoder_is_the_same_for_everybody_and_passes_gradients() -> None:
    x = torch.rand(1, 3, 24, 24, requires_grad=True)
    first, second = FilterBankEncoder(), FilterBankEncoder()
    assert torch.equal(first.features(x), second.features(x)) and not list(first.state_dict())
    first.features(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.abs().sum() > 0
    flat = torch.full((1, 3, 24, 24), 0.5, requires_grad=True)
    first.features(flat).sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_what_the_encoder_refuses() -> None:
    with pytest.raises(DataError, match=r'expected at least 16 x 16 pixels, got \(15, 40\)'):
        FilterBankEncoder().features(torch.rand(1, 3, 15, 40))
    FilterBankEncoder().features(torch.rand(1, 3, 16, 16))
    for wrong in ('scales', 'orientations'):
        with pytest.raises(OptionError, match=f'FilterBankEncoder.{wrong}: expected at least 1, got 0'):
            FilterBankEncoder(**{wrong: 0})
