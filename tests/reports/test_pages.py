"""Every job leaves a page beside its result, which a browser shows whole, on a phone too."""

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

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError
from basicsr_ext.jobs import rank
from basicsr_ext.reports.beside import page_of, title_of
from basicsr_ext.reports.metrics_page import SIDE, where_they_differ, worst_first
from basicsr_ext.reports.page import write_page
from basicsr_ext.selection.manifest import read_manifest
from tests.helpers.browser import open_pages
from tests.helpers.images import photo
from tests.test_fuzz_seeds import fuzz  # noqa: F401  a fixture

PHONE = 400  # pixels
PAGES = {  # options of scripts/fuzz.py -> pictures, and rows of each table
    'rank': (4, [4, 5]),
    'rank_matching': (4, [4, 5]),
    'mine': (24, [3, 3]),
    'audit': (8, [14]),
    'distill': (8, [3]),
    'align': (6, [3]),
    'calibrate': (1, [10, 15]),
    'test': (6, [2, 4, 4]),
    'train': (1, [1]),
    'complexity': (0, [2]),
}
LOOKS = {'inspect': (3, [3]), 'inspect_patches': (4, [3, 3]), 'inspect_audit': (2, [14])}
SOURCES = {'inspect': 'rank', 'inspect_patches': 'mine', 'inspect_audit': 'audit'}


OPTIONS = """
name: again
num_gpu: 0
rank: {method: complexity, criterion: entropy, source: gt, workers: 0}
datasets: {train: {name: d, type: GaussianDenoisingDataset, dataroot_gt: gt, sigma: 25}}
"""


def refuse(result: Path, page: Path) -> None:
    raise DataError('gone.png', 'a file', 'none', 'Put it back.')


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
    manifest = read_manifest('results/rank/ranking.parquet')
    ranked = sorted(zip(manifest.column('rank'), manifest.column('path'), strict=True))
    lines = [line.split('\t') for line in found['rank'].text.splitlines()]
    assert [(int(line[0]), line[2]) for line in lines if len(line) == 3 and line[0].isdigit()] == ranked


def test_the_same_tells_a_broken_page(tmp_path: Path) -> None:
    file = tmp_path / 'page.html'
    file.write_text(f'<img src="data:image/png;base64,AAAA">{"x" * 200}<script>console.error("bad")</script>')
    (page,), said = open_pages([file], tmp_path, PHONE)
    assert page.images == [0] and page.overflow > 0
    assert len(said) == 1 and 'bad' in said[0]


def test_the_pages_follow_the_colours_of_the_screen(tmp_path: Path) -> None:
    write_page(tmp_path / 'page.html', 'Title', 'Lead.', {}, [])
    (page,), _ = open_pages([tmp_path / 'page.html'], tmp_path, PHONE, '--blink-settings=preferredColorScheme=0')
    assert max(int(part) for part in re.findall(r'\d+', page.background)) < 60


# ---- beside a result ----


def test_a_page_that_cannot_be_made_loses_no_result_and_is_made_later(
    pages: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path('opt.yml').write_text(OPTIONS)
    page = Path('results/again/report.html')
    with monkeypatch.context() as patched:
        patched.setattr(rank, 'write_ranking_page', refuse)
        assert main(['rank', '-opt', 'opt.yml']) == 0
    assert 'report.html is not made' in caplog.text and 'gone.png: expected a file, got none' in caplog.text
    ranking = Path('results/again/ranking.parquet').read_bytes()
    assert not page.exists() and not Path('results/again/unfinished').exists()
    left = Path(f'results/again/.report.html.{2**30}.tmp')  # by a process that was killed while it wrote the page
    left.touch()
    assert main(['rank', '-opt', 'opt.yml']) == 0
    assert page.is_file() and not left.exists() and Path('results/again/ranking.parquet').read_bytes() == ranking
    written = page.stat().st_mtime_ns
    assert main(['rank', '-opt', 'opt.yml']) == 0
    assert page.stat().st_mtime_ns == written


def test_the_page_of_another_job_is_kept(tmp_path: Path) -> None:
    assert page_of(tmp_path, 'rank') == tmp_path / 'report.html'
    write_page(tmp_path / 'report.html', title_of('rank', 'a & b'), 'Lead.', {}, [])
    assert page_of(tmp_path, 'rank') == tmp_path / 'report.html'
    assert page_of(tmp_path, 'mine') == tmp_path / 'report_mine.html'


# ---- the page of a test ----


def test_an_image_is_shown_where_it_differs_most() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((SIDE + 7, SIDE + 5), (SIDE - 3, SIDE + 4), (20, 30)):
        image, truth = rng.random((2, height, width, 3))
        rows, columns = (range(max(1, side - SIDE + 1)) for side in (height, width))
        sums = {
            (top, left): np.square(image - truth)[top : top + SIDE, left : left + SIDE].sum()
            for top in rows
            for left in columns
        }
        assert where_they_differ(image, truth) == max(sums, key=sums.__getitem__)


def test_the_worst_images_come_first() -> None:
    images = {'a': {'x': 2.0}, 'b': {'x': None}, 'c': {'x': 1.0}, 'd': {'x': 3.0}}
    assert worst_first(images, 'x', lower_is_better=False) == ['b', 'c', 'a', 'd']
    assert worst_first(images, 'x', lower_is_better=True) == ['b', 'd', 'a', 'c']
