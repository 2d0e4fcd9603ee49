"""Data sets laid out from made-up archives of the real layout, for the option files."""

import importlib.util
import io
import re
import sys
import tarfile
import zipfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest

from tests.helpers.images import write_images
from tests.helpers.option_files import REPOSITORY
from tests.helpers.processes import run

SPEC = importlib.util.spec_from_file_location('prepare', REPOSITORY / 'scripts/data_preparation/prepare.py')
assert SPEC is not None and SPEC.loader is not None
PREPARE: Any = importlib.util.module_from_spec(SPEC)
sys.modules['prepare'] = PREPARE  # where dataclasses look
SPEC.loader.exec_module(PREPARE)
PAGES = {'photos': 148, 'target': 8, 'val': 8, 'pages': 12, 'noisy': 12}  # images of the demo
NAMES = [name for name, known in PREPARE.DATA.items() if known.parts]


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a folder with `downloads/`; two images make a whole part of a data set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'downloads').mkdir()
    small = {
        name: replace(known, parts=tuple(replace(part, number=2) for part in known.parts))
        for name, known in PREPARE.DATA.items()
    }
    monkeypatch.setattr(PREPARE, 'DATA', small)
    return PREPARE


def encoded(path: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.imencode(Path(path).suffix.lower(), pixels)[1].tobytes()


def files_of(known: Any, number: int = 2) -> dict[str, bytes]:
    """Paths in the archives as their patterns say, with files of no use around them."""
    paths = [
        f'top/{part.members.replace("*", f"n{count}{place}")}'
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


def test_what_is_laid_out_by_hand_says_how(prepare: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(['unpack', 'DFWB', '--archives', 'downloads']) == 2
    assert 'got one laid out by hand. datasets/DFWB: links to' in capsys.readouterr().err
    assert prepare.main(['list']) == 0
    said = capsys.readouterr().out
    assert all(f'{name}: ' in said for name in PREPARE.DATA) and 'datasets/WED: 2 images' in said


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


def test_the_option_files_read_one_layout() -> None:
    folders = {part.folder for known in PREPARE.DATA.values() for part in known.parts}
    text = ''.join(file.read_text(encoding='utf-8') for file in (REPOSITORY / 'options').rglob('*.yml'))
    read = set(re.findall(r'dataroot_(?:gt|lq|range)(?:: |=)datasets/([\w/.]*\w)', text))
    by_hand = tuple(name for name, known in PREPARE.DATA.items() if not known.parts)
    others = {folder for folder in read - folders if folder.split('/')[0] not in by_hand}
    assert others <= {'SIDD/val/input', 'SIDD/val/target', 'Rain100L/train/input', 'Rain100L/train/target'}
    assert {'DIV2K/DIV2K_train_HR', 'GoPro/train/input', 'WED', 'Set5/GTmod12'} <= read & folders


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
