"""The weights that come with the package: what they say of themselves, and that they restore."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

import basicsr_ext
from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.inference.restorer import Restorer
from basicsr_ext.options.load import find_file
from basicsr_ext.runtime.checkpoint import load_network_weights, network_in, read_checkpoint

FOLDER = Path(basicsr_ext.__file__).parent / 'weights'
DENOISERS = {  # noise level and channels of those of one level
    'FlexIR_light_color_sigma15': (15, 3),
    'FlexIR_light_color_sigma25': (25, 3),
    'FlexIR_light_color_sigma50': (50, 3),
    'IRCNN_color_sigma25': (25, 3),
    'IRCNN_gray_sigma15': (15, 1),
    'IRCNN_gray_sigma25': (25, 1),
    'IRCNN_gray_sigma50': (50, 1),
}
BLIND, JPEG = 'IRCNN_gray_blind', 'FlexIR_light_gray_jpeg10'


def network(name: str) -> nn.Module:
    """As the file describes it; the oldest ones describe nothing."""
    path = find_file(f'pkg://basicsr_ext/weights/{name}.pth')
    net: nn.Module = build_network(network_in(path) or {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1})
    load_network_weights(net, path)
    return net.eval()


def picture(channels: int) -> Tensor:
    """Waves, a disc and a slope, 1 x C x 64 x 64."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing='ij')
    disc = ((x - 40) ** 2 + (y - 28) ** 2 < 200).float()
    planes = [
        0.5 + 0.2 * torch.sin(x / (5 + 2 * c)) * torch.cos(y / 9) + 0.25 * disc - y / 500 for c in range(channels)
    ]
    return torch.stack(planes)[None].clamp(0, 1)


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10(((image.clamp(0, 1) - truth) ** 2).mean()))


def restored(net: nn.Module, image: Tensor) -> list[Tensor]:
    """By every exit."""
    with torch.no_grad():
        if not isinstance(net, FlexIR):
            return [net(image)]
        state, images = net.begin(image), []
        for _ in range(net.num_branches):
            state = net.step(state)
            images.append(net.restore(state))
        return images


def gains(net: nn.Module, truth: Tensor, sigma: float) -> list[float]:
    noisy = truth + sigma / 255 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return [psnr(image, truth) - psnr(noisy, truth) for image in restored(net, noisy)]


def test_every_file_is_known_here() -> None:
    named = {*DENOISERS, BLIND, JPEG, 'ComplexityScorer_test_resnet'}
    assert {path.stem for path in FOLDER.glob('*.pth')} == named


def test_the_files_are_small() -> None:
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob('*.pth')}
    assert sum(size for name, size in sizes.items() if name.startswith('FlexIR')) < 8e6
    assert sum(sizes.values()) < 12e6


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.pth')), ids=lambda path: path.stem)
def test_a_file_holds_plain_finite_tensors(path: Path) -> None:
    """`read_checkpoint` reads data alone."""
    weights = read_checkpoint(path)['params']
    assert weights and all(bool(value.isfinite().all()) for value in weights.values())


@pytest.mark.parametrize('name', DENOISERS)
def test_a_denoiser_takes_the_noise_away_at_every_exit(name: str) -> None:
    sigma, channels = DENOISERS[name]
    assert min(gains(network(name), picture(channels), sigma)) > {15: 6, 25: 7, 50: 8}[sigma]


@pytest.mark.parametrize('sigma', [10, 25, 50])
def test_the_blind_denoiser_takes_noise_of_every_level_away(sigma: int) -> None:
    assert min(gains(network(BLIND), picture(1), sigma)) > 5


def test_the_deblocker_improves_a_jpeg_at_every_exit() -> None:
    truth = picture(1)
    pixels = (255 * truth[0, 0]).round().numpy().astype(np.uint8)
    _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 10])
    jpeg = torch.from_numpy(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)).float()[None, None] / 255
    assert min(psnr(image, truth) for image in restored(network(JPEG), jpeg)) > psnr(jpeg, truth) + 1


@pytest.mark.parametrize('name', [JPEG, BLIND, 'FlexIR_light_color_sigma15', 'IRCNN_color_sigma25'])
def test_a_restorer_needs_the_file_alone(name: str) -> None:
    restorer = Restorer.from_weights(FOLDER / f'{name}.pth', device='cpu')
    image = np.full((20, 24) if 'gray' in name else (20, 24, 3), 128, np.uint8)
    difference = restorer.restore(image).astype(int) - image
    assert difference.shape == image.shape and np.abs(difference).max() <= 8
