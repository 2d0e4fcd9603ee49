"""Image files of every kind through networks of every kind."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.errors import DataError, ImageError, OptionError
from basicsr_ext.inference import InferenceSettings, Restorer
from basicsr_ext.inference.exit_costs import exit_costs
from basicsr_ext.inference.exit_map import exit_shares

FLEXIR = {
    'img_size': 8, 'in_chans': 3, 'embed_dim': 8, 'depths': [1, 1, 1], 'num_heads': [2, 2, 2], 'window_size': 4,
    'mlp_ratio': 1, 'upscale': 1, 'upsampler': '',
}  # fmt: skip


class Enlarge(nn.Module):
    """A network that repeats pixels; `gain` of each channel."""

    def __init__(self, scale: int, gain: list[float]) -> None:
        super().__init__()
        self.scale, self.gain = scale, torch.tensor(gain)[:, None, None]

    def forward(self, image: Tensor) -> Tensor:
        return interpolate(image, scale_factor=self.scale, mode='nearest') * self.gain


def pixels(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, 0).repeat(scale, 1)


def write(path: Path, image: np.ndarray) -> None:
    order = {2: slice(None), 3: (..., [2, 1, 0])}[image.ndim] if image.shape[2:] != (4,) else (..., [2, 1, 0, 3])
    assert cv2.imwrite(str(path), image[order])


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]


@pytest.mark.parametrize(
    ('dtype', 'channels', 'suffix', 'scale', 'taken'),
    [
        (np.uint8, (), '.png', 1, 1),
        (np.uint8, (3,), '.tif', 1, 1),
        (np.uint8, (4,), '.png', 2, 3),
        (np.uint16, (), '.png', 2, 3),
        (np.uint16, (3,), '.tif', 2, 3),
        (np.uint16, (4,), '.tif', 1, 1),
    ],
)
def test_pixels_survive_exactly(tmp_path, dtype: type, channels: tuple, suffix: str, scale: int, taken: int) -> None:
    image = pixels((13, 18, *channels), dtype)
    if channels == (4,):
        image[..., 3] = np.iinfo(dtype).max  # of constant alpha every enlargement is the same
    write(tmp_path / f'in{suffix}', image)
    restorer = Restorer(Enlarge(scale, [1.0] * taken), InferenceSettings(region_size=8, overlap=3), channels=taken)
    restorer.restore_file(tmp_path / f'in{suffix}', tmp_path / 'new' / f'out{suffix}')
    result = read(tmp_path / 'new' / f'out{suffix}')
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, enlarged(image, scale))


@pytest.mark.parametrize('suffix', ['.webp', '.bmp', '.jpg'])
def test_other_formats(tmp_path, suffix: str) -> None:
    smooth = cv2.resize(pixels((3, 4, 3)), (32, 24), interpolation=cv2.INTER_LINEAR)
    write(tmp_path / 'in.png', smooth)
    Restorer(Enlarge(1, [1.0] * 3), channels=3).restore_file(tmp_path / 'in.png', tmp_path / f'out{suffix}')
    Restorer(Enlarge(1, [1.0] * 3), channels=3).restore_file(tmp_path / f'out{suffix}', tmp_path / 'again.png')
    np.testing.assert_allclose(read(tmp_path / 'again.png').astype(int), smooth, atol=25 if suffix == '.jpg' else 0)


def test_alpha_is_kept_and_colours_are_restored() -> None:
    image = pixels((6, 5, 4))
    result = Restorer(Enlarge(1, [1.0, 0.5, 0.0]), channels=3).restore(image)
    np.testing.assert_array_equal(result[..., 3], image[..., 3])
    np.testing.assert_array_equal(result[..., 0], image[..., 0])
    np.testing.assert_array_equal(result[..., 1], np.rint(image[..., 1] / 2))
    assert not result[..., 2].any()


def test_alpha_is_enlarged_between_its_values() -> None:
    image = pixels((6, 5, 4))
    image[:, :2, 3], image[:, 2:, 3] = 0, 200
    alpha = Restorer(Enlarge(4, [1.0] * 3), channels=3).restore(image)[..., 3]
    assert alpha.shape == (24, 20) and alpha[:, 0].max() == 0 and alpha[:, -1].min() == 200
    assert (np.diff(alpha.astype(int), axis=1) >= 0).all()


def test_grey_through_a_network_for_colours() -> None:
    image = pixels((7, 9))
    result = Restorer(Enlarge(1, [1.0, 0.5, 0.0]), channels=3).restore(image)
    np.testing.assert_allclose(result, (0.299 + 0.587 / 2) * image, atol=0.51)


def test_colours_through_a_network_for_grey() -> None:
    image = pixels((7, 9, 3))
    result = Restorer(nn.Conv2d(1, 1, 3, padding=1)).restore(image)
    torch.manual_seed(0)
    net = nn.Conv2d(1, 1, 3, padding=1)
    result = Restorer(net).restore(image)
    for channel in range(3):
        alone = net(torch.from_numpy(image[None, None, ..., channel] / np.float32(255)))[0, 0]
        expected = (255 * alone.detach().numpy()).clip(0, 255)
        np.testing.assert_allclose(result[..., channel], expected, atol=0.51)


def test_values_are_rounded_and_clipped() -> None:
    image = np.array([[100, 200]], np.uint8)
    result = Restorer(Enlarge(1, [1.504]), channels=1).restore(image)
    np.testing.assert_array_equal(result, [[150, 255]])


def test_a_rotated_jpeg_is_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(np.full((16, 40, 3), 128, np.uint8)).save(tmp_path / 'in.jpg', exif=exif)
    Restorer(Enlarge(1, [1.0] * 3), channels=3).restore_file(tmp_path / 'in.jpg', tmp_path / 'out.png')
    assert read(tmp_path / 'out.png').shape == (40, 16, 3)


def test_flexir_with_exit_map(tmp_path) -> None:
    write(tmp_path / 'in.png', pixels((21, 34)))
    restorer = Restorer(FlexIR(**FLEXIR))
    restorer.restore_file(tmp_path / 'in.png', tmp_path / 'out.png', exit_map=tmp_path / 'map.png')
    assert read(tmp_path / 'out.png').shape == (21, 34)
    assert min(Image.open(tmp_path / 'map.png').size) > 200


def test_the_exit_map_gets_the_cost_of_the_image(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple] = []
    monkeypatch.setattr('basicsr_ext.inference.restorer.draw_exit_map', lambda *given: drawn.append(given))
    write(tmp_path / 'in.png', pixels((16, 32)))
    net = FlexIR(**FLEXIR)
    restorer = Restorer(net, InferenceSettings(regions=2, pointer=1))
    for _ in range(2):
        restorer.restore_file(tmp_path / 'in.png', tmp_path / 'out.png', exit_map=tmp_path / 'map.png')
    costs = exit_costs(net, 3, (8, 16))
    assert [given[5] for given in drawn] == [pytest.approx(costs.regular[0])] * 2  # windows divide the regions
    assert drawn[0][6] == 'All regions leave at exit 1.'


def test_shares_of_the_exits() -> None:
    grid = InferenceSettings(region_size=8, overlap=2).grid(8, 12)  # columns 0 to 8 and 4 to 12
    assert exit_shares(grid, torch.tensor([[3, 1]]), 4) == [0.5, 0, 0.5, 0]
    grid = InferenceSettings(regions=3).grid(4, 11)  # spans of 2 from 0, 1, 2 and of 4 from 0, 3, 7
    down, across = [1.5 / 4, 1 / 4, 1.5 / 4], [3.5 / 11, 3.5 / 11, 4 / 11]
    exits = torch.tensor([[1, 2, 2], [2, 1, 2], [2, 2, 1]])
    first = sum(y * x for y, x in zip(down, across, strict=True))
    assert exit_shares(grid, exits, 2) == pytest.approx([first, 1 - first])


def option_file(folder: Path, network: dict, **changes) -> Path:
    opt = {
        'name': 'test', 'network_g': network, 'path': {'pretrain_network_g': str(folder / 'net.pth')}, 'num_gpu': 0,
        **changes,
    }  # fmt: skip
    path = folder / 'test.yml'
    path.write_text(yaml.safe_dump(opt))
    return path


def test_flexir_of_an_option_file(tmp_path) -> None:
    torch.manual_seed(0)
    net = FlexIR(**FLEXIR).eval()
    torch.save({'params': net.state_dict()}, tmp_path / 'net.pth')
    inference = {'regions': 1, 'pointer': 2}
    path = option_file(tmp_path, {'type': 'FlexIR', **FLEXIR}, val={'save_img': True, 'inference': inference})
    image = pixels((13, 10, 3))
    net.pointer = 2
    with torch.no_grad():
        expected = net(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    result = Restorer.from_options(path).restore(image)
    np.testing.assert_allclose(result, 255 * expected.clamp(0, 1).numpy(), atol=0.51)


def test_network_that_pads_and_has_no_exits(tmp_path) -> None:
    block = {'type': 'SwinIR', **FLEXIR}
    torch.save({'params': build_network(dict(block)).state_dict()}, tmp_path / 'net.pth')
    restorer = Restorer.from_options(option_file(tmp_path, block))
    assert restorer.restore(pixels((9, 14, 3))).shape == (9, 14, 3) and restorer.settings.regions == 1
    with pytest.raises(OptionError, match='expected a network that has exits'):
        Restorer.from_options(path=tmp_path / 'test.yml', settings=InferenceSettings(pointer=1)).restore(
            pixels((9, 9, 3))
        )


def test_wrong_option_files(tmp_path) -> None:
    with pytest.raises(OptionError, match='type: expected a value'):
        Restorer.from_options(option_file(tmp_path, {}))
    path = option_file(tmp_path, {'type': 'FlexIR', **FLEXIR}, path={'pretrain_network_g': None})
    with pytest.raises(OptionError, match='expected a file of weights'):
        Restorer.from_options(path)
    with pytest.raises(OptionError, match='expected an argument of FlexIR'):
        Restorer.from_options(option_file(tmp_path, {'type': 'FlexIR', 'window': 8}))


def test_files_that_cannot_be_read_or_written(tmp_path) -> None:
    restorer = Restorer(Enlarge(1, [1.0] * 3), channels=3)
    with pytest.raises(ImageError, match='No such file'):
        restorer.restore_file(tmp_path / 'none.png', tmp_path / 'out.png')
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(ImageError, match='damaged or foreign'):
        restorer.restore_file(tmp_path / 'text.png', tmp_path / 'out.png')
    cv2.imwrite(str(tmp_path / 'float.tif'), np.ones((4, 4), np.float32))
    with pytest.raises(ImageError, match='expected 8- or 16-bit pixels, got float32'):
        restorer.restore_file(tmp_path / 'float.tif', tmp_path / 'out.png')
    write(tmp_path / 'deep.png', pixels((4, 4, 4), np.uint16))
    for name, text in (('out.jpg', '16-bit'), ('out.gif', 'one of the endings'), ('out', 'one of the endings')):
        with pytest.raises(ImageError, match=text):
            restorer.restore_file(tmp_path / 'deep.png', tmp_path / name)
    write(tmp_path / 'alpha.png', pixels((4, 4, 4)))
    with pytest.raises(ImageError, match='format with alpha'):
        restorer.restore_file(tmp_path / 'alpha.png', tmp_path / 'out.jpg')
    assert not list(tmp_path.glob('out*'))


def test_wrong_calls() -> None:
    with pytest.raises(OptionError, match='channels: expected 1 or 3, got 2'):
        Restorer(nn.Conv2d(2, 2, 3))
    with pytest.raises(OptionError, match='expected a network that gives 3 channels'):
        Restorer(nn.Conv2d(3, 1, 3, padding=1)).restore(pixels((4, 4, 3)))
    with pytest.raises(DataError, match='expected H x W'):
        Restorer(nn.Conv2d(3, 3, 3)).restore(np.ones((4, 4, 3)))
