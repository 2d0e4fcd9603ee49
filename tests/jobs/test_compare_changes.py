"""Rows of the job `compare` that change more than their images, sets of patches, curves, and what rows are compared
with."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from basicsr_ext.__main__ import main
from basicsr_ext.jobs.compare.asked import SetName, read_asked
from basicsr_ext.jobs.compare.changes import merged
from basicsr_ext.reports.comparison import Comparison, Curves, Measured, Metric
from basicsr_ext.reports.comparison_curves import curve_differences
from basicsr_ext.reports.verdict import verdict
from basicsr_ext.selection.manifest import read_manifest
from tests.helpers.comparing import RESULTS, SHORT, compare, done, lay_out, option_files, read

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path)


def asked(*words: str) -> list[SetName]:
    return list(read_asked(['-opt', 'run.yml', '--sets', *words]).sets)


# ---- what a set may say ----


def test_a_set_names_its_changes_behind_ats_and_its_title_in_front() -> None:
    found = asked('full@train.warmup_iter=80@network_g.num_block=2', 'close by=mined:grad@mined.stride=60', 'random')
    assert found[0] == SetName('full', '', ('train.warmup_iter=80', 'network_g.num_block=2'))
    assert found[1] == SetName('mined', 'grad', ('mined.stride=60',), 'close by')
    assert [str(each) for each in found[:2]] == [
        'full@train.warmup_iter=80@network_g.num_block=2',
        'mined:grad@mined.stride=60',
    ]


def test_keys_with_dots_lead_into_the_blocks_that_there_are() -> None:
    settings = {'lr': 1, 'network_tuner': {'depth': 8, 'width': 64}}
    found = merged(settings, {'network_tuner.depth': 4, 'lr': 2}, 'aligned')
    assert found == {'lr': 2, 'network_tuner': {'depth': 4, 'width': 64}} and settings['network_tuner']['depth'] == 8


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        ('full full@train.total_itr=8', "got 'total_itr', which is not in train. Did you mean total_iter?"),
        ('full full@trian.total_iter=8', 'Did you mean train?'),
        ('full full@train.total_iter', 'change train.total_iter: expected key.key=value, got no "="'),
        ('full full@val.metrics=~', 'expected a key of the training, as in train, network_g or datasets.train'),
        ('full full@datasets.val.sigma=3', "got 'datasets.val.sigma', which all rows share. Change it for all"),
        ('full full@manual_seed=3', "got 'manual_seed', which all rows share"),
        ('full full@mined.stride=3', '--sets: change mined: expected a set that a job chooses'),
        ('full complexity:top@complexity.criterium=std --sizes 3', 'Did you mean criterion?'),
        ('full random@datasets.train.dataroot_gt=val_target --sizes 3', 'expected the images among which was chosen'),
        ('full a=full@train.total_iter=7 a=full@train.total_iter=8', "a title of its own for each row, got 'a' twice"),
        ('full warmup:0.5 --against warmup:0', "--against: expected a row, by its title, got 'warmup:0'. Did you mean"),
        ('full warmup:0.5:5', '--sets warmup:0.5:5: dataset train.dataset.gt_size: expected a multiple of 5'),
        ('full dynamic:rnadom --sizes 3', 'expected rising, random behind dynamic:'),
        ('full warmup:0.5:x', 'or with blocks warmup:0.05:4'),
        ('full influence --sizes 20patches', '--sets influence: expected a size in images, got sizes in patches alone'),
        ('full mined:grad --sizes 2000patches', '--sizes 2000 patches: expected at most the'),
    ],
)  # fmt: skip
def test_what_a_row_cannot_change_is_said_in_one_line(here: Path, words: str, text: str, capsys: Capture) -> None:
    (here / 'val_target').mkdir()
    for number in range(3):
        cv2.imwrite(str(here / 'val_target' / f'{number}.png'), np.full((30, 30), 40 * number, np.uint8))
    assert main(['compare', '-opt', 'run.yml', '--sets', *words.split(), *SHORT]) == 2
    said = capsys.readouterr().err.strip()
    assert text in said and '\n' not in said
    assert not (RESULTS / 'runs/done').exists()


# ---- what a change changes ----

ROWS = ['full', 'complexity:top', 'wide=complexity:top@network_g.num_feat=6@train.scheduler.milestones=[6]']
ROWS += ['full@train.total_iter=12', 'mined:grad', 'close=mined:grad@mined.stride=4', 'warmup:0.5:2', 'dynamic:random']
WORDS = ['--sizes', '50%', *SHORT[:4], '--jobs', '2', '--choosing', 'mined.stride=8']


@pytest.fixture(scope='module')
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a comparison of rows that change something has left."""
    folder = lay_out(tmp_path_factory.mktemp('compared'))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare('--sets', *ROWS, *WORDS)
    return folder / RESULTS


def test_a_row_differs_in_its_changes_alone(compared: Path) -> None:
    found = option_files(compared)
    expected = json.loads(json.dumps(found['complexity-top-50p_seed0']))
    expected['network_g']['num_feat'], expected['train']['scheduler']['milestones'] = 6, [2]  # 6 of 6, at 2 iterations
    assert {**found['wide-50p_seed0'], 'name': ''} == {**expected, 'name': ''}
    assert sum(name.startswith('complexity-entropy') for name in found) == 1  # which serves both rows
    long = found['full-train.total_iter=12_seed0']['train']
    assert long['total_iter'] == 4 and found['full_seed0']['train']['total_iter'] == 2  # twice as long, as 12 is of 6
    assert long['scheduler']['milestones'] == [1]
    rows = {row['title']: row for row in read(compared / 'compare.json')['rows']}
    assert rows['full, train.total_iter=12']['iterations'] == 4 and rows['wide 50 %']['iterations'] == 2
    assert rows['wide 50 %']['changes'] == ['network_g.num_feat=6', 'train.scheduler.milestones=[6]']
    assert '2 to 4 iterations' in (compared / 'compare.md').read_text()


def test_rows_without_changes_are_those_of_a_comparison_that_has_no_others(here: Path, compared: Path) -> None:
    shutil.copytree(compared, RESULTS)
    shutil.copy(compared.parents[1] / 'run.yml', here)
    before = done()
    compare('--sets', 'full', 'complexity:top', 'mined:grad', *WORDS)
    assert done() == before


def test_rows_say_what_they_are_compared_with(compared: Path) -> None:
    references = {row['title']: row['reference'] for row in read(compared / 'compare.json')['rows']}
    assert references['wide 50 %'] == 'complexity:top 50 %'
    chosen = ('complexity:top 50 %', 'mined:grad 50 %', 'close 50 %', 'dynamic:random 50 %', 'warmup:0.5:2', 'full')
    assert {references[title] for title in chosen} == {'random 50 %'}
    assert references['full, train.total_iter=12'] == 'full'
    assert '| complexity:top 50 %: ' in (compared / 'compare.md').read_text()


def test_a_row_may_tell_the_job_that_chooses(compared: Path) -> None:
    rows = {row['title']: row for row in read(compared / 'compare.json')['rows']}
    assert rows['close 50 %']['items'] > rows['mined:grad 50 %']['items'] and rows['close 50 %']['changes'] == []
    strides = sorted(read(path)['mine']['stride'] for path in compared.glob('runs/options/mined-grad_*.yml'))
    assert strides == [4, 8]


def test_warm_ups_move_blocks_and_dynamic_draws_are_of_each_epoch(compared: Path) -> None:
    blocks = {name: opt['datasets']['train'] for name, opt in option_files(compared).items() if 'seed0' in name}
    assert blocks['warmup-0.5-2_seed0']['block'] == 2 and blocks['warmup-0.5-2_seed0']['stop'] == {'fraction': 0.5}
    drawn = blocks['dynamic-random-50p_seed0']
    assert (drawn['type'], drawn['order'], drawn['size']) == ('DynamicSubsetDataset', 'random', 4)


def test_a_training_tells_its_memory_and_its_weights(compared: Path) -> None:
    for row in read(compared / 'compare.json')['rows']:
        assert row['memory_bytes'] is None or 10**7 < row['memory_bytes'] < 10**11
        assert [(compared / path).name for path in row['weights']] == ['net_g_latest.pth']
        assert all((compared / path).is_file() for path in row['weights'])


def test_the_training_file_of_a_winner_holds_its_changes() -> None:
    compare('--sets', 'slow=full@train.optim_g.lr=1e-9', *SHORT)
    winner = read(RESULTS / 'winner.yml')
    assert winner['name'] == 'run_slow' and winner['train']['optim_g']['lr'] == 1e-9
    assert winner['train']['total_iter'] == 6
    assert main(['train', '-opt', str(RESULTS / 'winner.yml'), '--check']) == 0


def test_what_is_chosen_knows_nothing_of_the_change_of_a_row() -> None:
    words = ['--sizes', '3', *SHORT, '--choosing', 'influence.iterations=2', '--jobs', '2']
    compare('--sets', 'influence:top', 'influence:top@network_g.num_feat=6@datasets.train.sigma=15', *words)
    assert [name for name in sorted(done()) if 'seed0' not in name] == ['influence', 'proxy_seed1000']
    options = option_files()
    rows = [options[name]['datasets']['train'] for name in options if name.startswith('influence-top-3')]
    assert rows[0]['manifest'] == rows[1]['manifest']
    assert [row['dataset']['sigma'] for row in rows] == [15, [10, 40]]
    assert options['influence']['datasets']['train']['sigma'] == [10, 40]


# ---- sets ----


def test_numbers_of_patches_are_drawn_anew_for_each_seed() -> None:
    found = compare('--sets', 'mined:grad', '--sizes', '20patches', '--seeds', '2', '--iterations', '2', '--jobs', '2')
    assert [(row['title'], row['items']) for row in found['rows']] == [
        ('random 20 patches', 20),
        ('mined:grad 20 patches', 20),
    ]
    drawn = [opt['datasets']['train'] for name, opt in option_files().items() if name.startswith('random-20')]
    assert all(block['criterion'] == 'random' and block['keep'] == 20 for block in drawn)
    columns = [read_manifest(block['manifest']).array('random').tolist() for block in drawn]
    assert len(columns) == 2 and columns[0] != columns[1]
    assert found['rows'][1]['reference'] == 'random 20 patches'


def test_aligned_images_are_those_that_a_job_has_tuned() -> None:
    sets = ['aligned', 'flat=aligned@aligned.network_tuner.depth=2']
    settings = ['aligned.patch_size=16', 'aligned.iterations=2']
    found = compare('--sets', *sets, '--sizes', '3', *SHORT, '--choosing', *settings, '--jobs', '2')
    assert [row['images'] for row in found['rows']] == [3, 3, 3]
    jobs = [read(path) for path in RESULTS.glob('runs/options/aligned-3_????????.yml')]
    assert sorted(opt['network_tuner']['depth'] for opt in jobs) == [2, 8]
    assert all(opt['network_tuner']['in_channels'] == 1 and opt['align']['iterations'] == 2 for opt in jobs)
    folder = Path(option_files()['aligned-3_seed0']['datasets']['train']['dataroot_gt'])
    names = sorted(path.stem for path in folder.iterdir())
    chosen = read_manifest(str(next(RESULTS.glob('runs/results/complexity-entropy_*/ranking.parquet'))))
    best = np.array(chosen.column('path'))[np.argsort(chosen.column('rank'))][:3]
    assert names == sorted(Path(name).stem for name in best)


# ---- curves ----


def test_curves_are_what_the_trainings_measured_and_leave_the_final_figures_alone() -> None:
    words = ['--sets', 'full', 'warmup:0.5', '--seeds', '1', '--iterations', '4', '--jobs', '2']
    plain, found = compare(*words), compare(*words, '--curve', '2')
    assert [row['values'] for row in plain['rows']] == [row['values'] for row in found['rows']]
    assert 'curves' not in plain and found['curves']['name'] == 'val_report'
    for title, curve in found['curves']['rows'].items():
        row = next(row for row in found['rows'] if row['title'] == title)
        assert list(curve) == ['2', '4']
        assert curve['4'] == pytest.approx(np.mean(row['values']['val_report'], axis=1).tolist())
    assert cv2.imread(str(RESULTS / 'compare_curves.png')) is not None


def test_the_differences_of_curves_are_paired_by_seed() -> None:
    curves = {
        'random 3': {10: [1.0, 2.0], 20: [3.0, 5.0]},
        'matching 3': {10: [1.5, 2.7], 20: [3.0, 5.4], 30: [9.0, 9.0]},
    }
    comparison = made_up([('random', '3', ()), ('matching', '3', ())], higher=False)
    ((row, reference, found),) = curve_differences(comparison, Curves('x', curves))
    assert (row, reference) == ('matching 3', 'random 3') and list(found) == [10, 20]
    assert found[10].mean == pytest.approx(-0.6) and found[20].mean == pytest.approx(-0.2)


# ---- what a row is compared with ----


def made_up(
    rows: list[tuple[str, str, tuple[str, ...]]], against: str | None = None, higher: bool = True
) -> Comparison:
    """Rows of kind, size and changes."""
    rng = np.random.default_rng(0)
    measured = [
        Measured(
            ', '.join([f'{kind} {size}'.strip(), *changes]),
            kind,
            size,
            3,
            3,
            1,
            0,
            1,
            {'x': rng.normal(size=(3, 4))},
            changes,
        )
        for kind, size, changes in rows
    ]
    metric = Metric('psnr', 'dB', 'higher' if higher else 'lower')
    return Comparison('made up', measured, metric, 10, 10, 1, 8, [], against)


def test_a_row_with_changes_is_compared_with_what_has_the_same_or_with_itself_without() -> None:
    deep, slow = ('network_g.num_block=8',), ('train.warmup_iter=8',)
    comparison = made_up(
        [('full', '', ()), ('random', '3', ()), ('mined:grad', '3', ()), ('full', '', deep), ('random', '3', deep)]
        + [('mined:grad', '3', deep), ('full', '', slow), ('mined:grad', '3', slow), ('matching', '3', ('x.y=1',))]
    )
    found = {each.row.title: each for each in comparison.judged}
    assert {title: each.reference for title, each in found.items()} == {
        'full': 'random 3',
        'random 3': '',
        'mined:grad 3': 'random 3',
        'full, network_g.num_block=8': 'random 3, network_g.num_block=8',
        'random 3, network_g.num_block=8': 'random 3',
        'mined:grad 3, network_g.num_block=8': 'random 3, network_g.num_block=8',
        'full, train.warmup_iter=8': 'full',
        'mined:grad 3, train.warmup_iter=8': 'full, train.warmup_iter=8',
        'matching 3, x.y=1': 'full',
    }
    full = {row.title: comparison.full_of(row) for row in comparison.rows}
    assert full['full'] is None and full['matching 3, x.y=1'] is None
    assert full['mined:grad 3'] is full['full, train.warmup_iter=8'] is comparison.rows[0]
    assert full['mined:grad 3, network_g.num_block=8'] is comparison.rows[3]
    deeper = comparison.gains(comparison.rows[5], comparison.rows[4]).mean()
    over = found['mined:grad 3, network_g.num_block=8'].over
    assert over is not None and over.mean == pytest.approx(deeper)


def test_all_rows_are_compared_with_the_one_that_is_asked_for() -> None:
    comparison = made_up([('full', '', ()), ('random', '3', ()), ('warmup:0.1', '', ())], 'warmup:0.1')
    assert [each.reference for each in comparison.judged] == ['warmup:0.1', 'warmup:0.1', '']
    assert comparison.references_vary and 'warmup:0.1' in verdict(comparison).sentences[0]
