"""Every job leaves a page beside its result, which a browser shows whole, on a phone too."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from PIL import Image

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError
from basicsr_ext.reports.beside import page_of, title_of, write_beside
from basicsr_ext.reports.page import Picture, Section, Table, write_page
from tests.helpers.browser import open_pages, run_browser
from tests.helpers.images import photo
from tests.test_fuzz_seeds import fuzz  # noqa: F401  a fixture

PHONE = 400  # pixels
PAGES = {  # options of scripts/fuzz.py -> pictures, and rows of each table
    'rank': (4, [4, 4]),
    'rank_matching': (4, [4, 4]),
    'mine': (24, [3, 3]),
    'audit': (8, [14]),
    'distill': (8, [3]),
    'align': (6, [3]),
    'calibrate': (1, [6]),
    'test': (6, [2, 4, 4]),
    'train': (1, [1]),
    'complexity': (0, [2]),
}
LOOKS = {'inspect': (3, [3]), 'inspect_patches': (4, [3, 3]), 'inspect_audit': (2, [14])}
SOURCES = {'inspect': 'rank', 'inspect_patches': 'mine', 'inspect_audit': 'audit'}


def make_images(folder: Path) -> None:
    for number in range(4):
        image = cv2.merge([photo(number + seed, 60, 70 + number) for seed in (0, 10, 20)])
        for kind, pixels in (('gt', image), ('lq', cv2.GaussianBlur(image, (3, 3), 1))):
            (folder / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / kind / f'{number}.png'), pixels)


@pytest.fixture(scope='module')
def pages(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:  # noqa: F811
    """The page of each job, made from small images, in the current directory."""
    home, folder = Path.cwd(), tmp_path_factory.mktemp('pages')
    os.chdir(folder)
    make_images(folder)
    torch.manual_seed(0)
    for name, network in (('net', fuzz.NET), ('flexir', fuzz.FLEXIR)):
        torch.save({'params': build_network(dict(network)).state_dict()}, f'{name}.pth')
    for job in PAGES:
        opt = {**fuzz.options_of(job), 'name': job}
        Path('opt.yml').write_text(yaml.safe_dump(opt).replace('earlier/', 'results/rank/'))
        assert main([job.partition('_')[0], '-opt', 'opt.yml']) == 0
    for look, source in SOURCES.items():
        words = [word.replace('results/inspect', f'results/{look}') for word in fuzz.words_of(look)]
        assert main([word.replace('earlier/', f'results/{source}/') for word in words]) == 0
    yield {
        job: folder / ('experiments' if job == 'train' else 'results') / job / 'report.html' for job in PAGES | LOOKS
    }
    os.chdir(home)


def test_a_browser_shows_the_pages_whole(pages: dict[str, Path], tmp_path: Path) -> None:
    opened, said = open_pages(list(pages.values()), tmp_path, PHONE)
    assert said == []
    found = dict(zip(pages, opened, strict=True))
    assert {job: (len(page.images), page.tables) for job, page in found.items()} == PAGES | LOOKS
    for job, page in found.items():
        assert page.title.startswith(f'{job.partition("_")[0]}: ')
        assert 0 not in page.images and page.overflow == 0


def test_the_same_tells_a_broken_page(tmp_path: Path) -> None:
    file = tmp_path / 'page.html'
    file.write_text(f'<img src="data:image/png;base64,AAAA">{"x" * 200}<script>console.error("bad")</script>')
    (page,), said = open_pages([file], tmp_path, PHONE)
    assert page.images == [0] and page.overflow > 0
    assert len(said) == 1 and 'bad' in said[0]
