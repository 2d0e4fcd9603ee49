"""The job `compare`: what it trains, what it reads there and what it does again."""

import csv
import shutil
import signal
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from basicsr_ext.__main__ import main
from basicsr_ext.selection.manifest import read_manifest
from tests.helpers.comparing import RESULTS, SETS, SHORT, compare, done, lay_out, made_by, option_files, read
from tests.helpers.processes import run, run_ranks, stop_when
from tests.helpers.training import assert_same

WORDS = ['compare', '-opt', 'run.yml', *SETS, '--seeds', '2', '--iterations', '4', '--jobs', '2']


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a comparison of random and complex images has left."""
    folder = lay_out(tmp_path_factory.mktemp('compared'))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(WORDS) == 0
    yield folder / RESULTS


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


# ---- what it writes ----


def test_it_writes_its_table_in_five_formats_and_a_training_file_of_the_winner(compared: Path) -> None:
    found = read(compared / 'compare.json')
    titles = [row['title'] for row in found['rows']]
    assert titles == ['random 30 %', 'complexity:top 30 %']
    assert found['winner'] in titles and found['seeds'] == 2 and found['iterations'] == 4
    assert [row['images'] for row in found['rows']] == [3, 3]
    text, page = (compared / 'compare.md').read_text(), (compared / 'compare.html').read_text()
    assert all(f'| {title} |' in text and title in page for title in titles)
    assert found['verdict'][0] in text and cv2.imread(str(compared / 'compare.png')) is not None
    with open(compared / 'compare.csv') as file:
        rows = list(csv.DictReader(file))
    assert [float(row['mean_val_report']) for row in rows] == [row['mean']['val_report'] for row in found['rows']]
    winner = read(compared / found['option_file'])
    assert winner['train']['total_iter'] == 6 and winner['datasets']['train']['size'] == 3
    assert winner['datasets']['train']['batch_size_per_gpu'] == 2
    assert main(['train', '-opt', str(compared / found['option_file']), '--check']) == 0
    trained = made_by(found['winner'], 0, 'models/net_g_latest.pth', compared)
    assert_same(*(torch.load(path, weights_only=True) for path in (compared / 'winner.pth', trained)))


def test_the_values_are_those_that_the_trainings_measured(compared: Path) -> None:
    for row in read(compared / 'compare.json')['rows']:
        means = []
        for seed in range(2):
            images = read(made_by(row['title'], seed, 'metrics.json', compared))['per_image']['val_report']
            assert len(images) == 4
            for place, image in enumerate(sorted(images)):
                assert row['values']['val_report'][seed][place] == images[image]['psnr']
            means.append(statistics.mean(values['psnr'] for values in images.values()))
        assert row['mean']['val_report'] == pytest.approx(statistics.mean(means))
        assert row['deviation']['val_report'] == pytest.approx(statistics.stdev(means))


def test_the_trainings_of_a_seed_differ_in_their_images_alone(compared: Path) -> None:
    options = option_files(compared)
    del options['complexity-entropy']
    assert list(options) == [f'{row}_seed{seed}' for row in ('complexity-top-30p', 'random-30p') for seed in (0, 1)]
    manifests = {name: opt['datasets']['train'].pop('manifest') for name, opt in options.items()}
    for opt in options.values():
        del opt['name']
    for seed in (0, 1):
        assert options[f'complexity-top-30p_seed{seed}'] == options[f'random-30p_seed{seed}']
        assert options[f'random-30p_seed{seed}'].pop('manual_seed') == seed
        options[f'random-30p_seed{seed}']['val'].pop('save_img')
    assert options['random-30p_seed0'] == options['random-30p_seed1']
    assert manifests['complexity-top-30p_seed0'] == manifests['complexity-top-30p_seed1']
    for seed in (0, 1):
        drawn = read_manifest(manifests[f'random-30p_seed{seed}']).column('rank')
        assert np.argsort(drawn).tolist() == np.random.default_rng(seed).permutation(8).tolist()
    assert manifests['random-30p_seed0'] != manifests['random-30p_seed1']


def test_rows_begin_with_the_same_weights_and_seeds_with_others(here: Path) -> None:
    lay_out(here, train__optim_g={'type': 'SGD', 'lr': 1e-30})
    compare('--sets', 'full', 'random', '--sizes', '2', '--seeds', '2', '--iterations', '1')
    found: dict[str, Any] = {}
    for row in ('full', 'random 2'):
        for seed in (0, 1):
            path = made_by(row, seed, 'models/net_g_latest.pth')
            found[f'{row} {seed}'] = torch.load(path, weights_only=True)['params']
    for seed in (0, 1):
        assert_same(found[f'full {seed}'], found[f'random 2 {seed}'])
    name = next(name for name in found['full 0'] if name.endswith('weight'))
    assert not torch.equal(found['full 0'][name], found['full 1'][name])


# ---- what it does again ----


def test_what_is_done_is_reused_by_the_same_command_more_seeds_and_other_sets(here: Path, compared: Path) -> None:
    shutil.copytree(compared.parents[1] / 'results', 'results')
    shutil.copy(compared.parents[1] / 'run.yml', here)
    first, table = done(), read(RESULTS / 'compare.json')['rows']
    assert main(WORDS) == 0 and done() == first
    assert read(RESULTS / 'compare.json')['rows'] == table
    more = compare(
        *SETS[:3], 'complexity:bottom', 'full', *SETS[3:], '--seeds', '3', '--iterations', '4', '--jobs', '2'
    )
    assert first.items() <= done().items()
    rows = ('full', 'random-30p', 'complexity-top-30p', 'complexity-bottom-30p')
    assert set(done()) == {'complexity-entropy', *(f'{row}_seed{seed}' for row in rows for seed in range(3))}
    values = {row['title']: row['values']['val_report'] for row in more['rows']}
    for row in table:
        assert values[row['title']][:2] == row['values']['val_report']


def test_a_dry_run_writes_nothing_and_tells_what_is_done(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay_out(here)
    before = contents(here)
    compare(*SETS, *SHORT, '--dry-run')
    assert contents(here) == before and not Path('results').exists()
    assert '2 rows, 3 runs of which 3 are to do, 1 at a time' in caplog.text
    assert 'val is split by the digests of its files: 2 images are aimed at, 4 are reported' in caplog.text
    compare(*SETS, *SHORT)
    before = contents(here)
    compare(*SETS, *SHORT[:1], '2', *SHORT[2:], '--dry-run')
    assert contents(here) == before
    assert '2 rows, 5 runs of which 2 are to do, 1 at a time, about' in caplog.text
    assert 'random 30 %, seed 0: done in' in caplog.text and 'random 30 %, seed 1: to do' in caplog.text


def test_killed_and_stopped_it_gives_what_an_undisturbed_run_gives(here: Path, compared: Path) -> None:
    lay_out(here)
    words = ['-m', 'basicsr_ext', *WORDS[:-1], '1']
    assert stop_when(lambda: any(here.rglob('runs/experiments/*/*.log')), signal.SIGKILL, words, here) < 0
    begun = len(done(here / RESULTS))
    assert stop_when(lambda: len(done(here / RESULTS)) > begun, signal.SIGTERM, words, here) == 128 + signal.SIGTERM
    assert not (here / RESULTS / 'compare.json').exists()
    run(words, here)
    assert_same_values(here / RESULTS, compared)


def test_two_ranks_share_the_trainings(here: Path, compared: Path) -> None:
    lay_out(here)
    run_ranks(['-m', 'basicsr_ext', *WORDS, '--launcher', 'pytorch'], here)
    assert_same_values(here / RESULTS, compared)
    assert set(done()) == set(done(compared))


def assert_same_values(folder: Path, expected: Path) -> None:
    rows = [read(each / 'compare.json')['rows'] for each in (folder, expected)]
    assert [row['values'] for row in rows[0]] == [row['values'] for row in rows[1]]
    assert [row['over_reference'] for row in rows[0]] == [row['over_reference'] for row in rows[1]]


def test_what_a_killed_program_was_writing_is_removed(here: Path, compared: Path) -> None:
    shutil.copytree(compared.parents[1] / 'results', 'results')
    shutil.copy(compared.parents[1] / 'run.yml', here)
    left = [RESULTS / name for name in (f'.compare.png.{2**30}.tmp', f'runs/.x.parquet.{2**30}.tmp')]
    for path in left:
        path.touch()
    assert main(WORDS) == 0 and not any(path.exists() for path in left)
