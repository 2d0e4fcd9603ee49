"""The files of a comparison and the page of restored files, in a browser too."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from basicsr_ext.reports.comparison_report import strip_picture, write_comparison
from basicsr_ext.reports.restored_page import SIDE, write_restored_page
from basicsr_ext.reports.restored_quality import measure
from basicsr_ext.reports.verdict import verdict
from tests.helpers.browser import open_pages
from tests.helpers.images import photo
from tests.reports.test_paired import made_up

PHONE = 400  # pixels


@pytest.fixture
def compared(tmp_path: Path) -> Path:
    """A folder with the files of a comparison of three rows."""
    comparison = made_up(np.random.default_rng(0), {'matching': 1.0, 'complexity:top': 0.0})
    strip = strip_picture([photo(seed, 40, 50) for seed in range(3)], ['input', 'random', 'ground truth'], 'An image.')
    write_comparison(comparison, verdict(comparison), tmp_path, {'--seeds': '5'}, [strip], 'winner.yml')
    return tmp_path


def test_every_format_says_the_same(compared: Path) -> None:
    content = json.loads((compared / 'compare.json').read_text())
    with open(compared / 'compare.csv', newline='') as file:
        flat = list(csv.DictReader(file))
    text = (compared / 'compare.md').read_text()
    assert content['winner'] == 'matching 5 %' and content['verdict'][0] in text
    for row, line in zip(content['rows'], flat, strict=True):
        values = np.array(row['values']['Set12'])
        assert row['mean']['Set12'] == pytest.approx(values.mean())
        assert float(line['mean_Set12']) == pytest.approx(values.mean())
        assert f'| {row["title"]} |' in text and f'{values.mean():.2f} ±' in text
    ours, random = (np.array(content['rows'][place]['values']['Set12']) for place in (1, 0))
    assert content['rows'][1]['over_reference']['mean'] == pytest.approx((ours - random).mean())
    assert float(flat[1]['over_reference_mean']) == pytest.approx((ours - random).mean())


def test_a_browser_shows_both_pages_whole(compared: Path, tmp_path: Path) -> None:
    rows, files = [], []
    for number, scale in enumerate((1, 2)):
        paths = [tmp_path / f'{kind}{number}.png' for kind in ('in', 'out', 'gt')]
        for path, side in zip(paths, (300, 300 * scale, 300 * scale), strict=True):
            cv2.imwrite(str(path), photo(number, side, side + 20))
        rows.append(measure(f'{number}.png', *map(str, paths)))
        files.append((f'{number}.png', paths[0], paths[1]))
    page = tmp_path / 'report.html'
    write_restored_page(page, {'--weights': 'net.pth'}, files, rows, {'b.png': 'b.png: expected <an image>, got none.'})
    opened, said = open_pages([compared / 'compare.html', page], tmp_path, PHONE)
    assert said == []
    comparison, restored = opened
    assert comparison.tables == [3] and len(comparison.images) == 2 and 'use it' in comparison.text
    assert restored.tables == [3] and restored.images[:2] == [SIDE, SIDE] and restored.images[3] == 2 * SIDE
    assert 'expected <an image>' in restored.text and 'the middle 256 x 256 of 300 x 320' in restored.text
    for each in opened:
        assert 0 not in each.images and each.overflow == 0
