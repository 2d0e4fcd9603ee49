"""Statistics of a dataset, the training of the tuner, densities and quantiles."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from torch import Tensor, nn

from basicsr_ext.alignment.channel_statistics import ChannelStatistics, StreamedStatistics, measure
from basicsr_ext.alignment.comparison import (
    change,
    compare,
    first_component,
    kernel_density,
    quantiles,
    sample_features,
)
from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.alignment.tuning import Tuning, TuningSettings
from basicsr_ext.archs.distribution_tuner_arch import DistributionTuner
from basicsr_ext.errors import DataError, DivergenceError, OptionError
from basicsr_ext.options.blocks import read_block
from basicsr_ext.reports.alignment_plot import draw_alignment
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.saved_state import SavedState


class SmallEncoder(nn.Module):
    """Colours and two fixed filters."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer('kernel', torch.randn(2, 3, 3, 3, generator=generator))

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., 1:-1, 1:-1], nn.functional.conv2d(x, self.kernel)], dim=1)


def dataset(number: int, shift: float = 0.0, contrast: float = 1.0, seed: int = 0, channels: int = 3) -> list[Tensor]:
    """Smooth random images of several sizes."""
    rng, images = np.random.default_rng(seed), []
    for index in range(number):
        coarse = rng.normal(size=(5, 5, 3)).astype(np.float32)
        pixels = cv2.resize(coarse, (20 + 2 * (index % 3), 24), interpolation=cv2.INTER_CUBIC)
        image = (0.5 + shift + 0.1 * contrast * torch.from_numpy(pixels)).permute(2, 0, 1).clamp(0, 1)
        images.append((255 * image[:channels]).round() / 255)
    return images


def tuner(channels: int = 3) -> DistributionTuner:
    torch.manual_seed(0)
    return DistributionTuner(channels, width=8, depth=3)


def settings(**changes: Any) -> TuningSettings:
    return TuningSettings(**{'iterations': 60, 'patch_size': 16, 'lr': 1e-3, 'pixel_weight': 1.0, **changes})


def all_at_once(images: list[Tensor]) -> ChannelStatistics:
    encoder = SmallEncoder()
    maps = [encoder.features(image.expand(3, -1, -1)[None])[0].flatten(1).double() for image in images]
    values = torch.cat(maps, dim=1)
    return ChannelStatistics(values.mean(1), values.var(1, correction=0))


# ---- statistics ----


def test_streamed_statistics_are_those_of_all_at_once() -> None:
    images = dataset(7)
    found, expected = measure(images, SmallEncoder(), 'test'), all_at_once(images)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.var, expected.var, rtol=1e-12, atol=1e-12)


def test_streaming_keeps_its_digits_far_from_zero() -> None:
    values = 1e8 + torch.randn(1, 2, 40, 10, dtype=torch.float64)
    streamed = StreamedStatistics()
    for part in values.split([1, 30, 9], dim=2):
        streamed.update(part)
    torch.testing.assert_close(streamed.result().var, values.var((0, 2, 3), correction=0), rtol=1e-6, atol=0)


def test_divergence_known_values() -> None:
    zero, one, four = (torch.full((2,), value, dtype=torch.float64) for value in (0.0, 1.0, 4.0))
    assert ChannelStatistics(one, one).divergence(ChannelStatistics(zero, one)) == pytest.approx(2 * 0.5)
    assert ChannelStatistics(one, one).divergence(ChannelStatistics(one, one)) == 0
    wide = ChannelStatistics(zero, four).divergence(ChannelStatistics(zero, one))
    assert wide == pytest.approx(2 * (np.log(1 / 4) + 4 - 1) / 2)


def test_measuring_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, encoder, saved = dataset(9), SmallEncoder(), SavedState(tmp_path / 'state.pth')
    asked = iter([*[False] * 7, True])  # twice an image: by those who share it out, and where it is saved
    monkeypatch.setattr(interrupt, 'requested', lambda: next(asked, False))
    with pytest.raises(interrupt.Interrupted):
        measure(images, encoder, 'test', saved)
    read: list[int] = []

    class Counted(list):  # type: ignore[type-arg]
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    found = measure(Counted(images), encoder, 'test', saved)
    assert read == [4, 5, 6, 7, 8]
    expected = measure(images, encoder, 'test')
    assert torch.equal(found.mean, expected.mean) and torch.equal(found.var, expected.var)
    again = measure(Counted(images), encoder, 'test', saved)
    assert len(read) == 5 and torch.equal(again.var, expected.var)


# ---- the loss ----


def plain_divergence(tuned: list[Tensor], target: ChannelStatistics) -> float:
    found = all_at_once(tuned)
    terms = (target.var / found.var).log() + (found.var + (found.mean - target.mean) ** 2) / target.var - 1
    return float(terms.sum() / 2)


def test_the_divergence_starts_at_that_of_the_whole_subset() -> None:
    """Whatever the batch is: it says only what the tuner changes."""
    images, target = dataset(4), all_at_once(dataset(30, shift=0.05, contrast=1.3, seed=1))
    tuning = Tuning(tuner(), images, SmallEncoder(), target, settings(batch_size=1), seed=0)
    for step in (1, 2, 3):
        terms = tuning.losses(step)
        assert terms['kl'].item() == pytest.approx(plain_divergence(images, target), rel=1e-5)
        assert terms['pixel'] == 0


def test_the_divergence_of_the_whole_subset_as_a_batch_is_exact() -> None:
    """One image, whole: the estimate is the divergence of the tuned image, and so is its gradient."""
    images, target = dataset(1), all_at_once(dataset(30, shift=0.05, contrast=1.3, seed=1))
    net = tuner()
    torch.nn.init.normal_(net.body[-1].weight, std=0.05)
    tuning = Tuning(net, images, SmallEncoder(), target, settings(patch_size=None, batch_size=1), seed=0)
    estimate = tuning.losses(1)['kl']
    with torch.no_grad():
        tuned = net(images[0][None])[0]
    assert estimate.item() == pytest.approx(plain_divergence([tuned], target), rel=1e-5)
    estimate.backward()
    bias, rise = net.body[-1].bias, 1e-3
    with torch.no_grad():
        bias[0] += rise
        above = plain_divergence([net(images[0][None])[0]], target)
        bias[0] -= 2 * rise
        below = plain_divergence([net(images[0][None])[0]], target)
    assert float(bias.grad[0]) == pytest.approx((above - below) / (2 * rise), rel=1e-2)


def test_crops_are_drawn_in_proportion_to_pixels_by_the_step_alone() -> None:
    images = [torch.rand(3, 20, 20), torch.rand(3, 20, 60)]
    tuning = Tuning(tuner(), images, SmallEncoder(), all_at_once(images), settings(batch_size=2000), seed=5)
    crops = tuning.crops(7)
    assert sum(crop.image for crop in crops) == pytest.approx(1500, abs=100)
    assert {crop.top for crop in crops} == set(range(5))
    assert {crop.left for crop in crops if crop.image == 1} == set(range(45))
    assert tuning.crops(7) == crops != tuning.crops(8)


def test_a_restoration_loss_is_weighted_and_sees_its_crops() -> None:
    images, seen = dataset(3), []

    def loss(tuned: Tensor, crops: Any) -> Tensor:
        seen.extend(crops)
        assert tuned.shape[0] == len(crops)
        return tuned.mean()

    changes = {'restoration_weight': 1.0, 'kl_weight': 0.0, 'batch_size': 3}
    for side in (16, None):
        tuning = Tuning(
            tuner(), images, SmallEncoder(), all_at_once(images), settings(patch_size=side, **changes), 0, loss
        )
        value = tuning.losses(1)
        expected = np.mean([float(crop.of(images[crop.image]).mean()) for crop in tuning.crops(1)])
        assert set(value) == {'pixel', 'restoration'}
        assert value['restoration'].item() == pytest.approx(expected, rel=1e-5)
        assert seen[-3:] == tuning.crops(1)


def test_without_a_target_the_subset_is_its_own() -> None:
    images = dataset(3)
    terms = Tuning(tuner(), images, SmallEncoder(), None, settings(), seed=0).losses(1)
    assert terms['kl'].item() == pytest.approx(0, abs=1e-6)


# ---- training ----


@pytest.mark.parametrize('side', [16, None])
@pytest.mark.parametrize('channels', [1, 3])
def test_training_brings_a_shifted_subset_nearer(channels: int, side: int | None) -> None:
    images = dataset(4, channels=channels)
    target = all_at_once(dataset(40, shift=0.02, contrast=1.2, seed=1, channels=channels))
    net = tuner(channels)
    Tuning(net, images, SmallEncoder(), target, settings(patch_size=side), seed=0).run()
    tuned = TunedImages(net, images)
    before, after = (measure(found, SmallEncoder(), 'test').divergence(target) for found in (images, tuned))
    assert after < 0.6 * before
    assert change(images, tuned).largest <= 8


def test_the_pixels_alone_leave_the_identity() -> None:
    images = dataset(3)
    target = all_at_once(dataset(9, shift=0.1))
    net = tuner()
    Tuning(net, images, SmallEncoder(), target, settings(kl_weight=0.0, iterations=5), seed=0).run()
    assert all(torch.equal(net(image[None])[0], image) for image in images)


def test_stopped_and_continued_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, target = dataset(4), all_at_once(dataset(20, shift=0.05, seed=1))

    def trained(seed: int, saved: SavedState | None = None) -> DistributionTuner:
        net = tuner()
        Tuning(net, images, SmallEncoder(), target, settings(iterations=9), seed).run(saved)
        return net

    whole = trained(3)
    saved = SavedState(tmp_path / 'state.pth')
    for stop in (4, 3):
        asked = iter([False] * (stop + len(images)) + [True])  # the statistics ask after each image
        monkeypatch.setattr(interrupt, 'requested', lambda asked=asked: next(asked, False))
        with pytest.raises(interrupt.Interrupted):
            trained(3, saved)
    monkeypatch.setattr(interrupt, 'requested', lambda: False)
    state = saved.load()
    assert state is not None and state['step'] == 9
    continued, other = trained(3, saved), trained(4)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), continued.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))


def test_what_the_tuning_refuses() -> None:
    images, target = dataset(2), all_at_once(dataset(2))
    with pytest.raises(DataError, match=r'patch_size: expected images of at least 30 pixels per side, got \(24, 20\)'):
        Tuning(tuner(), images, SmallEncoder(), target, settings(patch_size=30), 0)
    with pytest.raises(OptionError, match='restoration_weight: expected 0 without a restoration network'):
        Tuning(tuner(), images, SmallEncoder(), target, settings(restoration_weight=1.0), 0)
    broken = tuner()
    torch.nn.init.constant_(broken.body[0].weight, torch.nan)
    with pytest.raises(DivergenceError, match='tuner, step 1: expected a finite loss, got nan'):
        Tuning(broken, images, SmallEncoder(), target, settings(), 0).run()


@pytest.mark.parametrize(
    ('name', 'value'), [('iterations', 0), ('patch_size', 0), ('batch_size', 0), ('lr', 0.0), ('kl_weight', -1.0)]
)
def test_settings_that_are_none(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=rf'align\.{name}: expected'):
        read_block(TuningSettings, {name: value}, 'align')


# ---- the tuned images ----


@pytest.mark.parametrize('channels', [1, 3])
def test_tuned_images_are_rounded_and_stay_in_the_bound(channels: int) -> None:
    images, net = dataset(2, channels=channels), tuner(channels)
    torch.nn.init.normal_(net.body[-1].weight, std=0.3)
    found = TunedImages(net, images)
    assert len(found) == 2
    for tuned, image in zip((found[0], found[1]), images, strict=True):
        with torch.no_grad():
            expected = 255 * net(image[None])[0].clamp(0, 1)
        assert (255 * tuned - expected).abs().max() <= 0.501
        assert torch.equal((255 * tuned).round() / 255, tuned)
        assert 1 <= (255 * (tuned - image)).abs().max() <= 8.001


# ---- the report ----


def test_the_table_in_standard_deviations_of_the_target() -> None:
    def statistics(mean: float, var: float) -> ChannelStatistics:
        return ChannelStatistics(torch.tensor([mean, 0.0]).double(), torch.tensor([var, 0.0]).double())

    table = compare(statistics(1, 4), statistics(2, 9), statistics(1, 4))
    expected = {'mean_before': 0.5, 'std_before': 0.5, 'mean_after': 0, 'std_after': 0}
    assert table['channels'] == [expected, dict.fromkeys(expected)]
    assert table['kl']['before'] == pytest.approx((np.log(4 / 9) + 10 / 4 - 1) / 2) and table['kl']['after'] == 0


def test_the_change_of_pixels() -> None:
    images = [torch.zeros(1, 2, 2), torch.zeros(1, 2, 4)]
    found = change(images, [torch.full((1, 2, 2), 3 / 255), torch.zeros(1, 2, 4)])
    assert found.mean == pytest.approx(1) and found.largest == 3


def test_features_are_sampled_from_all_images_at_fixed_places() -> None:
    images = [torch.full((3, 20, 20), value) for value in (0.1, 0.5)]
    sample = sample_features(images, SmallEncoder())
    assert sample.shape == (2 * 18 * 18, 5)
    np.testing.assert_allclose(np.unique(sample[:, 0].round(5)), [0.1, 0.5])
    np.testing.assert_array_equal(sample_features(images, SmallEncoder()), sample)


def test_the_first_component_is_the_direction_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(5000, 1))
    features = np.hstack([5 + 2 * common, 10 * common, rng.normal(size=(5000, 1)), np.full((5000, 1), 3.0)])
    mean, direction = first_component(features)
    np.testing.assert_allclose(mean, features.mean(0))
    np.testing.assert_allclose(direction * [2, 10, 1, 1], [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=0.05)


def test_the_density_is_scipy_s() -> None:
    sample = np.random.default_rng(0).gamma(2, size=300)
    grid = np.linspace(-2, 12, 80)
    np.testing.assert_allclose(kernel_density(sample, grid), gaussian_kde(sample)(grid), rtol=1e-10, atol=1e-15)


def test_equal_samples_lie_on_the_diagonal_and_a_shift_beside_it() -> None:
    sample = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_array_equal(quantiles(sample), quantiles(np.random.default_rng(1).permutation(sample)))
    np.testing.assert_allclose(quantiles(sample + 2), quantiles(sample) + 2)
    assert len(quantiles(sample)) == 100 and (np.diff(quantiles(sample)) > 0).all()


def test_the_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = {name: rng.normal(size=50) for name in ('full', 'subset', 'tuned')}
    draw_alignment(samples, 'feature', tmp_path / 'alignment.png')
    assert (tmp_path / 'alignment.png').read_bytes().startswith(b'\x89PNG')
