import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import lpips
import numpy as np
import pytest
import torch
import torchvision
from basicsr.metrics import calculate_metric, calculate_psnr
from skimage.metrics import peak_signal_noise_ratio

from basicsr_ext.archs.dncnn_arch import DnCNN
from basicsr_ext.metrics.lpips_metric import build_lpips, calculate_lpips
from basicsr_ext.metrics.metric_util import prepare_pair
from basicsr_ext.metrics.mgvg_metric import calculate_mgvg
from basicsr_ext.metrics.psnrb_metric import blocking_effect_factor, calculate_psnrb

SHARED = Path(__file__).parents[2] / os.environ.get('BASICSR_EXT_SHARED', '../shared')


def images(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 256, shape, dtype=np.uint8)


def step(size: int, column: int, height: float = 1) -> np.ndarray:
    img = np.zeros((size, size))
    img[:, column:] = height
    return img


# The pair of images that every metric gets


@pytest.mark.parametrize('crop', [0, 3])
def test_prepare_pair_agrees_in_every_order(crop: int) -> None:
    img, img2 = images(20, 30, 3)
    expected = img[crop : 20 - crop, crop : 30 - crop]
    for order, source, source2 in (('HWC', img, img2), ('CHW', img.transpose(2, 0, 1), img2.transpose(2, 0, 1))):
        first, second = prepare_pair(source, source2, crop, order)
        assert first.dtype == second.dtype == np.float64
        np.testing.assert_array_equal(first, expected)
        np.testing.assert_array_equal(second, img2[crop : 20 - crop, crop : 30 - crop])


@pytest.mark.parametrize('order', ['HWC', 'CHW'])
def test_prepare_pair_two_dimensions_have_no_order(order: str) -> None:
    img, img2 = images(20, 30)
    np.testing.assert_array_equal(prepare_pair(img, img2, 0, order)[0][..., 0], img)


def test_prepare_pair_y_channel() -> None:
    img, img2 = images(4, 5, 3)
    b, g, r = img.astype(np.float64).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(
        prepare_pair(img, img2, 0, test_y_channel=True)[0][..., 0],
        24.966 * b + 128.553 * g + 65.481 * r + 16,
        atol=1e-3,
    )


@pytest.mark.parametrize('metric', [calculate_psnrb, calculate_lpips])
@pytest.mark.parametrize(
    'shape, shape2, options, text',
    [
        (
            (40, 40, 3),
            (40, 41, 3),
            {},
            r'expected two images of one shape.*got \(40, 40, 3\) and \(40, 41, 3\)\. Check',
        ),
        ((40,), (40,), {}, r'expected two images of one shape'),
        ((40, 40), (40, 40), {'crop_border': 20}, r'longer than twice the crop_border of 20, got 40x40\. Lower'),
        ((40, 40), (40, 40), {'crop_border': -1}, r'crop_border: expected 0 or more pixels, got -1'),
        ((40, 40), (40, 40), {'input_order': 'WHC'}, r"input_order: expected HWC or CHW, got 'WHC'"),
        ((40, 40, 2), (40, 40, 2), {'test_y_channel': True}, r'expected 1 or 3 channels for the Y channel, got 2'),
    ],
)
def test_refused_pairs(metric, shape: tuple, shape2: tuple, options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=rf'{metric.__name__}.*{text}'):
        metric(np.zeros(shape), np.zeros(shape2), **{'crop_border': 0, **options})


# PSNR-B


def plain_bef(img: np.ndarray, crop: int = 0) -> float:
    """Pixel by pixel, in the coordinates of the uncropped image."""
    sums, counts = [0.0, 0.0], [0, 0]
    height, width = img.shape
    for y in range(crop, height - crop):
        for x in range(crop, width - crop):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height - crop and u < width - crop:
                    crosses = x // 8 != u // 8 or y // 8 != v // 8
                    sums[crosses] += (float(img[y, x]) - float(img[v, u])) ** 2
                    counts[crosses] += 1
    inside, border = sums[0] / counts[0], sums[1] / counts[1]
    return math.log2(8) / math.log2(min(height, width) - 2 * crop) * (border - inside) if border > inside else 0.0


def blocky(*shape: int) -> np.ndarray:
    """Noise of which every 8x8 block has a level of its own."""
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 200, [math.ceil(n / 8) for n in shape])
    return (np.kron(levels, np.ones((8, 8)))[: shape[0], : shape[1]] + rng.integers(0, 30, shape)).astype(np.uint8)


def test_bef_of_a_step_at_the_border() -> None:
    assert blocking_effect_factor(step(16, 8)) == 0.375
    assert blocking_effect_factor(step(16, 8).T) == 0.375


def test_bef_of_a_step_elsewhere_is_zero() -> None:
    assert blocking_effect_factor(step(16, 7)) == 0
    assert blocking_effect_factor(np.full((16, 24), 9.0)) == 0


@pytest.mark.parametrize('shape', [(16, 16), (9, 9), (21, 35), (40, 16)])
@pytest.mark.parametrize('make', [blocky, lambda *shape: images(*shape)[0]])
def test_bef_equals_a_loop_over_pixels(shape: tuple[int, int], make) -> None:
    img = make(*shape)
    assert blocking_effect_factor(img.astype(np.float64)) == pytest.approx(plain_bef(img), rel=1e-12)


@pytest.mark.parametrize('crop', [1, 3, 8, 11])
def test_bef_keeps_the_grid_of_the_uncropped_image(crop: int) -> None:
    img = blocky(40, 48)
    cropped = img[crop:-crop, crop:-crop].astype(np.float64)
    assert plain_bef(img, crop) > 1
    assert blocking_effect_factor(cropped, crop) == pytest.approx(plain_bef(img, crop), rel=1e-12)


def test_psnrb_is_its_formula() -> None:
    img, img2 = blocky(24, 32), blocky(24, 32)[::-1]
    mse = ((img.astype(float) - img2.astype(float)) ** 2).mean()
    expected = 10 * math.log10(255**2 / (mse + plain_bef(img)))
    assert calculate_psnrb(img, img2, 0) == pytest.approx(expected, abs=1e-10)
    assert plain_bef(img) > 1


def test_psnrb_with_crop_is_its_formula() -> None:
    img, img2 = blocky(40, 40), images(40, 40)[0]
    mse = ((img[3:-3, 3:-3].astype(float) - img2[3:-3, 3:-3].astype(float)) ** 2).mean()
    expected = 10 * math.log10(255**2 / (mse + plain_bef(img, 3)))
    assert calculate_psnrb(img, img2, 3) == pytest.approx(expected, abs=1e-10)


def test_psnrb_without_blocking_is_psnr() -> None:
    img = np.tile(np.arange(32, dtype=np.uint8) * 5, (32, 1))
    img2 = np.clip(img.astype(int) + images(32, 32)[0] % 9, 0, 255).astype(np.uint8)
    assert calculate_psnrb(img, img2, 0) == pytest.approx(peak_signal_noise_ratio(img2, img, data_range=255), abs=1e-10)


def test_psnrb_blames_the_restored_image_alone() -> None:
    smooth, rough = np.full((32, 32), 100, np.uint8), blocky(32, 32)
    psnr = calculate_psnr(smooth, rough, 0)
    assert calculate_psnrb(smooth, rough, 0) == pytest.approx(psnr)
    assert calculate_psnrb(rough, smooth, 0) < psnr - 1


def test_psnrb_of_colour_is_the_mean_of_its_channels() -> None:
    img, img2 = np.stack([blocky(32, 24), *images(32, 24)], axis=-1), images(32, 24, 3, seed=5)[0]
    singles = [calculate_psnrb(img[..., c], img2[..., c], 0) for c in range(3)]
    assert calculate_psnrb(img, img2, 0) == pytest.approx(np.mean(singles))
    assert calculate_psnrb(img.transpose(2, 0, 1), img2.transpose(2, 0, 1), 0, input_order='CHW') == pytest.approx(
        np.mean(singles)
    )


def test_psnrb_y_channel() -> None:
    img, img2 = images(32, 24, 3)
    y, y2 = prepare_pair(img, img2, 0, test_y_channel=True)
    assert calculate_psnrb(img, img2, 0, test_y_channel=True) == pytest.approx(calculate_psnrb(y, y2, 0))


def test_psnrb_of_equal_images() -> None:
    flat = np.full((16, 16), 7, np.uint8)
    assert calculate_psnrb(flat, flat, 0) == math.inf
    assert calculate_psnrb(step(16, 8), step(16, 8), 0) == pytest.approx(10 * math.log10(255**2 / 0.375))


def test_psnrb_through_basicsr() -> None:
    img, img2 = images(16, 16)
    options = {'type': 'calculate_psnrb', 'crop_border': 0, 'better': 'higher'}
    assert calculate_metric({'img': img, 'img2': img2}, options) == calculate_psnrb(img, img2, 0)


def test_psnrb_needs_a_border() -> None:
    with pytest.raises(ValueError, match=r'calculate_psnrb: expected sides of more than 8 pixels.*got 8x30\. Use'):
        calculate_psnrb(*images(10, 32), 1)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f'the weights and images of {SHARED} are not here')
@pytest.mark.parametrize(
    'quality, psnr, psnrb', [(10, 29.40, 29.13), (20, 31.63, 31.19), (30, 32.91, 32.38), (40, 33.77, 33.23)]
)
def test_published_figures_of_dncnn3_on_classic5(quality: int, psnr: float, psnrb: float) -> None:
    net = DnCNN(1, 1, num_layers=20)
    net.load_state_dict(torch.load(SHARED / 'weights/dncnn3.pth', weights_only=True))
    values = []
    for path in sorted((SHARED / 'data/test/classic5').iterdir()):
        clean = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        jpeg = cv2.imdecode(cv2.imencode('.jpg', clean, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
        with torch.no_grad():
            out = net(torch.from_numpy(jpeg)[None, None] / 255)
        restored = (out[0, 0].clamp(0, 1) * 255).round().byte().numpy()
        values.append((calculate_psnr(restored, clean, 0), calculate_psnrb(restored, clean, 0)))
    assert np.mean(values, axis=0) == pytest.approx((psnr, psnrb), abs=0.02)


# MGVG


def plain_mgvg(grey: np.ndarray) -> float:
    """Pixel by pixel, of the gradients whose two differences exist, without those near the edges."""
    height, width = grey.shape
    border = int(min(height, width) / 16 + 0.5)
    gradients = [
        math.hypot(float(grey[y, x + 1]) - float(grey[y, x]), float(grey[y + 1, x]) - float(grey[y, x]))
        for y in range(border, height - 1 - border)
        for x in range(border, width - 1 - border)
    ]
    spread = (max(gradients) - min(gradients)) / (sum(gradients) / len(gradients))
    return max(gradients) ** 0.61 * spread**0.39


def test_mgvg_of_a_step() -> None:
    """MG is 100; of the 63 x 63 gradients 55 x 55 remain and one column of them is not 0, so that VG is 55."""
    assert calculate_mgvg(step(64, 32, 100)) == pytest.approx(100**0.61 * 55**0.39, rel=1e-12)
    assert calculate_mgvg(step(64, 32, 100).T) == pytest.approx(79.203, abs=5e-4)


@pytest.mark.parametrize('shape', [(64, 64), (21, 35), (40, 24), (8, 9), (3, 5)])
def test_mgvg_equals_a_loop_over_pixels(shape: tuple[int, int]) -> None:
    grey = images(*shape)[0]
    assert calculate_mgvg(grey) == pytest.approx(plain_mgvg(grey), rel=1e-12)


@pytest.mark.parametrize('column, counts', [(2, False), (3, False), (4, True), (58, True), (59, False)])
def test_mgvg_leaves_out_the_gradients_near_the_edges(column: int, counts: bool) -> None:
    """The step before pixel c is the gradient c - 1; those from 4 to 58 of 0 to 62 count."""
    assert (calculate_mgvg(step(64, column + 1)) > 0) == counts


@pytest.mark.parametrize('factor', [0.1, 2, 255])
def test_mgvg_of_a_brighter_image(factor: float) -> None:
    grey = images(30, 40)[0].astype(np.float64)
    assert calculate_mgvg(factor * grey) == pytest.approx(factor**0.61 * calculate_mgvg(grey), rel=1e-10)
    assert calculate_mgvg(grey + 7) == pytest.approx(calculate_mgvg(grey), rel=1e-10)


@pytest.mark.parametrize('img', [np.full((20, 20), 9.0), np.zeros((20, 20, 3)), np.tile(np.arange(20.0), (20, 1))])
def test_mgvg_where_all_gradients_are_the_same_is_zero(img: np.ndarray) -> None:
    assert calculate_mgvg(img) == 0


def test_mgvg_falls_with_blur() -> None:
    img = blocky(64, 64)
    values = [calculate_mgvg(cv2.GaussianBlur(img.astype(np.float64), None, sigma)) for sigma in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert calculate_mgvg(img) > values[0] > 1.5 * values[-1]


def test_mgvg_of_colour_is_that_of_its_luma_in_every_order() -> None:
    img = images(40, 30, 3)[0]
    grey = cv2.cvtColor(img.astype(np.float32), cv2.COLOR_BGR2GRAY)
    expected = plain_mgvg(grey[3:-3, 3:-3])
    assert calculate_mgvg(img, 3) == pytest.approx(expected, rel=1e-5)
    assert calculate_mgvg(img.transpose(2, 0, 1), 3, 'CHW') == pytest.approx(expected, rel=1e-5)
    assert calculate_mgvg(img[..., ::-1], 3) != pytest.approx(expected, rel=1e-3)


def test_mgvg_through_basicsr_does_not_see_the_ground_truth() -> None:
    img, img2 = images(40, 30, 3)
    options = {'type': 'calculate_mgvg', 'crop_border': 2, 'better': 'higher'}
    assert calculate_metric({'img': img, 'img2': img2}, options) == calculate_mgvg(img, 2)
    assert calculate_metric({'img': img}, options) == calculate_mgvg(img, 2)


@pytest.mark.parametrize(
    'shape, options, text',
    [
        ((40,), {}, r'calculate_mgvg: expected an image, \(H, W\) or .*, got \(40,\)\. Pass'),
        ((40, 40, 2), {}, r'expected 1 or 3 channels.*got 40x40 with 2 channels\. Use'),
        ((1, 40), {}, r'sides of at least 2 pixels after cropping, got 1x40 with 1 channels'),
        ((40, 40), {'crop_border': 20}, r'calculate_mgvg: expected sides longer than twice the crop_border of 20'),
        ((40, 40), {'crop_border': -1}, r'calculate_mgvg\.crop_border: expected 0 or more pixels, got -1'),
        ((40, 40), {'input_order': 'WHC'}, r"calculate_mgvg\.input_order: expected HWC or CHW, got 'WHC'"),
    ],
)
def test_mgvg_refuses(shape: tuple, options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        calculate_mgvg(np.zeros(shape), **options)


# LPIPS


MODELS = {'alex': 'alexnet', 'squeeze': 'squeezenet1_1'}
FILES = {'alex': 'alexnet-owt-7be5be79.pth', 'squeeze': 'squeezenet1_1-b8a52dc0.pth'}


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder where torch.hub looks for weights, and no network."""

    def no_network(url: str, *args: object, **kwargs: object) -> None:
        raise OSError(f'no route to {url}')

    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', no_network)
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)
    build_lpips.cache_clear()
    yield folder
    build_lpips.cache_clear()


def write_backbone(folder: Path, net: str) -> torch.nn.Module:
    """Put random weights where ImageNet's are expected; those of `alex` without its 59 million of the classifier."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, MODELS[net])(weights=None)
    state = {key: value for key, value in model.state_dict().items() if net != 'alex' or key.startswith('features')}
    torch.save(state, folder / FILES[net])
    return model


def to_lpips(img: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(cv2.cvtColor(img, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None].float() / 255 * 2 - 1


@pytest.mark.filterwarnings('ignore::UserWarning:torchvision', 'ignore::FutureWarning')
def test_lpips_equals_the_package(checkpoints: Path) -> None:
    write_backbone(checkpoints, 'squeeze')
    reference = lpips.LPIPS(net='squeeze', verbose=False)
    img, img2 = images(40, 48, 3)
    expected = reference(to_lpips(img[4:-4, 4:-4]), to_lpips(img2[4:-4, 4:-4])).item()
    assert calculate_lpips(img, img2, 4, net='squeeze', device='cpu') == pytest.approx(expected, rel=1e-5)
    chw = calculate_lpips(
        img.transpose(2, 0, 1), img2.transpose(2, 0, 1), 4, input_order='CHW', net='squeeze', device='cpu'
    )
    assert chw == pytest.approx(expected, rel=1e-5)
    assert expected > 1e-3


@pytest.mark.parametrize('net', ['alex', 'squeeze'])
def test_lpips_loads_every_convolution(checkpoints: Path, net: str) -> None:
    features = write_backbone(checkpoints, net).features
    expected = [m.weight for m in features.modules() if isinstance(m, torch.nn.Conv2d)]
    loaded = [m.weight for m in build_lpips(net, 'cpu').net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(loaded) == len(expected) > 0
    assert all(torch.equal(a, b) for a, b in zip(loaded, expected, strict=True))


def test_lpips_of_equal_images_is_zero_and_lower_is_better(checkpoints: Path) -> None:
    write_backbone(checkpoints, 'squeeze')
    img = images(32, 32, 3)[0]
    noise = np.random.default_rng(2).normal(size=img.shape)
    values = [
        calculate_lpips(np.clip(img + sigma * noise, 0, 255), img, 0, net='squeeze', device='cpu')
        for sigma in (0, 10, 50)
    ]
    assert values[0] == 0 < values[1] < values[2]


def test_lpips_grey_and_y_are_repeated(checkpoints: Path) -> None:
    write_backbone(checkpoints, 'squeeze')
    grey, grey2 = images(32, 32)
    options = {'crop_border': 0, 'net': 'squeeze', 'device': 'cpu'}
    repeated = calculate_lpips(np.stack([grey] * 3, -1), np.stack([grey2] * 3, -1), **options)
    assert calculate_lpips(grey, grey2, **options) == pytest.approx(repeated)
    img, img2 = images(32, 32, 3)
    y, y2 = prepare_pair(img, img2, 0, test_y_channel=True)
    expected = calculate_lpips(y, y2, **options)
    assert calculate_lpips(img, img2, test_y_channel=True, **options) == pytest.approx(expected)
    assert calculate_lpips(img, img2, **options) != pytest.approx(expected)


def test_lpips_is_built_once_and_leaves_the_random_state(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_backbone(checkpoints, 'squeeze')
    built, real = [], lpips.LPIPS

    def counted(**kwargs: object) -> torch.nn.Module:
        built.append(kwargs['net'])
        return real(**kwargs)

    monkeypatch.setattr(lpips, 'LPIPS', counted)
    img, img2 = images(32, 32, 3)
    before = torch.get_rng_state()
    options = {'type': 'calculate_lpips', 'crop_border': 0, 'net': 'squeeze', 'device': 'cpu', 'better': 'lower'}
    values = {calculate_metric({'img': img, 'img2': img2}, options) for _ in range(3)}
    assert built == ['squeeze']
    assert len(values) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('net', ['alex', 'squeeze'])
def test_lpips_says_where_the_backbone_belongs(checkpoints: Path, net: str) -> None:
    with pytest.raises(RuntimeError, match='Connect to the network, or download https') as error:
        calculate_lpips(*images(32, 32, 3), 0, net=net, device='cpu')
    assert str(checkpoints / FILES[net]) in str(error.value)
    assert 'no route to' in str(error.value)
    assert 'TORCH_HOME' in str(error.value)


class Payload:
    """What unpickles by making a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_lpips_does_not_run_code_from_the_file(checkpoints: Path, tmp_path: Path) -> None:
    torch.save({'features.0.weight': Payload(tmp_path / 'ran')}, checkpoints / FILES['squeeze'])
    with pytest.raises(RuntimeError, match='remove a damaged file'):
        calculate_lpips(*images(32, 32, 3), 0, net='squeeze', device='cpu')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [{}, {'features.0.weight': torch.zeros(1)}])
def test_lpips_refuses_other_weights(checkpoints: Path, content: dict) -> None:
    torch.save(content, checkpoints / FILES['squeeze'])
    with pytest.raises(RuntimeError, match='expected the weights of the backbone'):
        calculate_lpips(*images(32, 32, 3), 0, net='squeeze', device='cpu')


def test_lpips_recovers_once_the_file_is_there(checkpoints: Path) -> None:
    with pytest.raises(RuntimeError):
        build_lpips('squeeze', 'cpu')
    write_backbone(checkpoints, 'squeeze')
    assert not build_lpips('squeeze', 'cpu').training


@pytest.mark.parametrize('net, smallest', [('alex', 31), ('squeeze', 17)])
def test_lpips_smallest_image(checkpoints: Path, net: str, smallest: int) -> None:
    write_backbone(checkpoints, net)
    assert calculate_lpips(*images(smallest, 40, 3), 0, net=net, device='cpu') > 0
    with pytest.raises(
        ValueError, match=rf'sides of at least {smallest} pixels.*got {smallest - 1}x40 with 3 channels'
    ):
        calculate_lpips(*images(smallest - 1, 40, 3), 0, net=net, device='cpu')


@pytest.mark.parametrize(
    'shape, options, text',
    [
        ((40, 40, 3), {'net': 'resnet'}, r"calculate_lpips\.net: expected alex or vgg or squeeze, got 'resnet'"),
        ((40, 40, 4), {}, r'calculate_lpips: expected 1 or 3 channels.*got 40x40 with 4 channels'),
        ((40, 20), {'net': 'vgg', 'crop_border': 3}, r'at least 16 pixels.*got 34x14 with 1 channels'),
    ],
)
def test_lpips_refuses(shape: tuple, options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        calculate_lpips(*images(*shape), **{'crop_border': 0, **options})
