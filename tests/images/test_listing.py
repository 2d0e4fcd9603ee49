"""Which images a folder and a list have: none vanishes without a word."""

import logging
import os
import re
from pathlib import Path

import pytest

from basicsr_ext.errors import DataError
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.images.listing import walk_images
from tests.helpers.training import write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`000.png`, and links and copies of it."""
    return write_images(tmp_path / 'images', 1, 12)


def copy(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / '000.png').read_bytes())


def files(folder: Path, lines: bytes | None = None) -> ImageFiles:
    if lines is not None:
        (folder.parent / 'list.txt').write_bytes(lines)
    return ImageFiles(str(folder), 'disk', None if lines is None else str(folder.parent / 'list.txt'), 'dataset x')


def test_folders_below(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy(folder, 'b/2.png', 'b/1.jfif', 'a/c/3.JPG', 'z.png', '.hidden/4.png', 'b/.5.png')
    (folder / 'b/back').symlink_to(folder)
    (folder.parent / 'elsewhere').mkdir()
    copy(folder, '../elsewhere/6.png')
    (folder / 'linked').symlink_to(folder.parent / 'elsewhere')
    with caplog.at_level(logging.INFO):
        found = files(folder)
    assert found.names == ['000.png', 'a/c/3.JPG', 'b/1.jfif', 'b/2.png', 'linked/6.png', 'z.png']
    assert found.name(1) == found.relative(1)[:-4] == 'a/c/3'
    assert found.path(1) == f'{folder}/a/c/3.JPG'
    assert found.decode(2).shape == (12, 12, 3)
    assert caplog.messages == ['dataset x: 6 images in 4 folders: ., a/c, b, linked.']


def test_a_flat_folder_says_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy(folder, 'a.b.png', 'a.png', 'a.bmp')
    with caplog.at_level(logging.INFO):
        assert files(folder).names == ['000.png', 'a.bmp', 'a.png', 'a.b.png']
    assert not caplog.messages


def test_what_is_not_used_is_named_in_one_line(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy(folder, 'a.jp2', 'Thumbs.db', 'b/notes')
    (folder / 'c.png').symlink_to('/nowhere.png')
    assert files(folder).names == ['000.png']
    (line,) = caplog.messages
    assert line.startswith('dataset x: 4 files in ')
    assert line.endswith(
        'are not used, as they are no images by their ending or broken links: Thumbs.db, a.jp2, b/notes, c.png.'
    )
    caplog.clear()
    files(folder, b'000.png')
    assert not caplog.messages


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(os, 'scandir', refuse)
    with pytest.raises(DataError, match=r'expected a folder to read, got .*Permission denied.*Change its rights'):
        files(folder)


@pytest.mark.parametrize(
    'lines',
    [
        b'000.png\nmy photo.png (12,12,3)\nb/2.png\n',
        b'\xef\xbb\xbf000.png (12,12,3)\r\nmy photo.png\r\n\r\nb/2.png 1\r\n',
        '000.png\r\nmy photo.png\r\nb\\2.png\r\n'.encode('utf-16'),
    ],
)
def test_lists(folder: Path, lines: bytes) -> None:
    copy(folder, 'my photo.png', 'b/2.png', 'my')
    assert files(folder, lines).names == ['000.png', 'my photo.png', 'b/2.png']


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ('000.png\ncaf\u00e9.png'.encode('latin-1'), 'got another encoding (Latin-1, perhaps) in line 2'),
        (b'my photo.png (12,12,3)', 'my photo.png'),
        (b'my photo.png (12,12,3)', 'that are not: my photo.png. Correct'),
        (b'/000.png', 'files inside'),
    ],
)
def test_lists_that_are_refused(folder: Path, lines: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf'^dataset x\.meta_info_file: expected .*{re.escape(message)}'):
        files(folder, lines)


def test_a_list_of_links(folder: Path) -> None:
    copy(folder, '../elsewhere.png')
    (folder / 'link.png').symlink_to(folder.parent / 'elsewhere.png')
    assert files(folder, b'link.png').names == ['link.png']


def test_names_that_are_not_in_utf_8(folder: Path) -> None:
    copy(folder, os.fsdecode(b'caf\xe9.png'))
    with pytest.raises(
        DataError, match=r"dataset x\.dataroot_gt: expected names of files in UTF-8, got 'caf\\udce9.png'"
    ):
        files(folder)


def test_several_folders(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy(folder, '../more/000.png', '../more/sub/1.png', '../more/notes.txt')
    found = ImageFiles([str(folder), str(folder.parent / 'more')], 'disk', None, 'dataset x')
    assert found.names == ['images/000.png', 'more/000.png', 'more/sub/1.png']
    assert [found.path(index) for index in range(3)] == [str(folder.parent / name) for name in found.names]
    assert 'more/notes.txt' in caplog.text
    assert ImageFiles([str(folder)], 'disk', None, 'dataset x').names == ['000.png']


@pytest.mark.parametrize(
    ('roots', 'lines', 'said'),
    [
        (['images', 'images/sub'], None, 'expected folders that do not overlap, got .*images/sub in .*images. Remove'),
        (['images', 'images'], None, 'expected folders that do not overlap'),
        (['images', 'nothing'], None, 'expected a folder, got .*nothing'),
        ([], None, 'expected a folder, got 0'),
        (['images', 'more'], 'list.txt', 'expected one folder with an LMDB or a meta_info_file, got 2'),
    ],
)
def test_folders_that_do_not_go_together(folder: Path, roots: list[str], lines: str | None, said: str) -> None:
    copy(folder, 'sub/1.png', '../more/1.png')
    with pytest.raises(DataError, match=rf'dataset x\.dataroot_gt: {said}'):
        ImageFiles([str(folder.parent / root) for root in roots], 'disk', lines, 'dataset x')


def test_the_walk_finds_what_a_plain_walk_does(folder: Path) -> None:
    copy(folder, 'b/2.png', 'b/c/1.PNG', 'b/c.png', 'b.png', 'a b/ü.jpg', 'b/note.txt', 'z/.hidden.png')
    plain = [
        str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file() and path.name != '.hidden.png'
    ]
    images, others = walk_images(f'{folder}/../images/', 'dataset x')
    assert images == sorted((name for name in plain if name != 'b/note.txt'), key=os.path.splitext)
    assert others == ['b/note.txt']


def test_several_folders_are_sorted_as_one(folder: Path) -> None:
    copy(folder, 'b/1.png', 'b/3.png', 'a/2.png')
    both = ImageFiles([str(folder / 'b'), str(folder / 'a')], 'disk', None, 'dataset x')
    assert both.names == ['a/2.png', 'b/1.png', 'b/3.png']
