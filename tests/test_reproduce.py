"""The experiments on choices of images: their pools, their intervals, and what they ask of the jobs."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.stats import ttest_rel

from basicsr_ext.__main__ import main
from basicsr_ext.options.command_line import override
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest
from tests.helpers.images import write_images
from tests.helpers.option_files import REPOSITORY

SCRIPTS = str(REPOSITORY / 'scripts' / 'reproduce')
sys.path.insert(0, SCRIPTS)
import choices  # noqa: E402
import choosing  # noqa: E402
import comparison  # noqa: E402
import documents  # noqa: E402
import pools  # noqa: E402
import spoilt  # noqa: E402
import targeted  # noqa: E402
import tasks  # noqa: E402

sys.path.remove(SCRIPTS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with the option files of the project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'options').symlink_to(REPOSITORY / 'options')
    yield tmp_path


def photographs(pool: int = 40, side: int = 32, color: str = 'gray') -> dict[str, list[np.ndarray]]:
    """Different random images for the three sets."""
    shape = (side, side) if color == 'gray' else (side, side, 3)
    rng = np.random.default_rng(0)
    numbers = {'pool': pool, 'target': 12, 'report': 14}
    return {
        use: [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(number)] for use, number in numbers.items()
    }


def settings_of(task: str, root: Path, **changes: Any) -> 'choosing.Setting':
    """A task on 40 small images, a quarter of them pages."""
    color = tasks.TASKS[task].color
    side = tasks.TASKS[task].gt_size
    pool = pools.document_pool(photographs(30, side, color), color, side, 25, 40, root)
    args = SimpleNamespace(**{'iterations': 4, 'seeds': 1, 'jobs': 1, 'device': 'cpu', 'size': 3, **changes})
    return choosing.Setting(task, tasks.TASKS[task], pool, args)


@pytest.mark.parametrize('color', ['gray', 'rgb'])
def test_a_page_holds_ink_and_paper_in_the_shape_that_is_asked_for(color: str) -> None:
    for use, fonts in documents.FONTS.items():
        image = documents.page(np.random.default_rng(3), 60, fonts, color)
        assert image.shape == ((60, 60) if color == 'gray' else (60, 60, 3)), use
        assert image.dtype == np.uint8 and int(image.max()) - int(image.min()) > 80


def test_no_font_family_serves_two_sets() -> None:
    def families(use: str) -> set[str]:
        return {font.partition('-')[0].removesuffix('Bol').removesuffix('Italic') for font in documents.FONTS[use]}

    assert families('pool') & families('target') == families('pool') & families('report') == set()
    assert families('target') & families('report') == set()


@pytest.mark.parametrize(('percent', 'pages', 'images'), [(1, 1, 40), (5, 2, 40), (25, 10, 40)])
def test_a_pool_holds_its_share_of_pages(tmp_path: Path, percent: float, pages: int, images: int) -> None:
    pool = pools.document_pool(photographs(), 'gray', 32, percent, 40, tmp_path)
    assert len(pool.names('document')) == pages and len(pool.names()) == images
    assert sorted(path.name for path in (pool.folder / 'pool').iterdir()) == sorted(pool.groups)
    for use in ('target', 'documents', 'photographs'):
        assert len(list((pool.folder / use).iterdir())) == pools.REPORTED == 12
    assert {cv2.imread(str(path), -1).shape for path in pool.folder.rglob('*.png')} == {(32, 32)}


def test_a_pool_shrinks_to_the_photographs_there_are_and_keeps_the_share(tmp_path: Path) -> None:
    pool = pools.document_pool(photographs(30), 'gray', 32, 25, 400, tmp_path)
    assert len(pool.names()) == 40 and len(pool.names('document')) == 10


def test_pools_are_the_same_each_time_and_others_have_another_name(tmp_path: Path) -> None:
    one, again = (pools.document_pool(photographs(), 'gray', 32, 5, 40, tmp_path / name) for name in ('one', 'again'))
    assert one.digest == again.digest and one.groups == again.groups
    for path in one.folder.rglob('*.png'):
        assert path.read_bytes() == (again.folder / path.relative_to(one.folder)).read_bytes()
    assert pools.document_pool(photographs(), 'gray', 32, 5, 20, tmp_path).digest != one.digest
    assert pools.document_pool(photographs(), 'gray', 32, 5, 40, tmp_path / 'one') == one  # it was there


def test_an_image_in_two_sets_is_refused(tmp_path: Path) -> None:
    shared = photographs()
    shared['report'][3] = shared['pool'][5]
    with pytest.raises(pools.PoolError, match=r'pool and photographs: .*photograph_0006.png in pool.*photograph_0004'):
        pools.document_pool(shared, 'gray', 32, 5, 40, tmp_path)
    assert not list(tmp_path.iterdir())


def test_half_of_a_spoilt_pool_is_spoilt_in_four_ways(tmp_path: Path) -> None:
    clean = photographs(16)
    pool = pools.photograph_pool(clean, 'gray', 16, tmp_path, spoilt=True)
    assert {kind: len(pool.names(kind)) for kind in pools.SPOIL} == dict.fromkeys(pools.SPOIL, 2)
    images = {name: cv2.imread(str(pool.folder / 'pool' / name), -1) for name in pool.names()}
    for (name, image), before in zip(images.items(), clean['pool'], strict=True):
        assert np.array_equal(image, before) == (pool.groups[name] == 'photograph'), name
    name = pool.names('blur')[0]
    before = clean['pool'][list(pool.groups).index(name)]
    assert images[name][10, 10] == pytest.approx(before[8:13, 8:13].mean(), abs=0.51)


def test_sub_images_of_a_folder_do_not_overlap_and_no_photograph_serves_two_sets(tmp_path: Path) -> None:
    write_images(tmp_path, 50, 52)
    found = pools.read_photographs(tmp_path, 'gray', 24)
    assert [len(found[use]) for use in ('pool', 'target', 'report')] == [104, 48, 48]
    source = {}  # pixels of a sub-image -> its photograph
    for path in tmp_path.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        source.update({image[y : y + 24, x : x + 24].tobytes(): path for y in (2, 26) for x in (2, 26)})
    sources = {use: [source[image.tobytes()] for image in images] for use, images in found.items()}
    assert {len(set(paths)) for paths in sources.values()} == {26, 12}
    assert len(set().union(*sources.values())) == 50
    assert len(set(sources['report'][:12])) == 12  # as different as can be


def test_scikit_image_has_enough_for_the_three_sets() -> None:
    for color in ('gray', 'rgb'):
        found = pools.read_photographs(None, color, pools.SMALL_SIDE)
        assert len(found['pool']) > 80 and min(map(len, found.values())) >= pools.REPORTED


def test_too_few_photographs_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, 3, 40)
    with pytest.raises(pools.PoolError, match=r'at least 12 sub-images of 32 x 32 pixels for the .*, got 1\. Give'):
        pools.read_photographs(tmp_path, 'gray', 32)


def test_the_interval_of_pairs_is_that_of_the_t_test() -> None:
    ours, others = [26.5, 26.7, 26.4, 26.6], [24.9, 25.4, 24.1, 25.0]
    mean, half = comparison.paired_interval(ours, others)
    expected = ttest_rel(ours, others).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert comparison.paired_interval([1.0, 3.0], [0.0, 0.0]) == pytest.approx((2.0, 12.7062), abs=1e-4)  # t(1)
    assert comparison.paired_interval([2.0], [1.0]) == (1.0, math.inf)


def test_the_table_compares_within_a_setting_and_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        comparison.Row('a', 'IRCNN', 'top', 3, {'documents': [26.0, 27.0]}),
        comparison.Row('a', 'IRCNN', 'random', 3, {'documents': [25.0, 25.5]}),
        comparison.Row('b', 'IRCNN', 'top', 3, {'documents': [20.0, 20.0]}),
    ]
    comparison.report('name', rows, tmp_path, {'further': 1}, ['A line.'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == '| task and pool | network | choice | images | documents [dB] | against random | against all |'
    assert lines[2] == '| a | IRCNN | top | 3 | 26.50 (0.71) | +1.25 ± 3.18 |  |'  # 12.7062 * 0.3536 / sqrt(2)
    assert lines[4] == '| b | IRCNN | top | 3 | 20.00 (0.00) |  |  |'
    assert lines[-1] == 'A line.'
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ['.csv', '.json', '.md', '.png']


def test_the_area_under_the_curve_is_the_share_of_pairs() -> None:
    positive, negative = [3.0, 1.0, 2.0], [0.0, 2.0]
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    assert spoilt.area(positive, negative) == pytest.approx(sum(pairs) / len(pairs))
    groups = {'a': 'photograph', 'b': 'blur', 'c': 'noise'}
    assert spoilt.areas({'a': 1, 'b': 2, 'c': 0}, groups) == {'noise': 0, 'blur': 1, 'all': 0.5}


def test_what_an_audit_measured_is_signed_towards_its_suspect_side(folder: Path) -> None:
    columns = {'suspect': [False, True], 'reason': ['', 'bad'], 'cutoff': [0.5, 0.2], 'tone': [1.0, 4.0]}
    note = {'says': 'odd', 'unit': '', 'low': None, 'high': None, 'widespread': False}
    notes = {'cutoff': {**note, 'side': 'low', 'usual': 0.5}, 'tone': {**note, 'side': 'both', 'usual': 2.0}}
    write_manifest(folder / 'audit.parquet', [Item(name, 24, 24) for name in 'ab'], columns, {'findings': notes})
    measured = spoilt.measured(read_manifest(folder / 'audit.parquet'))
    assert measured['audit'] == {'a': 0, 'b': 1}
    assert measured['audit: cutoff'] == pytest.approx({'a': 0, 'b': 0.3})
    assert measured['audit: tone'] == {'a': 1, 'b': 2}


def test_what_an_audit_suspects_is_left_out(folder: Path) -> None:
    setting = settings_of('denoise', folder)
    names = setting.pool.names()
    items = [Item(name, 24, 24) for name in names]
    suspect = [place % 3 == 0 for place in range(len(names))]
    write_manifest(folder / 'audit.parquet', items, {'suspect': suspect, 'reason': [''] * len(names)}, {})
    choice = setting.fit('audited', folder / 'audit.parquet')
    assert choice.images == suspect.count(False)
    assert choice.block(0)['exclude'] == str(folder / 'audit.parquet')


def test_a_random_choice_is_drawn_anew_for_each_seed_and_the_oracle_from_the_pages(folder: Path) -> None:
    setting = settings_of('denoise', folder)
    oracle = setting.drawn('oracle', setting.pool.names('document'), 3)
    lists = [Path(oracle.block(seed)['meta_info_file']).read_text().split() for seed in (0, 1, 0)]
    assert lists[0] == lists[2] != lists[1]
    assert set(lists[0]) | set(lists[1]) <= set(setting.pool.names('document')) and len(lists[0]) == 3
    assert setting.drawn('oracle', setting.pool.names('document'), 50).images == 10  # all there are


@pytest.mark.parametrize(
    ('task', 'net'),
    [('denoise', 'IRCNN'), ('denoise', 'DnCNN'), ('denoise', 'SwinIR'), ('color', 'IRCNN'), ('sr', 'EDSR')],
)
def test_every_training_is_accepted(folder: Path, task: str, net: str) -> None:
    setting = settings_of(task, folder)
    run = setting.run(setting.drawn('random', setting.pool.names(), 3), 0, net)
    changes = [f'{key}={value}' for key, value in {'name': run.name, **run.changes}.items()]
    assert main(['train', '-opt', run.option_file, '--check', '--set', *changes]) == 0
    opt = load_options(run.option_file)
    for change in changes:
        override(opt, change)
    assert opt['val']['val_freq'] == opt['train']['total_iter'] == 4
    assert [opt['datasets'][key]['name'] for key in ('val', 'val_2')] == ['documents', 'photographs']


def test_a_ranking_is_accepted_and_its_name_tells_its_options(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []

    def check(job: str, file: str, name: str, changes: dict[str, str], result: Path, jobs: int) -> float:
        changes = {'name': name, **changes}
        codes.append(
            main([job, '-opt', file, '--check', '--set', *(f'{key}={value}' for key, value in changes.items())])
        )
        return 1.5

    monkeypatch.setattr(choosing, 'run_job', check)
    setting = settings_of('denoise', folder)
    first, second = setting.rank('influence'), setting.rank('influence', damping=1e-3)
    assert codes == [0, 0] and first.seconds == 1.5
    assert first.path != second.path
    assert [first.column(method) for method in ('influence', 'kcenter')] == ['rank', 'rank_kcenter']


@pytest.mark.slow
@pytest.mark.parametrize(
    ('script', 'rows', 'own'),
    [
        (
            targeted,
            ['--tasks', 'denoise', '--shares', '25', '--choices', 'top', 'random'],
            ['| denoise, 25 % | IRCNN | top | 3 |'],
        ),
        (choices, ['--pools', 'pages', '--guards', '--others'], ['| pages | IRCNN | mid | 3 |', 'pages: ranked in']),
        (spoilt, [], ['| half spoilt | IRCNN | all clean | 6 |', '| influence |', '| loss |']),
    ],
)
def test_an_experiment_runs_and_continues(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: Any,
    rows: list[str],
    own: list[str],
) -> None:
    monkeypatch.setattr(choosing, 'RANK', {'iterations': 2, 'curvature_images': 4})
    small = [
        '--seeds',
        '1',
        '--size',
        '3',
        '--iterations',
        '4',
        '--images',
        '12',
        '--side',
        '48',
        '--jobs',
        '2',
        '--device',
        'cpu',
    ]
    monkeypatch.setattr(sys, 'argv', ['script', *rows, *small])
    assert script.main() == 0
    first = capsys.readouterr().out
    assert [text for text in own if text not in first] == []
    written = {path: path.stat().st_mtime_ns for path in folder.glob('experiments/*/models/*.pth')}
    assert len(written) >= 2
    assert script.main() == 0
    assert capsys.readouterr().out == first
    assert {path: path.stat().st_mtime_ns for path in written} == written
