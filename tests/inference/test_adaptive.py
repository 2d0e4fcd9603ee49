"""Batched early exits and regions of whole images against a plain loop over regions and exits."""

import math

import pytest
import torch
from torch import Tensor, nn

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference import EXIT_SCORES, AdaptiveSettings, InferenceSettings, read_settings, restore
from basicsr_ext.inference.adaptive import restore_adaptively

BRANCHES = 4
FORECAST = {'scores': ['noise'], 'weights': [[1.0, 0.0]] * 3}
# scores and what they are relative to; a change is measured against the exit before as it is
PAIRS = [
    (score, relative)
    for score in sorted(EXIT_SCORES)
    for relative in (None, 'previous', 'input')
    if score != 'change' or relative is None
]


def flexir(upscale: int = 1) -> FlexIR:
    """A small network whose exits differ visibly."""
    torch.manual_seed(0)
    net = FlexIR(
        img_size=8, in_chans=3, embed_dim=8, depths=[1] * BRANCHES, num_heads=[2] * BRANCHES, window_size=4,
        mlp_ratio=1, upscale=upscale, upsampler='' if upscale == 1 else 'pixelshuffledirect',
    )  # fmt: skip
    with torch.no_grad():
        for tail in net.tails:
            for parameter in tail.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def images(number: int = 9, size: tuple[int, int] = (12, 10)) -> Tensor:
    """Of different contrast, so that their scores differ."""
    return 0.5 + torch.linspace(0.1, 1, number)[:, None, None, None] * (torch.rand(number, 3, *size) - 0.5)


def by_loop(net: FlexIR, image: Tensor, settings: AdaptiveSettings, last: int) -> tuple[Tensor, int, list[float]]:
    """Algorithm 2 of the paper for one region; also what each exit but the last scored."""
    score = EXIT_SCORES[settings.score_name]
    state, before, scores = net.begin(image), image, []
    reference = float(score(image, image)) if settings.relative else 1.0
    sign = 1 if settings.side == 'above' else -1
    for branch in range(1, last + 1):
        state = net.step(state)
        restored = net.restore(state)
        value = float(score(restored, before))
        counts = settings.relative != 'previous' or branch > 1
        if branch == last or (counts and sign * value > sign * settings.threshold * reference):
            break
        scores.append(value)
        before = restored
        if settings.relative == 'previous':
            reference = value
    return restored, branch, scores


def middle(values: list[float]) -> float:
    """Between two values in the middle, where rounding decides nothing."""
    ordered = sorted(values)
    place = len(ordered) // 2
    return (ordered[place - 1] + ordered[place]) / 2


@pytest.mark.parametrize(
    ('upscale', 'score', 'relative'),
    [(1, *pair) for pair in PAIRS] + [(2, 'change', None), (2, 'sharpness', 'previous')],
)
@pytest.mark.parametrize('leave', ['above', 'below'])
@torch.no_grad()
def test_batched_equals_region_by_region(upscale: int, score: str, relative: str | None, leave: str) -> None:
    net, batch = flexir(upscale), images()
    never = AdaptiveSettings(math.inf if leave == 'above' else 0, score, relative, leave=leave)
    factors: list[list[float]] = [[] for _ in range(BRANCHES - 1)]  # for each exit the score over its reference
    for image in batch:
        values = by_loop(net, image[None], never, BRANCHES)[2]
        own = float(EXIT_SCORES[score](image[None], image[None]))
        references = {None: [1.0] * 3, 'previous': [own, *values], 'input': [own] * 3}[relative]
        for exit, (value, reference) in enumerate(zip(values, references, strict=False)):
            factors[exit].append(value / reference)
    seen = set()
    for threshold in map(middle, factors):
        settings = AdaptiveSettings(threshold, score, relative, leave=leave)
        restored, exits = restore_adaptively(net, batch, settings, BRANCHES)
        expected = [by_loop(net, image[None], settings, BRANCHES) for image in batch]
        assert exits.tolist() == [branch for _, branch, _ in expected]
        seen |= set(exits.tolist())
        torch.testing.assert_close(restored, torch.cat([image for image, _, _ in expected]), rtol=0, atol=1e-5)
    assert len(seen) > 1


@pytest.mark.parametrize('score', sorted(EXIT_SCORES))
@pytest.mark.parametrize(('threshold', 'exit'), [(-math.inf, 1), (math.inf, BRANCHES)])
def test_infinite_thresholds(score: str, threshold: float, exit: int) -> None:
    net, batch = flexir(), images(2, (20, 20))
    adaptive = restore(net, batch, InferenceSettings(adaptive=AdaptiveSettings(threshold, score)))
    regular = restore(net, batch, InferenceSettings(pointer=exit))
    assert adaptive.exits.eq(exit).all() and regular.exits.eq(exit).all()
    torch.testing.assert_close(adaptive.image, regular.image, rtol=0, atol=0)


@torch.no_grad()
def test_the_pointer_bounds_the_exits() -> None:
    net, image = flexir(), images(1, (16, 16))
    settings = InferenceSettings(regions=1, pointer=3, adaptive=AdaptiveSettings(math.inf))
    restored = restore(net, image, settings)
    net.pointer = 3
    torch.testing.assert_close(restored.image, net(image), rtol=0, atol=0)
    torch.testing.assert_close(restore(net, image, InferenceSettings(regions=1)).image, net(image), rtol=0, atol=0)
    assert restored.exits.tolist() == [[[3]]]


@torch.no_grad()
def test_a_score_of_a_user(monkeypatch) -> None:
    monkeypatch.setitem(EXIT_SCORES, 'brightness', lambda restored, previous: previous.mean((1, 2, 3)))
    batch = torch.stack([torch.full((3, 8, 8), value) for value in (0.1, 0.9)])
    _, exits = restore_adaptively(flexir(), batch, AdaptiveSettings(0.5, 'brightness'), 2)
    assert exits.tolist() == [2, 1]


@pytest.mark.parametrize('upscale', [1, 2])
@pytest.mark.parametrize('limit', [1, 150, 10**6])
@torch.no_grad()
def test_regions_of_images_equal_a_plain_loop(upscale: int, limit: int) -> None:
    net, batch = flexir(upscale), images(2, (19, 26))
    regions = {
        (number, row, column): batch[number, None, :, top : top + 10, left : left + 10]
        for number in range(2)
        for row, top in enumerate((0, 9))
        for column, left in enumerate((0, 8, 16))
    }
    never = AdaptiveSettings(math.inf)
    adaptive = AdaptiveSettings(middle([by_loop(net, region, never, BRANCHES)[2][0] for region in regions.values()]))
    settings = InferenceSettings(region_size=10, adaptive=adaptive, batch_pixels=limit)
    restored = restore(net, batch, settings)
    assert restored.image.shape == (2, 3, 19 * upscale, 26 * upscale)
    assert restored.exits.shape == (2, 2, 3) and len(restored.exits.unique()) > 1
    for (number, row, column), region in regions.items():
        expected, branch, _ = by_loop(net, region, adaptive, BRANCHES)
        assert restored.exits[number, row, column] == branch
        y, x, side = (9 * row + 2) * upscale, (8 * column + 2) * upscale, 6 * upscale  # the part without overlap
        same = restored.image[number, :, y : y + side, x : x + side]
        inner = expected[0, :, 2 * upscale : 8 * upscale, 2 * upscale : 8 * upscale]
        torch.testing.assert_close(same, inner, rtol=0, atol=1e-5)


def test_a_network_without_exits() -> None:
    net = nn.Conv2d(3, 3, 1).train()
    image = torch.rand(1, 3, 18, 20)
    seen: list[int] = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    restored = restore(net, image, InferenceSettings(region_size=8, overlap=2, batch_pixels=300))
    assert seen == [4, 4, 1]  # 3 x 3 regions, at most 300 pixels at a time
    net._forward_pre_hooks.clear()
    torch.testing.assert_close(restored.image, net(image).detach(), rtol=0, atol=1e-6)
    assert restored.exits.eq(1).all() and net.training and not restored.image.requires_grad
    with pytest.raises(OptionError, match='expected a network that has exits'):
        restore(net, image, InferenceSettings(pointer=1))


def test_other_precision() -> None:
    net, image = flexir(), images(1, (16, 16))
    expected = restore(net, image, InferenceSettings())
    restored = restore(net.bfloat16(), image, InferenceSettings())
    assert restored.image.dtype == torch.float32
    torch.testing.assert_close(restored.image, expected.image, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ('block', 'text'),
    [
        ({'adaptive': {'threshold': 1, 'budget': 0.5}}, 'threshold: expected a value, or a budget instead, got both'),
        ({'adaptive': {'budget': 1.2}}, r'budget: expected at most 1, what .* take fewer of them and less overlap'),
        ({'adaptive': {'budget': 0}}, 'budget: expected more than 0'),
        ({'adaptive': {'budget': 0.5, 'relative': 'input'}}, 'relative: expected ~ with a budget'),
        ({'adaptive': {'budget': 0.5, 'leave': 'under'}}, 'leave: expected'),
        (
            {'adaptive': {'budget': 0.5, 'score': 'noise', 'forecast': FORECAST}},
            'forecast: expected no score beside it',
        ),
        ({'adaptive': {'threshold': 0.5, 'forecast': FORECAST}}, 'forecast: expected no threshold beside it'),
        ({'adaptive': {'budget': 0.5, 'forecast': {**FORECAST, 'scores': []}}}, 'weights: expected rows of 1 numbers'),
        ({'adaptive': {'budget': 0.5, 'forecast': {**FORECAST, 'scores': ['nois']}}}, 'Did you mean noise'),
        ({'region': 2}, 'inference.region: expected a known key'),
        ({'regions': 0}, 'inference.regions: expected at least 1, got 0'),
        ({'regions': 2, 'region_size': 64}, 'inference.region_size: expected no regions beside it'),
        ({'region_size': 8, 'overlap': 8}, 'inference.overlap: expected less than region_size = 8'),
        ({'adaptive': {}}, 'inference.adaptive.threshold: expected a value'),
        ({'adaptive': {'threshold': 1, 'score': 'sharpnes'}}, 'Did you mean sharpness'),
        ({'adaptive': {'threshold': 1, 'score': 'change', 'operator': 'roberts'}}, 'expected an argument of change'),
        ({'adaptive': {'threshold': math.nan}}, 'threshold: expected a number'),
        ({'adaptive': {'threshold': 1, 'score': 'change', 'relative': 'input'}}, 'relative: expected ~'),
        ({'adaptive': {'threshold': -1, 'relative': 'input'}}, 'relative: expected ~'),
    ],
)
def test_wrong_settings(block: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        read_settings(block, 'inference')


def test_settings_of_an_option_file() -> None:
    settings = read_settings({'region_size': 64, 'adaptive': {'threshold': 50, 'operator': 'roberts'}}, 'inference')
    assert settings == InferenceSettings(region_size=64, adaptive=AdaptiveSettings(50, operator='roberts'))
    expected = EXIT_SCORES['sharpness'](batch := images(3), batch, operator='roberts')
    torch.testing.assert_close(settings.adaptive.exit_score()(batch, batch), expected)


def test_wrong_calls() -> None:
    with pytest.raises(OptionError, match='pointer: expected at most 4, got 5'):
        restore(flexir(), images(1), InferenceSettings(pointer=5))
    with pytest.raises(DataError, match='expected floating-point images, N x C x H x W'):
        restore(flexir(), images(1)[0], InferenceSettings())
