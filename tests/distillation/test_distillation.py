"""The engine that makes synthetic images: gradients against a plain loop, what is learned, codecs, composition."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import basicsr_ext
from basicsr_ext.archs.ircnn_arch import IRCNN
from basicsr_ext.distillation.codec import Codec, PixelCodec, VaeCodec, load_vae
from basicsr_ext.distillation.composition import by_shares, distilled_number, kept_number
from basicsr_ext.distillation.degradation import degraded
from basicsr_ext.distillation.engine import Distillation, Matching
from basicsr_ext.distillation.networks import Networks
from basicsr_ext.distillation.settings import DistillSettings, NetworkSettings, VaeSettings
from basicsr_ext.distillation.steps import in_rounds, items_of_step
from basicsr_ext.distillation.variables import Variables
from basicsr_ext.errors import DivergenceError, OptionError
from basicsr_ext.losses.gradient_matching_loss import gradient_matching_loss
from basicsr_ext.networks.tiling import Sides
from basicsr_ext.options.blocks import read_block
from basicsr_ext.runtime.checkpoint import load_network_weights
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.selection.subsets.quotas import quotas
from tests.helpers.vae import tiny_vae

SIDE, SEED = 16, 5
Pair = tuple[Tensor, Tensor]


def network(number: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(number)
        return IRCNN(1, 1, 8)


def noisy(gt: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return gt + np.float32(0.1) * rng.standard_normal(gt.shape, dtype=np.float32)


def patches(count: int, seed: int, channels: int = 1) -> list[Pair]:
    """Smooth images and noisy ones."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.random((count, channels, 4, 4), dtype=np.float32))
    gt = functional.interpolate(small, size=SIDE, mode='bilinear')
    return [(image + torch.from_numpy(noisy(0 * image.numpy(), rng)), image) for image in gt]


def batch(pairs: list[Pair]) -> Pair:
    return torch.stack([lq for lq, _ in pairs]), torch.stack([gt for _, gt in pairs])


def codec_of(mode: str) -> Codec:
    return PixelCodec() if mode == 'pixel' else VaeCodec(tiny_vae(), 1, 0.7, 0.1)


def distillation(
    folder: Path,
    mode: str = 'pixel',
    learned: bool = False,
    real: Callable[[Sequence[int]], Iterator[Pair]] | None = None,
    **keys: Any,
) -> Distillation:
    """Of a fixed network and a fixed real batch, unless something else is said."""
    fixed = batch(patches(6, seed=1))
    networks = {'networks': keys.pop('networks', {'matching_steps': None})}
    vae = {'vae': {'path': 'none'}} if mode == 'latent' else {}
    block = {'size': 4, 'kept': 0, 'batch_size': 2, 'steps': 50, 'image_size': SIDE, 'anchor': 0.0, **keys}
    settings = read_block(DistillSettings, {'mode': mode, **vae, **networks, **block}, 'distill')
    return Distillation(
        settings,
        SEED,
        codec_of(mode),
        Networks(network, settings.networks),
        Matching(gradient_matching_loss, nn.MSELoss(), Sides(), None if learned else [noisy] * 4, torch.device('cpu')),
        real or (lambda steps: iter(lambda: fixed, None)),  # type: ignore[arg-type,return-value]
        SavedState(folder / 'state.pth'),
    )


# ---- a step against a plain loop ----


@pytest.mark.parametrize('learned', [False, True])
@pytest.mark.parametrize('mode', ['pixel', 'latent'])
def test_the_gradient_of_a_step_is_that_of_a_plain_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, learned: bool
) -> None:
    run = distillation(tmp_path, mode, learned, anchor=0.3)
    run.begin(iter(patches(4, seed=2)))
    for part in run.variables.values():  # away from the start, so that the anchor pulls
        part.values += 0.05 * torch.randn(part.values.shape, generator=torch.Generator().manual_seed(1))
    values = {kind: part.values.clone() for kind, part in run.variables.items()}
    real = batch(patches(6, seed=1))
    step = 7
    loss, found = run.match(step, real)

    items = items_of_step(step, 4, 2, SEED)
    net = network(0)
    flat: list[Tensor] = []
    leaves = {kind: value[items].requires_grad_() for kind, value in values.items()}
    decoded = {kind: run.codec.decode(leaf) for kind, leaf in leaves.items()}
    noise = [noisy(np.zeros((SIDE, SIDE, 1), np.float32), np.random.default_rng((SEED, step, i))) for i in items]
    lq = decoded['lq'] if learned else decoded['gt'] + torch.from_numpy(np.stack(noise)).permute(0, 3, 1, 2)
    for inputs, clean in (real, (lq, decoded['gt'])):
        error = ((net(inputs) - clean) ** 2).mean()
        gradients = torch.autograd.grad(error, list(net.parameters()), create_graph=True)
        flat.append(torch.cat([g.flatten() for g in gradients]))
    cosine = (flat[0].detach() @ flat[1]) / (flat[0].detach().norm() * flat[1].norm())
    distance = sum(((leaf - run.variables[kind].start[items]) ** 2).mean() for kind, leaf in leaves.items())
    expected = torch.autograd.grad(1 - cosine + 0.3 * distance, list(leaves.values()))
    assert loss == pytest.approx(1 - cosine.item(), abs=1e-5)
    for gradient, plain in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(gradient, plain, rtol=1e-3, atol=1e-5 * plain.abs().max().item() + 1e-9)


def test_the_optimiser_is_adam_for_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 1, 2, 2, generator=generator)
    variables = Variables.starting_at(values.clone())
    single = [nn.Parameter(value.clone()) for value in values]
    optimizers = [torch.optim.Adam([parameter], lr=0.01) for parameter in single]
    for items in ([0, 1], [1, 2], [1], [0, 1, 2]):
        gradients = torch.randn(len(items), 1, 2, 2, generator=generator)
        variables.step(items, gradients, 0.01)
        for item, gradient in zip(items, gradients, strict=True):
            single[item].grad = gradient
            optimizers[item].step()
    torch.testing.assert_close(variables.values, torch.stack([p.detach() for p in single]))
    assert torch.equal(variables.start, values) and variables.counts.tolist() == [2, 4, 2]


# ---- what is learned ----


def trained(number: int) -> nn.Module:
    net = IRCNN(1, 1, 64)
    load_network_weights(net, Path(basicsr_ext.__file__).parent / 'weights/IRCNN_gray_sigma25.pth')
    return net


@pytest.mark.parametrize(
    ('mode', 'lr', 'learned'),
    [
        ('pixel', 0.005, False),
        pytest.param('latent', 0.05, True, marks=pytest.mark.slow),
        pytest.param('pixel', 0.005, True, marks=pytest.mark.slow),
        pytest.param('latent', 0.05, False, marks=pytest.mark.slow),
    ],
)
def test_the_matching_loss_falls_by_half_in_50_steps(tmp_path: Path, mode: str, lr: float, learned: bool) -> None:
    """With the denoiser of the package, a fixed real batch, and the noise of a known degradation held fixed.

    Noise that is drawn anew at every step leaves the distance between the gradients of two draws, which the images
    cannot lower; the gradient of a fresh random network is nearly that of its last bias, and matches at once.
    """
    run = distillation(tmp_path, mode, learned, lr=lr, batch_size=4)
    run.networks.make = trained
    if not learned:
        run.matching = replace(run.matching, degrades=[lambda gt, rng: noisy(gt, np.random.default_rng(0))] * 4)
    run.run(iter(patches(4, seed=2)), lambda run: None)
    assert len(run.losses) == 50
    assert np.mean(run.losses[-5:]) < 0.5 * run.losses[0]


def test_pixels_stay_in_range(tmp_path: Path) -> None:
    run = distillation(tmp_path, lr=0.3, steps=5)
    run.run(iter(patches(4, seed=2)), lambda run: None)
    values = run.variables['gt'].values
    assert values.min() == 0 and values.max() == 1


def test_the_anchor_holds_the_images_at_their_start(tmp_path: Path) -> None:
    moved = []
    for anchor in (0.0, 1000.0):
        run = distillation(tmp_path / str(anchor), steps=20, anchor=anchor, lr=0.01)
        run.run(iter(patches(4, seed=2)), lambda run: None)
        moved.append((run.variables['gt'].values - run.variables['gt'].start).abs().mean().item())
    assert moved[1] < 0.5 * moved[0]


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    broken = (torch.full((1, 1, SIDE, SIDE), torch.nan), torch.zeros(1, 1, SIDE, SIDE))
    run = distillation(tmp_path, real=lambda steps: iter([broken] * 50))
    with pytest.raises(DivergenceError, match='expected a finite matching loss and gradients, got others at step 1'):
        run.run(iter(patches(4, seed=2)), lambda run: None)


# ---- continued, and evolving networks ----


@pytest.mark.parametrize('networks', [{}, {'matching_steps': 4, 'train_steps': 2, 'train_every': 3, 'lr': 1e-2}])
def test_stopped_at_any_step_it_ends_with_the_same_images(tmp_path: Path, networks: dict[str, Any]) -> None:
    class Stop(Exception):
        pass

    def real(steps: Sequence[int]) -> Iterator[Pair]:
        return (batch(patches(3, seed=step)) for step in steps)

    def stop(run: Distillation) -> None:
        if len(run.losses) == stop_at:
            run.state.save(run._state())
            raise Stop

    keys = {'real': real, 'steps': 9, 'networks': networks, 'picture_freq': 1}
    whole = distillation(tmp_path / 'whole', **keys)
    stop_at = -1
    whole.run(iter(patches(4, seed=2)), stop)
    for stop_at in range(1, 9):
        with pytest.raises(Stop):
            distillation(tmp_path / str(stop_at), **keys).run(iter(patches(4, seed=2)), stop)
        again = distillation(tmp_path / str(stop_at), **keys)
        again.run(iter([]), stop)
        assert again.losses == whole.losses
        for name, value in whole.variables['gt'].state().items():
            assert torch.equal(again.variables['gt'].state()[name], value)


def test_a_network_starts_again_after_its_round() -> None:
    def same(first: nn.Module, second: nn.Module) -> bool:
        pairs = zip(first.parameters(), second.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    networks = Networks(network, NetworkSettings(matching_steps=3, train_steps=1, train_every=2, lr=0.1))
    assert same(networks.at(1), network(0)) and same(networks.at(3), network(0))
    networks.train(iter([batch(patches(2, 0))]), nn.MSELoss(), Sides())
    assert not same(networks.at(3), network(0))
    assert same(networks.at(4), network(1)) and same(networks.at(9), network(2))
    assert [networks.trainings_after(step) for step in (1, 2, 3, 4)] == [0, 1, 0, 1]
    kept = Networks(network, NetworkSettings(matching_steps=None))
    assert kept.at(1) is kept.at(10**6)


def test_every_pass_takes_each_image_once() -> None:
    for count, size in ((5, 2), (4, 2), (3, 8)):
        steps = -(-count // size)
        passes = [[items_of_step(n * steps + k + 1, count, size, 0) for k in range(steps)] for n in range(4)]
        assert all(sorted(sum(one, [])) == list(range(count)) for one in passes)
        assert all(len(items) <= size for one in passes for items in one)
    assert [items_of_step(k, 9, 3, 0) for k in range(1, 4)] != [items_of_step(k, 9, 3, 0) for k in range(4, 7)]


# ---- the degradation ----


def test_noise_has_an_exact_gradient_and_an_exact_value() -> None:
    gt = torch.rand(2, 3, 8, 6, requires_grad=True)
    rngs = [np.random.default_rng(k) for k in range(2)]
    lq = degraded(gt, [noisy] * 2, rngs)
    for k in range(2):
        expected = noisy(gt[k].detach().permute(1, 2, 0).numpy(), np.random.default_rng(k))
        np.testing.assert_array_equal(lq[k].detach().permute(1, 2, 0).numpy(), expected)
    weights = torch.rand(2, 3, 8, 6)
    assert torch.equal(torch.autograd.grad((lq * weights).sum(), gt)[0], weights)


def test_a_reduction_has_the_gradient_of_a_bicubic_one() -> None:
    gt = torch.rand(1, 3, 8, 8, requires_grad=True)
    lq = degraded(gt, [lambda image, rng: image[::2, ::2]], [np.random.default_rng(0)])
    assert torch.equal(lq, gt[..., ::2, ::2])
    bicubic = functional.interpolate(gt, size=(4, 4), mode='bicubic', antialias=True, align_corners=False)
    weights = torch.rand(1, 3, 4, 4)
    found, expected = (torch.autograd.grad((image * weights).sum(), gt)[0] for image in (lq, bicubic))
    torch.testing.assert_close(found, expected)
    assert found.sum().item() == pytest.approx(weights.sum().item(), rel=1e-4)


def test_every_image_has_its_own_degradation() -> None:
    gt = torch.rand(3, 1, 4, 4)
    factors = [0.5, 1.0, 2.0]
    degrades = [lambda image, rng, factor=factor: np.float32(factor) * image for factor in factors]
    lq = degraded(gt, degrades, [np.random.default_rng(0)] * 3)
    torch.testing.assert_close(lq, gt * torch.tensor(factors).view(3, 1, 1, 1))


def test_a_step_degrades_each_image_in_its_own_way(tmp_path: Path) -> None:
    """Whatever place it has in the batch."""
    run = distillation(tmp_path)
    marks = [lambda gt, rng, k=k: np.full_like(gt, k / 8) for k in range(4)]
    run.matching = replace(run.matching, degrades=marks)
    run.begin(iter(patches(4, seed=2)))
    lq, _ = run._pair({'gt': run.variables['gt'].values[[1, 3]]}, [1, 3], (SEED, 1))
    assert lq.mean((1, 2, 3)).tolist() == pytest.approx([1 / 8, 3 / 8])


# ---- codecs ----


@pytest.fixture
def vae_folder(tmp_path: Path) -> Path:
    tiny_vae().save_pretrained(tmp_path / 'vae')
    return tmp_path / 'vae'


def test_an_autoencoder_loads_from_a_folder(vae_folder: Path) -> None:
    codec = load_vae(VaeSettings(str(vae_folder)), 3, 'cpu')
    assert (codec.factor, codec.scaling, codec.shift) == (2, 0.7, 0.1)
    assert not any(p.requires_grad for p in codec.vae.parameters()) and not codec.vae.training
    images = torch.rand(2, 3, 8, 12)
    values = codec.encode(images)
    assert values.shape == (2, 4, 4, 6) and codec.decode(values).shape == images.shape
    with torch.no_grad():
        mean = codec.vae.encode(2 * images - 1).latent_dist.mean
        expected = ((codec.vae.decode(mean).sample + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(values, (mean - 0.1) * 0.7)
    torch.testing.assert_close(codec.decode(values), expected)
    outer = load_vae(VaeSettings(str(vae_folder.parent), subfolder='vae'), 3, 'cpu')
    assert torch.equal(outer.encode(images), values)


def test_the_numbers_of_a_preset_and_given_ones(vae_folder: Path) -> None:
    found = load_vae(VaeSettings(str(vae_folder), preset='sd3'), 3, 'cpu')
    assert (found.scaling, found.shift) == (1.5305, 0.0609)
    found = load_vae(VaeSettings(str(vae_folder), preset='sd3', scaling_factor=2.0), 3, 'cpu')
    assert (found.scaling, found.shift) == (2.0, 0.0609)


def test_grey_images_and_bfloat16(vae_folder: Path) -> None:
    grey, color = (load_vae(VaeSettings(str(vae_folder)), channels, 'cpu') for channels in (1, 3))
    images = torch.rand(2, 1, 8, 8)
    values = grey.encode(images)
    assert torch.equal(values, color.encode(images.repeat(1, 3, 1, 1)))
    assert grey.decode(values).shape == images.shape
    half = load_vae(VaeSettings(str(vae_folder), bfloat16=True), 1, 'cpu')
    assert half.vae.dtype == torch.bfloat16 and half.encode(images).dtype == torch.float32
    torch.testing.assert_close(half.decode(half.encode(images)), grey.decode(values), atol=0.05, rtol=0.1)


def test_weights_that_could_run_code_and_missing_ones_are_refused(vae_folder: Path) -> None:
    for path in vae_folder.glob('*.safetensors'):
        torch.save(tiny_vae().state_dict(), vae_folder / 'diffusion_pytorch_model.bin')
        path.unlink()
    for path in (vae_folder, vae_folder.parent / 'none'):
        with pytest.raises(OptionError, match=r'vae.path: expected a folder with config.json and .safetensors, or a'):
            load_vae(VaeSettings(str(path)), 3, 'cpu')


def test_diffusers_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'diffusers', None)
    with pytest.raises(OptionError, match=r'pip install "basicsr-ext\[distill\]"'):
        load_vae(VaeSettings('x'), 3, 'cpu')


# ---- of what the result consists ----


def test_numbers_of_images() -> None:
    assert [distilled_number(400, None, ratio) for ratio in (0.02, 0.05, 0.1, 1.0, 1e-4)] == [8, 20, 40, 400, 1]
    assert distilled_number(401, None, 0.02) == 9 and distilled_number(10, 10, None) == 10
    with pytest.raises(OptionError, match='size: expected at most the 10 images of the dataset, got 11'):
        distilled_number(10, 11, None)
    assert [distilled_number(8, None, ratio, groups=3) for ratio in (0.1, 0.5)] == [3, 4]
    assert distilled_number(8, 3, None, groups=3) == 3
    with pytest.raises(OptionError, match='size: expected at least one image of each of the 3 groups, got 2'):
        distilled_number(8, 2, None, groups=3)
    assert [kept_number(5, kept) for kept in (0, 0.5, 0.1, 0.09, 1)] == [0, 3, 1, 0, 5]


def test_any_first_part_has_the_quotas_of_the_groups() -> None:
    rng = np.random.default_rng(0)
    groups = ['a'] * 12 + ['b'] * 7 + ['c'] * 2
    ranks = (1 + rng.permutation(21)).tolist()
    order = by_shares(ranks, groups)
    assert sorted(order) == list(range(21))
    for number in range(1, 22):
        taken = {group: sorted(ranks[i] for i in order[:number] if groups[i] == group) for group in 'abc'}
        if number < 3:
            assert all(len(chosen) <= 1 for chosen in taken.values())
        else:
            assert {group: len(chosen) for group, chosen in taken.items()} == quotas(ranks, groups, number)
        for group, chosen in taken.items():
            assert chosen == sorted(ranks[i] for i in range(21) if groups[i] == group)[: len(chosen)]
    assert by_shares(ranks, [''] * 21) == np.argsort(ranks).tolist()


def test_a_round_holds_steps_that_do_not_need_each_other() -> None:
    assert in_rounds(0, 7, 3, lambda step: step % 5 == 0) == [[1, 2, 3], [4, 5], [6, 7]]
    assert in_rounds(3, 6, 4, lambda step: step % 5 == 0) == [[4, 5], [6]]
    assert in_rounds(2, 4, 1, lambda step: False) == [[3], [4]] and in_rounds(4, 4, 2, lambda step: False) == []
