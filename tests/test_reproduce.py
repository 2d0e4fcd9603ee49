"""The experiments on choices of images: their pools, their training files, and what they ask of `compare`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network

from basicsr_ext.__main__ import main
from basicsr_ext.jobs import checks
from basicsr_ext.jobs import compare as compare_job
from basicsr_ext.metrics.mgvg_metric import calculate_mgvg
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest
from tests.helpers.flexir import NETWORK
from tests.helpers.images import write_images
from tests.helpers.option_files import REPOSITORY

SCRIPTS = str(REPOSITORY / 'scripts' / 'reproduce')
sys.path.insert(0, SCRIPTS)
import aligned_pairs  # noqa: E402
import choices  # noqa: E402
import comparing  # noqa: E402
import dataset_distillation  # noqa: E402
import detail_measures  # noqa: E402
import documents  # noqa: E402
import early_exits  # noqa: E402
import flexir_ablation  # noqa: E402
import influence_rblur  # noqa: E402
import influence_subsets  # noqa: E402
import patch_mining  # noqa: E402
import pixel_shuffle_warmup  # noqa: E402
import pools  # noqa: E402
import spoilt  # noqa: E402
import targeted  # noqa: E402
import training_files  # noqa: E402

sys.path.remove(SCRIPTS)

SHORT = ['--iterations', '4', '--seeds', '1', '--jobs', '2']
POOL = ['--images', '12', '--side', '48', '--sizes', '3']


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with the option files of the project."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'options').symlink_to(REPOSITORY / 'options')
    yield tmp_path


@pytest.fixture
def datasets(folder: Path) -> Path:
    """Small images where the scripts expect the sets of the papers."""
    for name, number, color in (('BSD400_gray', 10, False), ('BSD400', 10, True), ('Set5', 3, True)):
        write_images(folder / 'datasets' / name, number, 96, color)
    write_images(folder / 'datasets' / 'BSD68', 4, 64)
    for name in ('CBSD68', 'Set14'):
        write_images(folder / 'datasets' / name, 4, 80 if name == 'Set14' else 88, color=True)
    write_images(folder / 'datasets' / 'Set12', 3, 72)
    return folder / 'datasets'


def photographs(pool: int = 40, side: int = 32, color: str = 'gray') -> dict[str, list[np.ndarray]]:
    """Different random images for the three sets."""
    shape = (side, side) if color == 'gray' else (side, side, 3)
    rng = np.random.default_rng(0)
    numbers = {'pool': pool, 'target': 12, 'report': 14}
    return {
        use: [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(number)] for use, number in numbers.items()
    }


def names(pool: 'pools.Pool', group: str) -> list[str]:
    """The images of a group."""
    return [name for name, own in pool.groups.items() if own == group]


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
    assert len(names(pool, 'document')) == pages and len(pool.groups) == images
    assert sorted(path.name for path in (pool.folder / 'pool').iterdir()) == sorted(pool.groups)
    for use in ('target', 'documents', 'photographs'):
        assert len(list((pool.folder / use).iterdir())) == pools.REPORTED == 12
    assert {cv2.imread(str(path), -1).shape for path in pool.folder.rglob('*.png')} == {(32, 32)}


def test_a_pool_shrinks_to_the_photographs_there_are_and_keeps_the_share(tmp_path: Path) -> None:
    pool = pools.document_pool(photographs(30), 'gray', 32, 25, 400, tmp_path)
    assert len(pool.groups) == 40 and len(names(pool, 'document')) == 10


def test_pools_are_the_same_each_time_and_others_have_another_name(tmp_path: Path) -> None:
    one, again = (pools.document_pool(photographs(), 'gray', 32, 5, 40, tmp_path / name) for name in ('one', 'again'))
    assert one.folder.name == again.folder.name and one.groups == again.groups
    for path in one.folder.rglob('*.png'):
        assert path.read_bytes() == (again.folder / path.relative_to(one.folder)).read_bytes()
    assert pools.document_pool(photographs(), 'gray', 32, 5, 20, tmp_path).folder.name != one.folder.name
    assert pools.document_pool(photographs(), 'gray', 32, 5, 40, tmp_path / 'one') == one  # it was there


def test_half_of_a_spoilt_pool_is_spoilt_in_four_ways(tmp_path: Path) -> None:
    clean = photographs(16)
    pool = pools.photograph_pool(clean, 'gray', 16, tmp_path, spoilt=True)
    assert {kind: len(names(pool, kind)) for kind in pools.SPOIL} == dict.fromkeys(pools.SPOIL, 2)
    images = {name: cv2.imread(str(pool.folder / 'pool' / name), -1) for name in pool.groups}
    for (name, image), before in zip(images.items(), clean['pool'], strict=True):
        assert np.array_equal(image, before) == (pool.groups[name] == 'photograph'), name
    name = names(pool, 'blur')[0]
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


@pytest.mark.parametrize(
    ('task', 'net'),
    [('denoise', 'IRCNN'), ('denoise', 'DnCNN'), ('denoise', 'SwinIR'), ('color', 'IRCNN'), ('sr', 'EDSR')],
)
def test_every_training_on_a_pool_is_accepted(folder: Path, task: str, net: str) -> None:
    made = training_files.TASKS[task]
    pool = pools.document_pool(photographs(30, made.patch, made.color), made.color, made.patch, 25, 40)
    opt = training_files.on_pool(made, pool, net, 100)
    assert list(opt['datasets']) == ['train', 'val_target', 'val_documents', 'val_photographs']
    assert opt['train']['total_iter'] == opt['train']['scheduler']['periods'][0] == 100
    assert opt['train']['warmup_iter'] == 2 and opt['network_g']['type'] == net
    Path('run.yml').write_text(yaml.safe_dump({**opt, 'name': 'run'}))
    assert main(['train', '-opt', 'run.yml', '--check']) == 0


def test_a_training_on_all_images_keeps_the_three_sets_apart_and_has_no_wrapper(datasets: Path) -> None:
    option_file = influence_subsets.OPTION_FILE
    before = load_options(option_file)
    assert before['datasets']['train']['type'] == 'InfluenceSubsetDataset'
    opt = training_files.on_images(option_file, 50, patch=32)
    train, target, choosing, report = opt['datasets'].values()
    assert list(opt['datasets']) == ['train', 'val_target', 'val', 'val_report']
    assert train['type'] == 'GaussianDenoisingDataset' and train['sigma'] == before['datasets']['val']['sigma'] == 50
    assert (train['gt_size'], train['batch_size_per_gpu'], train['num_worker_per_gpu']) == (32, 8, 0)
    assert 'manifest' not in train and 'dataset' not in train and train['pin_memory']
    assert (target['dataroot_gt'], report['dataroot_gt']) == ('datasets/BSD68', 'datasets/Set12')
    halves = [Path(block['meta_info_file']).read_text().split() for block in (target, choosing)]
    assert [len(half) for half in halves] == [2, 2] and choosing['dataroot_gt'] == target['dataroot_gt']
    assert {*halves[0], *halves[1]} == {path.name for path in (datasets / 'BSD68').iterdir()}
    assert report == before['datasets']['val'] and target['sigma'] == 50
    assert opt['train']['pixel_opt'] == before['train']['pixel_opt']


def test_distilling_has_the_settings_of_its_option_file(folder: Path) -> None:
    settings = dict(setting.split('=', 1) for setting in dataset_distillation.distilling())
    block = load_options(dataset_distillation.DISTILL_FILE)['distill']
    for key in ('ratio', 'kept', 'manifest'):  # the comparison says these
        del block[key]
    assert {f'distilled.{key}': value for key, value in block.items()} == {
        key: yaml.safe_load(value) for key, value in settings.items()
    }


def test_the_images_of_a_number_are_the_same_each_time_and_no_more_than_there_are(datasets: Path) -> None:
    opt = pixel_shuffle_warmup.training_file(training_files.SWINIR_FILE)
    parts = [pixel_shuffle_warmup.on_part(opt, 4)['datasets']['train'] for _ in range(2)]
    lists = [Path(part['meta_info_file']).read_text().split() for part in parts]
    assert lists[0] == lists[1] and len(set(lists[0])) == 4
    assert set(lists[0]) <= {path.name for path in (datasets / 'BSD400').iterdir()}
    with pytest.raises(SystemExit, match='--images 11: expected at most the 10 images of datasets/BSD400'):
        pixel_shuffle_warmup.on_part(opt, 11)


def test_what_the_user_adds_counts_and_a_comparison_that_fails_ends_the_script(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(comparing, 'main', lambda words: calls.append(words) or len(calls) - 1)
    comparing.compare('run', {'name': 'other', 'scale': 1}, ['--sets', 'full', '--sizes', '5'], ['--sizes', '7'])
    path = 'results/reproduce/run.yml'
    assert calls == [['compare', '-opt', path, '--sets', 'full', '--sizes', '5', '--sizes', '7']]
    assert load_options(path) == {'name': 'run', 'scale': 1}
    with pytest.raises(SystemExit) as ended:
        comparing.compare('run', {}, [], [])
    assert ended.value.code == 1


# ---- the ablation of FlexIR ----


def test_an_ablation_begins_at_one_network_and_reports_what_chooses_nothing(datasets: Path) -> None:
    args = flexir_ablation._parser().parse_args(['--start', 'start.pth', '--every', '2', '--embed_dim', '12'])
    opt = flexir_ablation.training_file(args, 100)
    assert opt['path']['pretrain_network_g'] == opt['path']['pretrain_network_t'] == 'start.pth'
    assert (opt['train']['total_iter'], opt['train']['scheduler']['total_iters'], opt['train']['warmup_iter']) == (
        100,
        100,
        2,
    )
    assert not opt['train']['progressive'] and not opt['network_g']['channel_scoring']
    assert opt['network_g']['embed_dim'] == 12 and opt['network_g']['depths'] == [4, 4, 4, 4]
    report, choosing = opt['datasets']['val_report'], opt['datasets']['val']
    assert Path(report['meta_info_file']).read_text().split() == ['000.png', '002.png']
    assert (report['dataroot_gt'], choosing['dataroot_gt']) == ('datasets/CBSD68', 'datasets/Set5')
    assert report['name'] != choosing['name']


def test_the_ablations_tables_are_of_the_means_of_seeds_and_of_differences_to_sd() -> None:
    rng = np.random.default_rng(0)
    scores = {(choice, 100): rng.normal(30, 0.1, (3, 4, 2)) for choice in flexir_ablation.CHOICES}
    ends = {key: [[]] * 3 if key[0] == 'SD' else [[10, 20], [12, 22], [11, 24]] for key in scores}
    lines = flexir_ablation.table(scores, ends)
    by_seed = scores['PSD', 100].mean(1)
    means, spreads = by_seed.mean(0), by_seed.std(0, ddof=1)
    cells = ' | '.join(f'{means[p]:.3f} ({spreads[p]:.3f})' for p in range(2))
    assert lines[3] == f'| 100 | PSD | {cells} | 11, 22 |' and lines[2].endswith('|  |')
    text = flexir_ablation.table_of_differences(scores)
    gain = (scores['PSD + scoring', 100] - scores['SD', 100]).mean((0, 1))
    assert text[3].startswith(f'| 100 | PSD + scoring | {gain[0]:+.3f} ± ') and f'| {gain[1]:+.3f} ± ' in text[3]


# ---- the scripts as a whole ----


def quick(*kinds: str) -> list[str]:
    """Words that let rankings of these kinds take few products."""
    return [word for kind in kinds for word in (f'{kind}.iterations=2', f'{kind}.curvature_images=2')]


def run(script: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run a script with these words."""
    monkeypatch.setattr(sys, 'argv', ['script', *words])
    assert script.main() == 0


def compared(name: str) -> dict[str, Any]:
    """What a comparison wrote: title -> row."""
    found = json.loads(Path('results', name, 'compare.json').read_text())
    return {row['title']: row for row in found['rows']}


def plan(script: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *words: str) -> str:
    """What a script would do."""
    with caplog.at_level('INFO', logger='basicsr'):
        run(script, monkeypatch, *SHORT, '--dry-run', *words)
    return caplog.text


def test_targets_are_compared_for_every_share(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = plan(targeted, monkeypatch, caplog, *POOL, '--tasks', 'denoise', '--shares', '10', '25')
    rows = ['full', 'random 3', 'influence:top 3', 'matching 3']
    assert all(text.count(f'{row}, seed 0: to do') == 2 for row in rows)
    assert text.count('aimed at: target; reported: documents, photographs') == 2
    assert text.count('4 rows, 6 runs of which 6 are to do') == 2  # two of them choose
    files = sorted(path.name for path in Path('results/reproduce').iterdir())
    assert files == ['targeted_denoise_IRCNN_10.yml', 'targeted_denoise_IRCNN_25.yml']


def test_ways_to_choose_are_compared_with_each_guard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = plan(choices, monkeypatch, caplog, *POOL)
    guards = ['matching 3', 'matching:norm 3', 'matching:curvature 3']
    for row in (*guards, *(f'{other} 3' for other in choices.OTHERS)):
        assert text.count(f'{row}, seed 0: to do') == text.count(f'choosing, {row}: to do') == 2, row
    assert text.count('13 rows, 23 runs') == 2
    assert 'reported: documents, photographs' in text and 'reported: photographs\n' in text


PLANS = [
    (influence_rblur, [], ['full', *(f'full, datasets.train.kernel_size={r}' for r in (3, 5, 10, 20))], 'Set12'),
    (
        influence_subsets,
        ['--tables', '5', '--sizes', '2'],
        ['full', 'random 2', *(f'influence:{part} 2' for part in ('top', 'mid', 'bottom'))],
        'Set12',
    ),
    (
        influence_subsets,
        ['--tables', '3', '--nets', 'Restormer', '--sizes', '3'],
        ['full', 'random 3', 'influence:mid 3'],
        'Set12',
    ),
    (
        patch_mining,
        ['--tables', '1', '2', '--sizes', '5patches', '9patches'],
        ['full', 'random 5 patches', 'mined:loss 9 patches', 'mined:grad without flips 5 patches']
        + ['full without flips', 'mined:grad close 9 patches'],
        'Set12',
    ),
    (
        patch_mining,
        ['--tables', '3', '--sizes', '9patches'],
        ['mined:grad 9 patches, network_g.num_block=16', 'random 9 patches, network_g.num_block=2'],
        'Set5',
    ),
    (
        dataset_distillation,
        ['--tables', '2', '6', '7', 'fig1', '--sizes', '20%'],
        ['aligned 20 %', 'aligned, 16 layers 20 %', 'aligned:distilled 20 %', 'distilled 20 %', '25 % synthetic 20 %'],
        'Set12',
    ),
    (dataset_distillation, ['--tables', '8'], ['full', '4 steps', '8 steps'], 'Set12'),
    (
        pixel_shuffle_warmup,
        ['--tables', 'stops', 'scales', 'controls'],
        ['warmup:0.0133', 'warmup:0.1000', 'warmup:0.0533, network_g.depths=[4,4], network_g.embed_dim=64']
        + ['rate warms up', 'warmup:0.0533:8'],
        'Set5',
    ),
]


@pytest.mark.parametrize(('script', 'words', 'rows', 'report'), PLANS)
def test_the_papers_sweeps_are_of_their_rows(
    datasets: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: Any,
    words: list[str],
    rows: list[str],
    report: str,
) -> None:
    monkeypatch.setattr(checks, 'check_everything', lambda opt: None)  # which the job's own tests try
    monkeypatch.setattr(compare_job, '_trial', lambda *arguments: 1.0)
    text = plan(script, monkeypatch, caplog, *words)
    for row in rows:
        assert f'{row}, seed 0: to do' in text, row
    assert f'reported: {report}\n' in f'{text}\n' and 'aimed at: target' in text


def test_each_number_of_images_and_each_duration_is_a_comparison(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checks, 'check_everything', lambda opt: None)
    monkeypatch.setattr(compare_job, '_trial', lambda *arguments: 1.0)
    text = plan(pixel_shuffle_warmup, monkeypatch, caplog, '--tables', 'data', 'durations', '--images', '4', '8')
    assert '4 iterations each, 4 training images' in text and '4 iterations each, 8 training images' in text
    assert all(f'{number} iterations each, 10 training images' in text for number in (2, 4, 8))


def test_a_scorer_that_is_not_there_is_checked_and_left_out_of_a_plan(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(dataset_distillation, 'run', lambda words: asked.append(words) or 0)
    assert dataset_distillation.scored_by('test_vit', 64, 5, True) == '' and asked[0][-1] == '--check'
    assert 'would be trained first' in capsys.readouterr().out
    row = dataset_distillation.scored_by('test_vit', 64, 5, False)
    assert asked[1][-1] == '--auto_resume' and 'network_g.input_size=64' in asked[1]
    assert row.startswith('test_vit 64=dynamic.scorer@complexity.network_scorer.backbone=test_vit@')
    weights = Path(row.rpartition('=')[2])
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert dataset_distillation.scored_by('test_vit', 64, 5, True) == row and len(asked) == 2


@pytest.mark.slow
def test_targeted_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ['--tasks', 'denoise', '--shares', '25', '--choosing', *quick('influence', 'matching')]
    run(targeted, monkeypatch, *POOL, *SHORT, *words)
    rows = compared('targeted_denoise_IRCNN_25')
    assert [row['images'] for row in rows.values()] == [12, 3, 3, 3]
    assert all(set(row['mean']) == {'documents', 'photographs'} for row in rows.values())


def test_choices_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        choices,
        monkeypatch,
        *POOL,
        *SHORT,
        '--pools',
        'pages',
        '--sets',
        'matching:norm',
        '--choosing',
        *quick('matching'),
    )
    assert list(compared('choices_pages')) == ['random 3', 'matching:norm 3']
    (path,) = Path('results/choices_pages/runs/options').glob('matching-norm-3_????????.yml')
    assert load_options(path)['rank']['guard'] == 'norm'


@pytest.mark.slow
def test_spoilt_runs_and_says_who_finds_the_spoilt_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(spoilt, monkeypatch, *POOL, *SHORT, '--choosing', *quick('influence'))
    rows = compared('spoilt')
    assert list(rows) == ['full', 'fit', 'random 3', 'influence:top 3', 'influence:mid 3']
    (audit,) = Path('results').glob('*_audit/audit.parquet')
    assert rows['fit']['images'] == 12 - sum(read_manifest(audit).column('suspect')) < 12
    table = Path('results/reproduce/spoilt_areas.md').read_text().splitlines()
    assert table[0] == '| area under the curve | noise | blur | enlarged | jpeg | all |'
    assert [line.split(' | ')[0] for line in table[2:6]] == ['| influence', '| loss', '| audit', '| audit: blockiness']


@pytest.mark.parametrize(
    ('script', 'name', 'words', 'titles'),
    [
        (
            pixel_shuffle_warmup,
            'pixel_shuffle_warmup_data_4',
            ['--images', '4', '--sets', 'full', 'warmup:0.5'],
            ['full', 'warmup:0.5'],
        ),
        pytest.param(
            influence_subsets,
            'influence_5_sigma50',
            ['--sizes', '2', '--choosing', *quick('influence')],
            ['full', 'random 2', 'influence:top 2', 'influence:mid 2', 'influence:bottom 2'],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            patch_mining,
            'patch_mining_criteria_denoise',
            [],
            ['full', 'random 50 %', *(f'mined:{each} 50 %' for each in ('grad', 'loss', 'std', 'freq'))],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dataset_distillation,
            'dataset_distillation_5',
            ['--sizes', '40%', '--patch', '32', '--choosing', *quick('influence'), 'distilled.steps=2']
            + ['aligned.iterations=2'],
            ['full', *(f'{kind} 40 %' for kind in dataset_distillation.SETS[1:])],
            marks=pytest.mark.slow,
        ),
    ],
    ids=['pixel_shuffle_warmup', 'influence_subsets', 'patch_mining', 'dataset_distillation'],
)
def test_the_papers_comparisons_run(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, script: Any, name: str, words: list[str], titles: list[str]
) -> None:
    run(script, monkeypatch, *SHORT, *words)
    assert list(compared(name)) == titles


def test_early_exits_on_images_that_calibration_has_not_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, number, side in (('seen', 3, 24), ('other', 2, 32)):
        write_images(folder / name, number, side, color=True)
    network = {**NETWORK, 'in_chans': 3}
    torch.manual_seed(0)
    torch.save(build_network(network).state_dict(), folder / 'net.pth')
    block = {'name': 'seen', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'seen', 'sigma': 25, 'color': 'rgb'}
    opt = {
        'name': 'tiny', 'num_gpu': 0, 'network_g': network, 'path': {'pretrain_network_g': 'net.pth'},
        'datasets': {'test_1': {**block, 'io_backend': {'type': 'disk'}}}, 'calibrate': {'inference': {'regions': 3}},
    }  # fmt: skip
    Path('tiny.yml').write_text(yaml.safe_dump(opt))
    monkeypatch.setattr(sys, 'argv', ['early_exits.py', '-opt', 'tiny.yml', '--held_out', 'other', '--images', '3'])
    assert early_exits.main() == 0
    text = Path('results/reproduce/early_exits_tiny.md').read_text()
    assert text.strip() in capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line]
    budget = float(rows[0][0].split()[-1])
    shares = {row[0]: float(row[2].rstrip('%')) for row in rows[2:12]}
    assert rows[0][1:] == ['calibration', 'other'] and len(shares) == 10 and max(shares.values()) <= 100
    costs = {row[1]: row for row in rows[14:]}
    assert float(costs['pointer 1'][2]) < budget < float(costs['pointer 2'][2])
    (own,) = (row for name, row in costs.items() if name.startswith('budget') and 'oracle' not in name)
    assert float(own[2]) / budget == pytest.approx(float(own[5]), abs=2e-3) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_the_ablation_of_flexir_runs_and_repeats_nothing(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = {'type': 'SwinIR', 'upscale': 1, 'in_chans': 3, 'img_size': 32, 'window_size': 8, 'depths': [2, 2]}
    block |= {'embed_dim': 12, 'num_heads': [2, 2], 'mlp_ratio': 2, 'upsampler': ''}
    torch.save({'params': build_network(block).state_dict()}, 'start.pth')
    words = [
        '--start',
        'start.pth',
        '--lengths',
        '8',
        '16',
        '--seeds',
        '1',
        '--test',
        'datasets/CBSD68',
        '--every',
        '2',
    ]
    words += ['--embed_dim', '12', '--depths', '2', '2', '--heads', '2', '2', '--batch', '1', '--jobs', '2']
    run(flexir_ablation, monkeypatch, *words)
    path = Path('results/reproduce/flexir_ablation.md')
    table = path.read_text()
    rows = [line.split(' | ')[:2] for line in table.splitlines() if line.startswith(('| 8', '| 16'))]
    assert rows == [[f'| {length}', choice] for length in (8, 16) for choice in flexir_ablation.CHOICES] + [
        [f'| {length}', choice] for length in (8, 16) for choice in ('PSD', 'PSD + scoring')
    ]
    assert (path.parent / 'flexir_ablation.png').stat().st_size > 0
    found = compared('flexir_ablation_16')
    last = float(
        next(line for line in table.splitlines() if line.startswith('| 16 | PSD |')).split(' | ')[3].split()[0]
    )
    assert last == pytest.approx(found['PSD']['mean']['CBSD68'], abs=6e-4)  # the last pointer is what compare reports
    assert found['PSD']['reference'] == found['PSD + scoring']['reference'] == 'SD'
    monkeypatch.setattr(flexir_ablation, '_measure', None)
    run(flexir_ablation, monkeypatch, *words)
    assert path.read_text() == table


def test_the_readings_of_detail_are_those_of_the_metric(
    datasets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, 'argv', ['detail_measures.py', '--folder', 'datasets/BSD400_gray'])
    assert detail_measures.main() == 0
    cells = [line.strip('| ').split(' | ') for line in capsys.readouterr().out.splitlines()]
    means = {name: float(mean) for name, mean, _ in cells}
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(Path('datasets/BSD400_gray').iterdir())]
    published = np.array([calculate_mgvg(image) for image in images])
    assert means['IQA forward, pixels in [0, 255]'] == pytest.approx(published.mean(), rel=1e-3)
    assert means['IQA forward, pixels in [0, 1]'] == pytest.approx(published.mean() / 255**0.61, rel=1e-3)
    between = (published.mean() - published.min()) / (published.max() - published.min())
    assert means['IQA forward, stretched to [0, 1] over the images'] == pytest.approx(between, rel=1e-3)


@pytest.mark.slow
def test_aligned_pairs_are_those_of_a_choice_with_inputs_kept_and_moved(
    datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ['--measured', 'datasets/Set5', '--share', '20', '--choosing', 'aligned.iterations=2']
    run(aligned_pairs, monkeypatch, *SHORT, *words)
    rows = compared('aligned_pairs_noise')
    chosen = 'complexity:top 20 %'
    assert list(rows) == ['full', 'random 20 %', chosen, 'kept inputs 20 %', 'moved inputs 20 %']
    assert [row['reference'] for row in rows.values()] == [chosen, chosen, None, chosen, chosen]
    assert len(list(Path('results/reproduce/aligned_pairs/noise_BSD400/lq').iterdir())) == 10
    folders = {}
    for path in Path('results/aligned_pairs_noise/runs/options').glob('aligned-20p_????????.yml'):
        opt = load_options(path)
        folders[opt['align']['input']] = Path('results/aligned_pairs_noise/runs/results', opt['name'])
    names = {path.name for path in (folders['moved'] / 'lq').iterdir()}
    assert len(names) == 2
    for name in names:
        root = Path('results/reproduce/aligned_pairs/noise_BSD400')
        before = [cv2.imread(str(root / kind / name)).astype(int) for kind in ('gt', 'lq')]
        kept, moved = (
            [cv2.imread(str(folders[each] / kind / name)) for kind in ('gt', 'lq')] for each in ('kept', 'moved')
        )
        np.testing.assert_array_equal(kept[1], before[1])
        np.testing.assert_array_equal(moved[1], np.clip(before[1] + moved[0] - before[0], 0, 255))
        np.testing.assert_array_equal(kept[0], moved[0])
