"""The job `restore`: what it makes of files, what it keeps and refuses, and that it can be killed at any moment."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.metrics import calculate_psnr, calculate_ssim
from PIL import Image

from basicsr_ext.__main__ import main
from basicsr_ext.images.file_io import read_image_file
from basicsr_ext.inference import InferenceSettings, Restorer
from basicsr_ext.inference.fitting_tiles import FittingTiles
from basicsr_ext.jobs.restore.worker import Worker
from basicsr_ext.runtime.checkpoint import save_network_weights, weights_digest
from tests.helpers.flexir import NETWORK as FLEXIR
from tests.helpers.images import photo
from tests.helpers.processes import run_ranks, start, stop_when
from tests.helpers.training import train_here

Capture = pytest.CaptureFixture[str]
GREY: dict[str, Any] = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
TWICE: dict[str, Any] = {
    'type': 'SRVGGNetCompact', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_conv': 1, 'upscale': 2,
}  # fmt: skip


def make_weights(name: str = 'net.pth', **changes: Any) -> Restorer:
    """Weights that name their network in a file in the current folder, and what they restore."""
    block = changes if 'type' in changes else {**GREY, **changes}
    torch.manual_seed(0)
    save_network_weights(name, {'params': build_network(dict(block)).state_dict()}, block)
    return Restorer.from_weights(name, device='cpu')


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `in` of nested files of several kinds; it is beside the current folder's weights `net.pth`."""
    monkeypatch.chdir(tmp_path)
    Path('in/b/deep').mkdir(parents=True)
    colours = np.dstack([photo(1, 30, 41), photo(2, 30, 41), photo(3, 30, 41)])
    alpha = np.dstack([colours.astype(np.uint16) * 250, np.full((30, 41), 40_000, np.uint16)])
    exif = Image.Exif()
    exif[271], exif[274] = 'Maker', 8
    Image.fromarray(colours).save('in/frame10.jpg', exif=exif, dpi=(300, 300))
    cv2.imwrite('in/frame2.png', photo(4, 33, 29))
    cv2.imwrite('in/b/alpha.tif', alpha)
    cv2.imwrite('in/b/deep/x.y.webp', colours, [cv2.IMWRITE_WEBP_QUALITY, 101])
    return tmp_path


NAMES = ['b/alpha.tif', 'b/deep/x.y.webp', 'frame2.png', 'frame10.jpg']


def restore(*words: str, source: str = 'in', output: str = 'out', weights: str = 'net.pth') -> int:
    return main(['restore', source, '-o', output, '--weights', weights, '--device', 'cpu', *words])


def results(folder: str = 'out') -> list[str]:
    """The files in a folder but hidden ones and the page."""
    files = (
        path.relative_to(folder) for path in Path(folder).rglob('*') if path.is_file() and path.name != 'report.html'
    )
    return sorted(str(path) for path in files if not any(part.startswith('.') for part in path.parts))


def stamps(folder: str = 'out') -> dict[str, int]:
    return {name: os.stat(f'{folder}/{name}').st_mtime_ns for name in results(folder)}


# ---- what is made ----


def test_a_folder_keeps_its_names_folders_formats_and_depths(place: Path) -> None:
    restorer = make_weights()
    assert restore() == 0
    assert results() == sorted(NAMES)
    for name in NAMES:
        given, found = read_image_file(f'in/{name}'), read_image_file(f'out/{name}')
        expected = restorer.restore(given)
        assert found.dtype == given.dtype and found.shape == given.shape
        assert np.abs(found.astype(int) - expected).mean() < (4 if name.endswith('.jpg') else 1e-9)
    assert (read_image_file('out/b/alpha.tif')[..., 3] == 40_000).all()
    camera = Image.open('out/frame10.jpg')
    assert camera.size == (30, 41) and camera.getexif()[271] == 'Maker' and 274 not in camera.getexif()
    assert camera.info['dpi'] == (300, 300)


def test_a_page_shows_what_is_restored_and_replaces_no_other_file(place: Path) -> None:
    make_weights()
    Path('out').mkdir()
    Path('out/report.html').write_text('mine')
    assert restore() == 0
    assert Path('out/report.html').read_text() == 'mine'
    assert Path('out/report_restore.html').read_text().count('<img') == 2 * len(NAMES)


def test_files_come_in_natural_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_weights()
    seen: list[str] = []
    monkeypatch.setattr(Worker, 'attempt', lambda self, work: seen.append(work.name))
    assert restore() == 0
    assert seen == NAMES


def test_a_real_training_needs_no_option_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_here(tmp_path, train__total_iter=20, val__val_freq=20, train__ema_decay=0.9) == 0
    weights = 'experiments/run/models/net_g_latest.pth'
    assert restore(source='val', weights=weights) == 0
    state = torch.load(weights, weights_only=True)['params_ema']
    net = build_network(dict(GREY)).eval()
    net.load_state_dict(state)
    image = cv2.imread('val/000.png', cv2.IMREAD_UNCHANGED)
    with torch.no_grad():
        expected = net(torch.from_numpy(image / np.float32(255))[None, None])[0, 0].clamp(0, 1) * 255
    found = cv2.imread('out/000.png', cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, expected.round().byte().numpy())
    shutil.move(weights, 'moved.pth')  # where no option file stands beside it
    assert restore(source='val/000.png', output='one.png', weights='moved.pth') == 0
    np.testing.assert_array_equal(cv2.imread('one.png', cv2.IMREAD_UNCHANGED), found)


def test_one_file_larger_and_in_another_format(place: Path) -> None:
    restorer = make_weights(**TWICE)
    assert restore(source='in/frame2.png', output='new/big.tif') == 0
    np.testing.assert_array_equal(
        read_image_file('new/big.tif'), restorer.restore(cv2.imread('in/frame2.png', cv2.IMREAD_UNCHANGED))
    )
    assert read_image_file('new/big.tif').shape == (66, 58)


def test_another_format_for_all(place: Path) -> None:
    make_weights()
    assert restore('--format', 'png') == 0
    assert results() == sorted(f'{os.path.splitext(name)[0]}.png' for name in NAMES)
    assert read_image_file('out/b/alpha.png').dtype == np.uint16


@pytest.mark.parametrize(('ending', 'network', 'tolerance'), [('.mkv', TWICE, 0.5), ('.mp4', GREY, 6)])
def test_a_video(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ending: str,
    network: dict[str, Any],
    tolerance: float,
) -> None:
    monkeypatch.chdir(tmp_path)
    restorer = make_weights(**network)
    frames = [np.dstack([photo(number, 32, 48, highest=0.3)] * 3) for number in range(5)]
    writer = cv2.VideoWriter('in.avi', cv2.VideoWriter.fourcc(*'FFV1'), 12.5, (48, 32))
    for frame in frames:
        writer.write(frame)
    writer.release()
    for _ in range(2):  # the second time it is there
        assert restore(source='in.avi', output=f'out{ending}') == 0
    assert caplog.text.count('5 frames, 12.5 a second. Its sound is not taken over.') == 1
    video = cv2.VideoCapture(f'out{ending}')
    assert video.get(cv2.CAP_PROP_FPS) == 12.5
    for frame in frames:
        found = video.read()[1]
        expected = restorer.restore(np.ascontiguousarray(frame[..., ::-1]))[..., ::-1]
        assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < tolerance
    assert not video.read()[0]
    assert results('.') == ['in.avi', 'net.pth', f'out{ending}']


def test_tiles_pointer_and_averages_are_those_of_the_restorer(place: Path) -> None:
    make_weights(**FLEXIR)
    cases = [
        ((), None),
        (('--pointer', '1'), InferenceSettings(pointer=1)),
        (('--tile', '12', '--overlap', '4'), InferenceSettings(region_size=12, overlap=4)),
    ]
    image = read_image_file('in/b/deep/x.y.webp')
    found = []
    for number, (words, settings) in enumerate(cases):
        assert restore(*words, source='in/b/deep/x.y.webp', output=f'{number}.png') == 0
        found.append(read_image_file(f'{number}.png'))
        expected = Restorer.from_weights('net.pth', settings, device='cpu').restore(image)
        np.testing.assert_array_equal(found[-1], expected)
    assert (found[0] != found[1]).any() and (found[0] != found[2]).any()


def test_flags_change_single_settings_of_the_option_file(place: Path) -> None:
    make_weights(**FLEXIR)
    inference = {'regions': 3, 'overlap': 1, 'pointer': 2}
    Path('x.yml').write_text(json.dumps({'val': {'inference': inference}}))  # JSON is YAML
    image = read_image_file('in/frame2.png')
    words = ('-opt', 'x.yml', '--pointer', '1', '--overlap', '3')
    for number, (more, settings) in enumerate(
        [(words[:2], inference), (words, {'regions': 3, 'overlap': 3, 'pointer': 1})]
    ):
        assert restore(*more, source='in/frame2.png', output=f'{number}.png') == 0
        expected = Restorer.from_weights('net.pth', InferenceSettings(**settings), device='cpu').restore(image)
        np.testing.assert_array_equal(read_image_file(f'{number}.png'), expected)


def test_a_calibration_says_all_and_belongs_to_its_weights(place: Path, capsys: Capture) -> None:
    restorer = make_weights(**FLEXIR)
    content = {'inference': {'regions': 3, 'pointer': 1}, 'weights': weights_digest(restorer.net)}
    Path('calibration.json').write_text(json.dumps(content))
    words, image = ('--calibration', 'calibration.json'), read_image_file('in/frame2.png')
    assert restore(*words, source='in/frame2.png', output='out.png') == 0
    expected = Restorer.from_weights('net.pth', InferenceSettings(regions=3, pointer=1), device='cpu').restore(image)
    np.testing.assert_array_equal(read_image_file('out.png'), expected)
    make_weights(**{**FLEXIR, 'embed_dim': 8})
    assert restore(*words, source='in/frame2.png', output='other.png') == 2
    assert 'expected a calibration of these weights, got one of others' in capsys.readouterr().err
    assert not Path('other.png').exists()


@pytest.mark.parametrize(
    'said', ['CUDA out of memory. Tried to allocate 2 GiB.', 'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ...']
)
def test_large_images_are_cut_into_tiles_that_fit(said: str) -> None:
    class Short(torch.nn.Conv2d):
        """A network for which memory is too small above 40 x 40 pixels."""

        sides: list[int] = []

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.sides.append(max(image.shape[2:]))
            if self.sides[-1] > 40:
                raise RuntimeError(said)
            return super().forward(image)

    net, image = Short(1, 1, 1, bias=False), photo(0, 90, 70)
    torch.nn.init.ones_(net.weight)
    tiles = FittingTiles(Restorer(net, channels=1), overlap=8)
    tiles.side = 128
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('basicsr_ext.inference.fitting_tiles.LEAST', 32)
        np.testing.assert_array_equal(tiles.restore(image), image)
        assert net.sides[:4] == [90, 90, 64, 32]
        net.sides.clear()
        tiles.restore(image)  # what fits is known now
        assert set(net.sides) == {32}
        patch.setattr('basicsr_ext.inference.fitting_tiles.LEAST', 64)
        tiles.side = 64
        with pytest.raises(RuntimeError, match=re.escape(said)):
            tiles.restore(image)


# ---- what fails, and what is refused ----


def test_what_fails_is_named_at_the_end_and_the_others_are_done(
    place: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    make_weights()
    Path('in/a.png').write_text('no image')
    cv2.imwrite('in/float.tif', np.ones((4, 4), np.float32))
    Path('in/notes.txt').write_text('x')
    assert restore() == 2
    assert results() == sorted(NAMES)
    assert 'in/a.png: expected an image, got a damaged or foreign file' in caplog.text
    assert 'in/float.tif: expected 8- or 16-bit pixels, got float32' in caplog.text
    assert '1 files that are no images are left out: notes.txt' in caplog.text
    assert 'got 2 of 6 that cannot, named above' in capsys.readouterr().err
    before = stamps()
    Path('in/a.png').unlink()
    cv2.imwrite('in/float.tif', np.ones((4, 4), np.uint8))
    assert restore() == 0
    assert 'float.tif' in results() and {name: stamps()[name] for name in before} == before


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('in -o in', 'expected a folder outside IN, got one that is or lies in'),
        ('in -o in/out', 'expected a folder outside IN, got one that is or lies in'),
        ('in -o linked', 'expected a folder outside IN, got one that is or lies in'),
        ('in/frame2.png -o in/frame2.png', '-o: expected results beside what is read'),
        ('in/frame2.png -o in', 'expected the name of a file for a file, got a folder'),
        ('in/frame2.png -o out.gif', 'expected an ending of an image'),
        ('in/frame2.png -o out.mp4', 'expected an ending of an image'),
        ('in/frame2.png -o out.png --format png', '--format: expected a folder IN'),
        ('in -o net.pth', 'expected a folder for a folder, got a file'),
        ('none -o out', 'IN: expected a file or a folder'),
        ('net.pth -o out.png', 'IN: expected one of the endings'),
        ('in -o out --tile 0', '--tile: expected at least 1, got 0'),
        ('in -o out --tile 8 --overlap 8', 'overlap: expected less than region_size = 8'),
        ('in -o out --overlap 512', '--overlap: expected 0 to 511 without --tile'),
        ('in -o out --pointer 1', '--pointer: expected a network that has exits, as FlexIR, got IRCNN'),
        ('in -o out --calibration x.json --tile 8', '--calibration: expected none of the options that it sets'),
        ('in -o out --calibration x.json', 'calibration: expected a file'),
        ('in -o out --compare in/frame2.png', '--compare: expected a folder, as IN is'),
        ('in -o out --launcher pytorch', 'expected the variables that torchrun sets'),
    ],
)
def test_mistakes_are_refused_before_work_starts(place: Path, capsys: Capture, words: str, said: str) -> None:
    make_weights()
    os.symlink('in', 'linked')
    before = stamps('.')
    assert main(['restore', *words.split(), '--weights', 'net.pth']) == 2
    assert said in capsys.readouterr().err
    assert stamps('.') == before and not Path('out').exists()


def test_names_that_would_become_one_are_refused(place: Path, capsys: Capture) -> None:
    make_weights()
    cv2.imwrite('in/frame10.png', photo(0, 8, 8))
    assert restore('--format', 'png') == 2
    assert 'frame10.jpg and' in capsys.readouterr().err and not Path('out').exists()
    assert restore() == 0


def test_a_file_that_restore_did_not_make_is_kept_unless_it_may_be_replaced(place: Path, capsys: Capture) -> None:
    make_weights()
    Path('out').mkdir()
    Path('out/frame2.png').write_text('mine')
    Path('out/other.txt').write_text('mine too')
    assert restore() == 2
    assert 'got 1 others' in capsys.readouterr().err
    assert results() == ['frame2.png', 'other.txt'] and Path('out/frame2.png').read_text() == 'mine'
    assert restore('--overwrite') == 0
    assert results() == sorted([*NAMES, 'other.txt']) and Path('out/other.txt').read_text() == 'mine too'
    cv2.imwrite('out/frame2.png', photo(9, 8, 8))  # ours, but changed since
    assert restore() == 2
    assert read_image_file('out/frame2.png').shape == (8, 8)


# ---- continuing ----


def test_what_is_done_is_not_done_again_unless_something_differs(place: Path, capsys: Capture) -> None:
    make_weights()
    assert restore() == 0
    first = stamps()
    assert restore() == 0 and stamps() == first
    Path('out/frame2.png').unlink()
    assert restore() == 0
    assert {name for name in first if stamps()[name] != first[name]} == {'frame2.png'}
    shutil.copytree('in', 'moved')
    assert restore(source='moved') == 0  # the same content, elsewhere
    for change in ('input', 'weights', 'settings'):
        kept = stamps()
        if change == 'input':
            cv2.imwrite('in/frame2.png', photo(8, 33, 29))
        if change == 'weights':
            make_weights(num_feat=5)
        words = ('--tile', '16') if change == 'settings' else ()
        capsys.readouterr()
        assert restore(*words) == 2 and stamps() == kept
        assert f'got {1 if change == "input" else 4} others' in capsys.readouterr().err
        assert restore(*words, '--overwrite') == 0
        changed = {name for name in kept if stamps()[name] != kept[name]}
        assert changed == ({'frame2.png'} if change == 'input' else set(NAMES))


def test_killed_again_and_again_it_leaves_nothing_half_written_and_ends_the_same(place: Path) -> None:
    make_weights()
    for number in range(40):
        cv2.imwrite(f'in/{number}.tif', photo(number, 200, 220))
    assert restore() == 0
    words = ['-m', 'basicsr_ext', 'restore', 'in', '-o', 'killed', '--weights', 'net.pth', '--device', 'cpu']
    kept: dict[str, int] = {}
    for number in (1, 10, 25):
        process = start(words, place)
        while process.poll() is None and len(results('killed')) < number:
            pass
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        assert {name: stamps('killed')[name] for name in kept} == kept  # what was done is not done again
        kept = stamps('killed')
        for name in kept:  # and whatever is there is whole
            assert Path('killed', name).read_bytes() == Path('out', name).read_bytes()
    assert restore(output='killed') == 0
    assert results('killed') == results('out') and {name: stamps('killed')[name] for name in kept} == kept
    assert all(Path('killed', name).read_bytes() == Path('out', name).read_bytes() for name in results('out'))
    assert not list(Path('killed').rglob('.*.tmp'))


def test_a_stop_ends_after_the_file_at_hand(place: Path) -> None:
    make_weights()
    for number in range(200):
        cv2.imwrite(f'in/{number}.tif', photo(number % 5, 200, 220))
    words = ['-m', 'basicsr_ext', 'restore', 'in', '-o', 'out', '--weights', 'net.pth', '--device', 'cpu']
    notes = Path('out/.restore/0.jsonl').absolute()
    assert stop_when(notes.is_file, signal.SIGTERM, words, place) == 128 + signal.SIGTERM
    assert 0 < len(results()) < 204
    assert all(read_image_file(f'out/{name}').size for name in results())


def test_a_note_without_its_result_and_half_a_note_are_no_matter(place: Path) -> None:
    make_weights()
    assert restore() == 0
    notes = Path('out/.restore/0.jsonl')
    lines = notes.read_bytes()
    Path('out/frame2.png').unlink()  # killed between note and result
    notes.write_bytes(lines + b'{"name": "frame10.jpg", "sour')
    first = stamps()
    assert restore() == 0
    assert results() == sorted(NAMES) and {name: stamps()[name] for name in first} == first


def test_two_ranks_share_the_files_out(place: Path) -> None:
    make_weights()
    cv2.imwrite('in/z.png', photo(0, 20, 20))
    Path('in/bad.png').write_text('no image')
    words = ['in', '-o', 'ranks', '--weights', 'net.pth', '--device', 'cpu', '--launcher', 'pytorch']
    Path('ranks.py').write_text(
        'import sys\n'
        'from basicsr_ext.__main__ import main\n'
        f'sys.exit(0 if main(["restore", *{words}]) == 2 else 1)  # as one file is damaged\n'
    )
    said = run_ranks(['ranks.py'], place)
    assert ['got 1 of 6 that cannot' in text for text in said] == [True, True]
    assert 'damaged or foreign' in said[0] and 'damaged or foreign' not in said[1]
    assert restore() == 2
    assert results('ranks') == results('out') == sorted([*NAMES, 'z.png'])
    assert all(Path('ranks', name).read_bytes() == Path('out', name).read_bytes() for name in results())
    assert len(list(Path('ranks/.restore').glob('*.jsonl'))) == 2


# ---- comparing ----


def test_results_are_compared_with_ground_truth(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_weights()
    for name in NAMES:
        target = Path('gt', name).with_suffix('.png')
        target.parent.mkdir(parents=True, exist_ok=True)
        image = read_image_file(f'in/{name}')
        noisy = np.clip(image.astype(int) + 3 * (1 if image.dtype == np.uint8 else 257), 0, np.iinfo(image.dtype).max)
        order = [2, 1, 0, 3][: image.shape[2]] if image.ndim == 3 else None
        cv2.imwrite(str(target), noisy.astype(image.dtype) if order is None else noisy.astype(image.dtype)[..., order])
    assert restore('--compare', 'gt') == 0
    report = json.loads(Path('out/restore.json').read_text())
    assert [row['image'] for row in report['images']] == NAMES
    for row in report['images']:
        levels = []
        for path in (f'in/{row["image"]}', f'out/{row["image"]}', Path('gt', row['image']).with_suffix('.png')):
            image = read_image_file(path)
            unit = 1 if image.dtype == np.uint8 else 257
            image = image if image.ndim == 2 else image[..., 2::-1]
            levels.append(image[..., None] / unit if image.ndim == 2 else image / unit)
        for place_in_row, image in (('', levels[1]), ('_input', levels[0])):
            assert row[f'psnr{place_in_row}'] == pytest.approx(calculate_psnr(image, levels[2], 0))
            assert row[f'ssim{place_in_row}'] == pytest.approx(calculate_ssim(image, levels[2], 0))
    for key, mean in report['means'].items():
        assert mean == pytest.approx(np.mean([row[key] for row in report['images']]))
    assert f'{report["means"]["psnr"]:.2f}' in caplog.text
    before = Path('out/restore.json').read_bytes()
    assert restore('--compare', 'gt') == 0 and Path('out/restore.json').read_bytes() == before


def test_an_enlarged_image_is_compared_alone(place: Path) -> None:
    restorer = make_weights(**TWICE)
    cv2.imwrite('gt.png', restorer.restore(cv2.imread('in/frame2.png', cv2.IMREAD_UNCHANGED)) // 2)
    assert restore('--compare', 'gt.png', source='in/frame2.png', output='big.png') == 0
    (row,) = json.loads(Path('big.json').read_text())['images']
    assert row['psnr'] > 0 and row['psnr_input'] is None and row['ssim_input'] is None


def test_ground_truth_that_does_not_fit(place: Path, capsys: Capture, caplog: pytest.LogCaptureFixture) -> None:
    make_weights()
    shutil.copytree('in', 'gt')
    Path('gt/b/alpha.tif').unlink()
    assert restore('--compare', 'gt') == 2
    assert 'expected an image in' in (said := capsys.readouterr().err) and 'in/b/alpha.tif' in said
    assert not Path('out').exists()
    for name in ('alpha.png', 'alpha.tif'):
        cv2.imwrite(f'gt/b/{name}', photo(0, 9, 9))
    assert restore('--compare', 'gt') == 2
    assert '--compare: expected one image of each name' in capsys.readouterr().err and not Path('out').exists()
    Path('gt/b/alpha.png').unlink()
    assert restore('--compare', 'gt') == 2
    assert 'expected ground truth of the shape (30, 41, 3)' in caplog.text
    assert 'got 1 of 4 that cannot' in capsys.readouterr().err
    assert results() == sorted([*NAMES, 'restore.json'])
    Path('out/restore.json').write_text('mine')
    assert restore('--compare', 'gt') == 2
    assert 'expected an earlier report or none' in capsys.readouterr().err
    assert Path('out/restore.json').read_text() == 'mine'
