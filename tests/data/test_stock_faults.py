"""Files of BasicSR's datasets that would end a run are named in one line, before it or in the middle of it."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from basicsr.data import build_dataset
from PIL import Image

from basicsr_ext.__main__ import main
from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset, check_pairs, check_stock_folder, check_stock_list
from basicsr_ext.data.read_item import read_item
from basicsr_ext.data.wrapper_base import StockDataset
from basicsr_ext.errors import DataError, OptionError
from tests.helpers.training import options, write_images


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory with `gt/` and `lq/`."""
    monkeypatch.chdir(tmp_path)
    for folder in ('gt', 'lq'):
        write_images(Path(folder), 2, 40, color=True)


def block(**more: Any) -> dict[str, Any]:
    roots = {'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}
    cut = {'gt_size': 16, 'use_hflip': False, 'use_rot': False, 'phase': 'train', 'scale': 1}
    return {'name': 'pairs', 'type': 'PairedImageDataset', **roots, **cut, **more}


def halve(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:200])


def test_a_damaged_file_is_named_where_it_is_read() -> None:
    dataset = build_dataset(block())
    halve('lq/001.png')
    for read in (lambda: StockDataset(dataset)[1], lambda: read_item(dataset, 1)):
        with pytest.raises(DataError, match=r'^lq/001\.png: expected an image, got a damaged'):
            read()
    os.remove('lq/001.png')
    with pytest.raises(DataError, match=r'^lq/001\.png: expected an image file, got No such file'):
        read_item(dataset, 1)


def test_other_errors_pass() -> None:
    class Faulty:
        paths = ('gt/000.png',)

        def __getitem__(self, index: int) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_item(Faulty(), 0)


def test_a_missing_file_is_not_called_damaged() -> None:
    Path('list.txt').write_text('000.png (40,40,3)\n9.png (40,40,3)\n')
    dataset = build_dataset(block(meta_info_file='list.txt'))
    with pytest.raises(DataError, match=r'gt/9\.png: expected an image file, got No such file'):
        check_dataset(dataset, 'datasets.train')
    with pytest.raises(
        DataError, match=r'datasets\.train: expected files that exist, missing, got gt/9\.png; lq/9\.png'
    ):
        check_pixels(dataset, 'datasets.train')


def test_other_files_in_the_folders() -> None:
    for folder in ('gt', 'lq'):
        Path(folder, 'Thumbs.db').write_bytes(b'junk' * 99)
    with pytest.raises(DataError, match=r'datasets\.train\.dataroot_gt: expected images alone, .* got Thumbs\.db'):
        check_pairs(block(), 'datasets.train')
    os.remove('gt/Thumbs.db')
    shutil.copy('gt/000.png', 'gt/0.unusual')
    check_stock_folder('gt', 'x')


def test_pairs_without_scale() -> None:
    with pytest.raises(OptionError, match=r'datasets\.train\.scale: expected how many times .*, got none'):
        check_pairs(block(scale=None), 'datasets.train')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'caf\xe9.png\n', 'x: expected a list in UTF-8, got another encoding'),
        (b'\xef\xbb\xbf000.png\n', 'x: expected a list in plain UTF-8, got a byte-order mark'),
        ('000.png\n'.encode('utf-16'), 'x: expected a list in plain UTF-8, got a byte-order mark'),
    ],
)
def test_lists_that_basicsr_would_misread(content: bytes, message: str) -> None:
    Path('list.txt').write_bytes(content)
    with pytest.raises(DataError, match=message):
        check_stock_list('list.txt', 'x')


def test_a_list_that_leads_out_of_the_folder(caplog: pytest.LogCaptureFixture) -> None:
    Path('list.txt').write_text('000.png (40,40,3)\n../lq/001.png (40,40,3)\n')
    with caplog.at_level(logging.WARNING):
        check_stock_list('list.txt', 'x')
    assert caplog.messages == ['x: 1 names lead out of the folder, and BasicSR follows them: ../lq/001.png (40,40,3).']


def test_pairs_that_are_turned() -> None:
    """Sizes are compared as they are decoded where headers differ."""
    note = Image.Exif()
    note[0x112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for folder in ('gt', 'lq'):
        shutil.rmtree(folder)
        os.mkdir(folder)
    Image.fromarray(pixels).save('gt/a.jpg', exif=note)
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_270).save('lq/a.jpg')
    check_dataset(build_dataset(block()), 'datasets.train')
    Image.fromarray(pixels).save('lq/a.jpg')
    with pytest.raises(DataError, match=r'expected GT 1 times as large as LQ, got gt/a\.jpg \(32 x 24\) for lq/a\.jpg'):
        dataset = build_dataset(block())
        Image.fromarray(pixels[:20]).save('lq/a.jpg')
        check_dataset(dataset, 'datasets.train')


@pytest.mark.parametrize('workers', [0, 1])
def test_an_error_of_a_worker_is_one_line(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    opt = options(Path(), datasets__train=block(batch_size_per_gpu=2, num_worker_per_gpu=workers))
    del opt['datasets']['val'], opt['val'], opt['datasets']['train']['phase'], opt['datasets']['train']['scale']
    opt.update(scale=1)
    opt['network_g'].update(num_in_ch=3, num_out_ch=3)
    content = bytearray(Path('gt/001.png').read_bytes())
    cut = content[: len(content) // 2]
    Path('gt/001.png').write_bytes(cut)
    Path('opt.yml').write_text(yaml.safe_dump(opt))
    assert main(['train', '-opt', 'opt.yml']) == 2
    error = capfd.readouterr().err
    assert 'Traceback' not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith('basicsr-ext train: gt/001.png: expected an image, got a damaged')


def test_an_image_of_more_pixels_than_pillow_takes() -> None:
    from basicsr_ext.images.headers import header_size

    cv2.imwrite('large.png', np.zeros((9200, 20000), np.uint8))
    assert header_size('large.png', 'large.png') == (9200, 20000)
