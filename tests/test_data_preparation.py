"""Data sets laid out from made-up archives of the real layout, for the option files."""

import base64
import csv
import io
import os
import re
import sys
import tarfile
import zipfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
import scipy.io

from basicsr_ext.images.file_io import read_image_file, write_image_file
from basicsr_ext.options.dataset_blocks import paths_in, walk_blocks
from tests.helpers.images import write_images
from tests.helpers.option_files import OPTION_FILES, REPOSITORY, loaded
from tests.helpers.processes import run

SCRIPTS = str(REPOSITORY / 'scripts' / 'data_preparation')
sys.path.insert(0, SCRIPTS)
import data_sets  # noqa: E402
import matlab_files  # noqa: E402
import prepare as script  # noqa: E402
import submission  # noqa: E402

sys.path.remove(SCRIPTS)

PAGES = {'photos': 148, 'target': 8, 'val': 8, 'pages': 12, 'noisy': 12}  # images of the demo
NAMES = [name for name, known in data_sets.DATA.items() if not any('.mat/' in part.members for part in known.parts)]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a folder with `downloads/`; two images make a whole part of a data set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'downloads').mkdir()
    small = {
        name: replace(known, parts=tuple(replace(part, number=2) for part in known.parts))
        for name, known in data_sets.DATA.items()
    }
    monkeypatch.setattr(script, 'DATA', small)
    return script


def encoded(path: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.imencode(Path(path).suffix.lower(), pixels)[1].tobytes()


def files_of(known: Any, number: int = 2) -> dict[str, bytes]:
    """Paths in the archives as their patterns say, with files of no use around them."""
    paths = [
        f'top/{part.members.replace(".*g", ".png").replace(".*G", ".JPG").replace("*", f"n{count}{place}")}'
        for place, part in enumerate(known.parts)
        for count in range(number)
    ]
    content = {path: encoded(path, seed) for seed, path in enumerate(paths)}
    return {**content, 'top/readme.txt': b'text', 'top/__MACOSX/._a.png': b'none'}


def pack(known: Any, files: dict[str, bytes], name: str = '') -> Path:
    path = Path('downloads', known.archives.replace('*', name))
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as packed:
            for member, content in files.items():
                packed.writestr(member, content)
    else:
        with tarfile.open(path, 'w:gz') as tar:
            for member, content in files.items():
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize('name', NAMES)
def test_an_archive_becomes_the_folders_of_the_option_files(
    prepare: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = prepare.DATA[name]
    files = files_of(known)
    pack(known, files)
    assert prepare.main(['unpack', name, '--archives', 'downloads']) == 0
    written = {path: path.read_bytes() for path in Path('datasets').rglob('*') if path.is_file()}
    assert {path.parent.as_posix() for path in written} == {f'datasets/{part.folder}' for part in known.parts}
    assert sorted(written.values()) == sorted(content for path, content in files.items() if len(content) > 9)
    said = capsys.readouterr().out
    for folder in {part.folder for part in known.parts}:
        number = 2 * sum(part.folder == folder for part in known.parts)
        assert f'datasets/{folder}: {number} images of 6 x 8 to 6 x 8.' in said
    assert not list(Path('datasets').rglob('.*'))
    assert prepare.main(['unpack', name, '--archives', 'downloads']) == 2
    assert 'expected no images yet, got' in capsys.readouterr().err


def test_the_list_says_where_data_sets_come_from_and_go(prepare: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(['list']) == 0
    said = capsys.readouterr().out
    assert all(f'{name}: ' in said for name in data_sets.DATA) and 'datasets/WED: 2 images' in said


def test_pairs_have_one_name(prepare: Any) -> None:
    known = prepare.DATA['GoPro']
    names = [f'train/SEQ{clip}/{kind}/{frame}.png' for kind in ('blur', 'sharp') for clip, frame in ((1, 7), (2, 7))]
    names += [name.replace('train', 'test') for name in names]
    pack(known, {name: encoded(name, seed) for seed, name in enumerate(names)})
    assert prepare.main(['unpack', 'GoPro', '--archives', 'downloads']) == 0
    for part in ('train', 'test'):
        for kind in ('input', 'target'):
            found = prepare.images(Path('datasets/GoPro', part, kind))
            assert [file.name for file in found] == ['SEQ1-7.png', 'SEQ2-7.png']


def test_archives_may_come_one_after_the_other(prepare: Any, capsys: pytest.CaptureFixture[str]) -> None:
    known = prepare.DATA['DIV2K']
    files = files_of(known)
    hr = {path: content for path, content in files.items() if 'HR' in path}
    pack(known, hr, 'train_HR')
    assert prepare.main(['unpack', 'DIV2K', '--archives', 'downloads']) == 0
    assert 'datasets/DIV2K/DIV2K_train_LR_bicubic/X2: not in these archives.' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('make', 'said'),
    [
        (lambda known: None, r'--archives downloads: expected DIV2K_\*\.zip, got none\. Download it from https'),
        (lambda known: pack(known, files_of(known, 1)), r'DIV2K_train_HR in DIV2K_\.zip: expected 2 images, got 1\.'),
        (
            lambda known: pack(known, {'a.png': b'x'}),
            r'expected DIV2K_train_HR/\*\.png or .* 1 other files',
        ),
        (lambda known: Path('downloads/DIV2K_x.zip').write_bytes(b'PK no zip'), r'expected a whole zip or tar archive'),
    ],
)
def test_downloads_that_are_not_whole(prepare: Any, make: Any, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(prepare.DATA['DIV2K'])
    assert prepare.main(['unpack', 'DIV2K', '--archives', 'downloads']) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not Path('datasets/DIV2K/DIV2K_train_HR').exists()


def test_what_is_there_is_checked(prepare: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(['check', 'Set21']) == 2
    assert 'NAME: expected a data set of the list' in capsys.readouterr().err
    assert prepare.main(['check', 'Set12']) == 0
    assert capsys.readouterr().out == 'datasets/Set12: not there.\n'
    write_images(Path('datasets/Set12'), number=3, size=8)
    assert prepare.main(['check', 'Set12']) == 2
    assert 'datasets/Set12: expected 2 images, got 3. Unpack it again.' in capsys.readouterr().err
    (Path('datasets/Set12') / '000.png').unlink()
    (Path('datasets/Set12') / '001.png').write_bytes(b'no image')
    assert prepare.main(['check', 'Set12']) == 2
    assert '001.png: expected an image' in capsys.readouterr().err


def test_sub_images_and_their_lmdb(prepare: Any, tmp_path: Path) -> None:
    write_images(tmp_path / 'whole', number=2, size=20, color=True)
    assert prepare.main(['sub-images', 'whole', '-o', 'parts', '--size', '8', '--step', '6']) == 0
    for file in sorted((tmp_path / 'whole').iterdir()):
        image = cv2.imread(str(file))
        corners = [(top, left) for top in (0, 6, 12) for left in (0, 6, 12)]
        for number, (top, left) in enumerate(corners, start=1):
            part = cv2.imread(f'parts/{file.stem}_s{number:03d}.png')
            assert np.array_equal(part, image[top : top + 8, left : left + 8])
    assert len(list(Path('parts').iterdir())) == 18
    assert prepare.starts(20, 8, 5) == [0, 5, 10, 12]
    assert prepare.main(['lmdb', 'parts', '-o', 'parts.lmdb']) == 0
    with lmdb.open('parts.lmdb', readonly=True) as opened, opened.begin() as transaction:
        content = transaction.get(b'000_s001')
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, cv2.imread('parts/000_s001.png'))


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['sub-images', 'nothing', '-o', 'parts'], 'nothing: expected images, got none'),
        (['sub-images', 'whole', '-o', 'parts', '--size', '30'], 'expected at least 30 x 30 pixels, got 20 x 20'),
        (['sub-images', 'whole', '-o', 'whole', '--size', '8'], 'whole: expected no images yet, got 2'),
        (['lmdb', 'whole', '-o', 'parts'], '-o parts: expected a new name in .lmdb'),
        (['lmdb', 'nothing', '-o', 'parts.lmdb'], 'nothing: expected images, got none'),
    ],
)
def test_mistakes(prepare: Any, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(Path('whole'), number=2, size=20)
    assert prepare.main(words) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ['downloads', 'whole']


GIVEN = {
    'GoPro': ['train/GOPR1/blur/000047.png', 'train/GOPR1/sharp/000047.png'],
    'HIDE': ['HIDE/input/10fromGOPR.png', 'HIDE/target/10fromGOPR.png'],
    'RealBlur-J': ['RealBlur_J/input/scene050_blur_9.png', 'RealBlur_J/target/scene050_gt_9.png'],
    'RealBlur-R': ['RealBlur_R/input/scene050_blur_9.png', 'RealBlur_R/target/scene050_gt_9.png'],
    'DPDD': [
        'train/inputL/1P0A1.png',
        'train/inputR/1P0A2.png',
        'train/inputC/1P0A3.png',
        'train/target/1P0A4.png',
    ],
    'SIDD': ['Data/0001_001_S6/0001_NOISY_SRGB_010.PNG', 'Data/0001_001_S6/0001_GT_SRGB_010.PNG'],
    'Rain100L': ['RainTrainL/rain-7.png', 'RainTrainL/norain-7.png'],
    'Rain100H': ['RainTrainH/rain-7.png', 'RainTrainH/norain-7.png'],
    'ITS': ['hazy/1_1_0.90179.png', 'clear/1.png'],
    'OTS': ['part1/0005_0.8_0.04.jpg', 'clear/0005.jpg'],
    'SOTS': ['SOTS/outdoor/hazy/0001_0.8_0.2.jpg', 'SOTS/outdoor/gt/0001.png'],
    'UHD-LL': ['training_set/input/1_UHD_LL.JPG', 'training_set/gt/1_UHD_LL.JPG'],
}  # names that authors give to the images of a pair


@pytest.mark.parametrize('name', GIVEN)
def test_the_images_of_a_pair_get_one_name(prepare: Any, name: str) -> None:
    """But for haze, where the name of the clear image begins that of the hazy one."""
    files = {f'top/{path}': io.BytesIO for path in GIVEN[name]}
    named = {stem for part in data_sets.DATA[name].parts for stem in prepare.matching(part, files)}
    stems = {os.path.splitext(each)[0] for each in named}
    assert len({stem.partition('_')[0] if name in ('ITS', 'OTS', 'SOTS') else stem for stem in stems}) == 1


def test_two_photographs_of_a_scene_of_sidd_have_two_names(prepare: Any) -> None:
    files = {f'Data/0001_001_S6/0001_NOISY_SRGB_01{digit}.PNG': io.BytesIO for digit in (0, 1)}
    assert list(prepare.matching(data_sets.DATA['SIDD'].parts[0], files)) == [
        '0001_001_S6_010.png',
        '0001_001_S6_011.png',
    ]


def test_numbers_follow_the_natural_order(prepare: Any) -> None:
    files = {f'RealBlur_J/input/scene050_blur_{number}.png': lambda number=number: number for number in (10, 9, 1)}
    part = data_sets.DATA['RealBlur-J'].parts[0]
    assert {name: read() for name, read in prepare.matching(part, files).items()} == {
        '0001.png': 1,
        '0002.png': 9,
        '0003.png': 10,
    }


# ---- files of MATLAB ----


def test_the_blocks_of_sidd_become_images(prepare: Any) -> None:
    rng, blocks = np.random.default_rng(0), {}
    for name in ('ValidationNoisyBlocksSrgb', 'ValidationGtBlocksSrgb', 'BenchmarkNoisyBlocksSrgb'):
        blocks[name] = rng.integers(0, 256, (2, 1, 5, 6, 3), np.uint8)
        scipy.io.savemat(f'downloads/{name}.mat', {name: blocks[name]})
    assert prepare.main(['unpack', 'SIDD', '--archives', 'downloads']) == 0
    folders = ('val/input', 'val/target', 'test/input')
    for folder, array in zip(folders, blocks.values(), strict=True):
        for image in range(2):
            assert np.array_equal(read_image_file(f'datasets/SIDD/{folder}/{image + 1:04d}_01.png'), array[image, 0])
    assert not Path('datasets/SIDD/train').exists()


@pytest.mark.parametrize(
    'content', [b'no file of MATLAB', {'others': np.zeros((2, 1, 5, 6, 3), np.uint8)}, {'x': np.zeros(3)}]
)
def test_other_files_of_matlab_are_refused(prepare: Any, content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path('downloads/ValidationGtBlocksSrgb.mat')
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        scipy.io.savemat(file, content)
    assert prepare.main(['unpack', 'SIDD', '--archives', 'downloads']) == 2
    assert 'ValidationGtBlocksSrgb.mat: expected' in capsys.readouterr().err
    assert not Path('datasets').exists()


class Hdf5:
    """As much of h5py as two made-up files of DND need: an axis of MATLAB is the last one of numpy."""

    def __init__(self, images: np.ndarray, boxes: np.ndarray) -> None:
        self.images, self.boxes = images, boxes

    def File(self, path: Path, mode: str) -> Any:
        assert mode == 'r'
        file = {'InoisySRGB': self.images[int(path.stem) - 1].T} if path.stem != 'info' else {'info': self._info()}
        return OpenFile(file)

    def _info(self) -> dict[Any, Any]:
        scenes = range(len(self.boxes))
        return {'boundingboxes': [[f'box{scene}' for scene in scenes]], **{f'box{n}': self.boxes[n].T for n in scenes}}


class OpenFile(dict[str, Any]):
    def __enter__(self) -> 'OpenFile':
        return self

    def __exit__(self, *_: object) -> None:
        """Closed."""


def test_the_crops_of_dnd_become_images_of_16_bits(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In MATLAB a crop is image(y0:y1, x0:x1, :), which counts from 1 with both ends."""
    pictures = np.random.default_rng(0).random((2, 9, 12, 3), np.float32)
    boxes = np.array([[[1.0, 1.0, 4.0, 6.0]], [[6.0, 7.0, 9.0, 12.0]]])
    monkeypatch.setitem(sys.modules, 'h5py', Hdf5(pictures, boxes))
    monkeypatch.setattr(matlab_files, 'SCENES', 2)
    Path('downloads/images_srgb').mkdir()
    for file in ('info.mat', 'images_srgb/0001.mat', 'images_srgb/0002.mat'):
        Path('downloads', file).write_bytes(b'')
    assert prepare.main(['unpack', 'DND', '--archives', 'downloads']) == 0
    expected = {'0001_01': pictures[0, :4, :6], '0002_01': pictures[1, 5:, 6:]}
    for name, crop in expected.items():
        stored = read_image_file(f'datasets/DND/test/input/{name}.png')
        assert stored.dtype == np.uint16
        assert np.abs(stored / 65535 - crop).max() <= 0.5 / 65535 + 1e-7


def test_dnd_asks_for_h5py(prepare: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path('downloads/info.mat').write_bytes(b'')
    monkeypatch.setitem(sys.modules, 'h5py', None)
    assert prepare.main(['unpack', 'DND', '--archives', 'downloads']) == 2
    assert 'expected h5py, which reads files of MATLAB 7.3, got none. Run pip install h5py' in capsys.readouterr().err


# ---- submissions ----


@pytest.fixture
def restored(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """2 x 3 restored crops of 4 x 4 pixels, of SIDD in 8 bits and of DND in 16."""
    rng, made = np.random.default_rng(0), {}
    for name, depth in (('SIDD', np.uint8), ('DND', np.uint16)):
        known = SimpleNamespace(shape=(2, 3), side=4, depths=submission.BENCHMARKS[name].depths)
        monkeypatch.setitem(submission.BENCHMARKS, name, known)
        made[name] = rng.integers(0, np.iinfo(depth).max + 1, (2, 3, 4, 4, 3), depth)
        for image, block in np.ndindex(2, 3):
            write_image_file(Path(name, f'{image + 1:04d}_{block + 1:02d}.png'), made[name][image, block])
    return made


def test_a_submission_to_sidd_holds_the_blocks(prepare: Any, restored: dict[str, np.ndarray]) -> None:
    words = ['submit', 'SIDD', '--restored', 'SIDD', '-o', 'packed', '--seconds', '0.5', '--method', 'ours']
    assert prepare.main(words) == 0
    content = scipy.io.loadmat('packed/SubmitSrgb.mat')
    cells = content['DenoisedBlocksSrgb']
    assert cells.shape == (2, 3)
    assert cells.dtype == object
    for place in np.ndindex(2, 3):
        assert cells[place].dtype == np.uint8
        assert np.array_equal(cells[place], restored['SIDD'][place])
    assert content['TimeMPSrgb'] == 0.5
    assert content['OptionalData']['MethodName'] == 'ours'
    rows = list(csv.DictReader(Path('packed/SubmitSrgb.csv').read_text(encoding='utf-8').splitlines()))
    blocks = [np.frombuffer(base64.b64decode(row['BLOCK']), np.uint8).reshape(4, 4, 3) for row in rows]
    assert [int(row['ID']) for row in rows] == list(range(6))
    assert np.array_equal(np.stack(blocks), restored['SIDD'].reshape(6, 4, 4, 3))


def test_a_submission_to_dnd_holds_the_crops(prepare: Any, restored: dict[str, np.ndarray]) -> None:
    assert prepare.main(['submit', 'DND', '--restored', 'DND', '-o', 'packed']) == 0
    for image in range(2):
        content = scipy.io.loadmat(f'packed/bundled/{image + 1:04d}.mat')
        assert content['Idenoised'].shape == (1, 3)
        assert content['eval_version'] == '1.0'
        assert not content['israw']
        for number in range(3):
            single = scipy.io.loadmat(f'packed/{image + 1:04d}_{number + 1:02d}.mat')['Idenoised_crop']
            assert single.dtype == np.float32
            assert np.array_equal(single, content['Idenoised'][0, number])
            assert np.allclose(single, restored['DND'][image, number] / 65535, atol=1e-7)


def test_a_submission_that_is_not_whole(
    prepare: Any, restored: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['submit', 'SIDD', '--restored', 'SIDD', '-o']
    assert prepare.main(['submit', 'SIDD', '--restored', 'DND', '-o', 'packed']) == 2  # of 16 bits
    assert 'expected 4 x 4 x 3 pixels of uint8, got (4, 4, 3) of uint16' in capsys.readouterr().err
    assert prepare.main([*command, 'DND']) == 2
    assert '-o DND: expected a new folder, got one with files' in capsys.readouterr().err
    Path('SIDD/0002_03.png').unlink()
    assert prepare.main([*command, 'packed']) == 2
    assert 'expected 6 restored crops, missing, got 0002_03.png' in capsys.readouterr().err
    assert not Path('packed').exists()


def test_the_option_files_read_one_layout() -> None:
    folders = {f'datasets/{part.folder}' for known in data_sets.DATA.values() for part in known.parts}
    blocks = [outer for path in OPTION_FILES for outer in (loaded(path).get('datasets') or {}).values()]
    named = {path for outer in blocks for block, _ in walk_blocks(outer, '') for _, _, path in paths_in(block)}
    read = {path for path in named if not path.startswith('results/')}
    assert read <= folders
    assert {'datasets/DIV2K/DIV2K_train_HR', 'datasets/GoPro/train/input', 'datasets/DPDD/train/inputL'} <= read


def test_the_images_of_the_demo_are_apart_and_those_to_restore_are_noisy(tmp_path: Path) -> None:
    script = REPOSITORY / 'scripts/data_preparation/prepare_demo_dataset.py'
    for _ in range(2):  # the second time nothing changes
        said = run([str(script), '--output', str(tmp_path / 'demo')], tmp_path)
    assert 'photos: 148 images' in said
    files = {folder: sorted((tmp_path / 'demo' / folder).glob('*.png')) for folder in PAGES}
    assert {folder: len(found) for folder, found in files.items()} == PAGES
    contents = [file.read_bytes() for found in files.values() for file in found]
    assert len(set(contents)) >= len(contents) - 10  # empty corners of the eye ground
    sets = [{file.read_bytes() for file in files[folder]} for folder in ('photos', 'target', 'val', 'pages')]
    assert not any(one & other for one, other in combinations(sets, 2))
    clean, noisy = (
        np.stack([cv2.imread(str(file), cv2.IMREAD_GRAYSCALE).astype(float) for file in files[folder]])
        for folder in ('pages', 'noisy')
    )
    middle = (clean > 80) & (clean < 175)  # where clipping does not narrow it
    assert 23 < (noisy - clean)[middle].std() < 27
