"""The job `compare` around training files of other kinds, the sets that it keeps apart, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from basicsr_ext.__main__ import main
from basicsr_ext.data.shared_files import digest_of, image_files
from basicsr_ext.errors import DataError
from basicsr_ext.jobs.compare import compare_pipeline
from basicsr_ext.jobs.compare.roles import roles_of
from basicsr_ext.jobs.compare.schedule import at_length, warmup_at_length
from basicsr_ext.training.building import build_dataset
from tests.helpers.comparing import RESULTS, SETS, SHORT, compare, done, lay_out, made_by, option_files, read
from tests.helpers.images import write_images
from tests.helpers.training import options

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- training files ----


def test_a_stock_training_file(here: Path) -> None:
    for name, number in (('train', 6), ('val', 4)):
        write_images(here / name, number=number, color=True)
        shutil.copytree(here / name, here / f'{name}_lq')
    pairs = {'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'}}
    opt = options(here, model_type='SRModel', scale=1)
    opt['datasets'] = {
        name: {'name': name, **pairs, 'dataroot_gt': str(here / name), 'dataroot_lq': str(here / f'{name}_lq')}
        for name in ('train', 'val')
    }
    opt['datasets']['train'] |= {'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    opt['datasets']['train'] |= {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    opt['network_g'] = {'type': 'SRVGGNetCompact', 'num_feat': 4, 'num_conv': 1, 'upscale': 1}
    opt['train'] |= {'ema_decay': 0.9, 'scheduler': {'type': 'MultiStepLR', 'milestones': [3]}}
    (here / 'run.yml').write_text(yaml.safe_dump(opt))
    found = compare('--sets', 'full', 'complexity:top', '--sizes', '50%', *SHORT)
    assert [row['images'] for row in found['rows']] == [6, 3, 3]
    assert all(len(row['values']['val_report'][0]) in (1, 3) for row in found['rows'])
    assert main(['train', '-opt', str(RESULTS / 'winner.yml'), '--check']) == 0


def test_a_warm_up_stays_outermost_and_ends_at_the_same_share(here: Path) -> None:
    lay_out(here, train__total_iter=20)
    opt = read(here / 'run.yml')
    inside = opt['datasets']['train']
    loader = {key: inside.pop(key) for key in ('batch_size_per_gpu', 'num_worker_per_gpu')}
    warm = {'name': inside.pop('name'), 'type': 'PixelShuffleWarmupDataset', 'stop': {'iter': 10}, 'dataset': inside}
    opt['datasets']['train'] = {**warm, **loader}
    (here / 'run.yml').write_text(yaml.safe_dump(opt))
    compare('--sets', 'full', 'complexity:top', '--sizes', '3', *SHORT)
    found = {name: each['datasets']['train'] for name, each in option_files().items() if 'seed' in name}
    assert set(found) == {'full_seed0', 'random-3_seed0', 'complexity-top-3_seed0'}
    for name, block in found.items():
        assert block['type'] == 'PixelShuffleWarmupDataset' and block['stop'] == {'iter': 1}
        chosen = block['dataset']
        assert (chosen['type'] == 'InfluenceSubsetDataset') == (name != 'full_seed0')
        reader = chosen.get('dataset', chosen)
        assert reader['type'] == 'GaussianDenoisingDataset' and reader['dataroot_gt'] == str(here / 'train')
    winner = read(RESULTS / 'winner.yml')['datasets']['train']
    assert winner['type'] == 'PixelShuffleWarmupDataset' and winner['stop'] == {'iter': 10}
    assert main(['train', '-opt', str(RESULTS / 'winner.yml'), '--check']) == 0


def test_the_best_checkpoint_is_chosen_on_one_set_and_measured_on_another(here: Path) -> None:
    lay_out(here)
    found = compare('--sets', 'random', '--sizes', '3', '--seeds', '1', '--iterations', '4', '--checkpoint', 'best')
    training, measuring = option_files().values()
    assert training['datasets']['val']['range'] == [3, 4] and set(training['datasets']) == {'train', 'val'}
    assert measuring['datasets']['test']['range'] == [5, 6]
    assert measuring['path']['pretrain_network_g'] == str(here / made_by('random-3', 0, 'models/net_g_best.pth'))
    (metrics,) = RESULTS.glob('runs/results/random-3_*_test/metrics.json')
    images = read(metrics)['per_image']['val_report']
    assert found['rows'][0]['values']['val_report'] == [[images[name]['psnr'] for name in sorted(images)]]
    assert len(done()) == 2


def test_the_set_and_metric_that_the_training_file_names_choose_checkpoints(here: Path) -> None:
    lay_out(here)
    opt = read(here / 'run.yml')
    opt['datasets']['val_2'] = {**opt['datasets']['val'], 'name': 'choosing', 'dataroot_gt': str(here / 'other')}
    write_images(here / 'other', number=2)
    opt['val']['metrics']['ssim'] = {'type': 'calculate_ssim', 'crop_border': 0}
    opt['val']['best'] = {'dataset': 'choosing', 'metric': 'ssim'}
    (here / 'run.yml').write_text(yaml.safe_dump(opt))
    compare('--sets', 'random', '--sizes', '3', '--seeds', '1', '--iterations', '4', '--checkpoint', 'best')
    training, measuring = option_files().values()
    assert training['datasets']['val']['name'] == 'choosing' and training['val']['best'] == {'metric': 'ssim'}
    assert 'choosing' not in {block['name'] for block in measuring['datasets'].values()}


@pytest.mark.slow
def test_every_kind_of_choice(here: Path) -> None:
    lay_out(here)
    sets = ['full', 'fit', 'warmup:0.5', 'random', 'influence:mid', 'matching', 'complexity.std:bottom', 'dynamic']
    sized = '30 %'
    choosing = ['influence.iterations=2', 'matching.iterations=2', 'distilled.steps=2', 'mined.stride=8']
    words = ['--sets', *sets, 'mined', 'mined:influence', 'distilled', '--sizes', '30%']
    found = compare(*words, *SHORT, '--choosing', *choosing, 'mined.influence={iterations: 2}')
    titles = [*sets[:3], *(f'{name} {sized}' for name in [*sets[3:], 'mined', 'mined:influence', 'distilled'])]
    assert [row['title'] for row in found['rows']] == titles
    assert all(row['choosing_seconds'] >= 0 and len(row['values']['val_report'][0]) == 4 for row in found['rows'])
    first = done()
    compare(*words, *SHORT, '--choosing', *choosing, 'mined.influence={iterations: 2}')
    assert done() == first and sum(name.startswith('proxy') for name in first) == 1


# ---- the schedule ----


def test_what_is_counted_in_iterations_keeps_its_share() -> None:
    train = {
        'total_iter': 1000,
        'warmup_iter': 100,
        'optim_g': {'lr': 1},
        'scheduler': {'type': 'x', 'milestones': [500, 900], 'T_max': 1000, 'restarts': [0, 300], 'gamma': 0.5},
    }
    found = at_length(train, 200)
    assert found['total_iter'] == 200 and found['warmup_iter'] == 20 and found['optim_g'] == {'lr': 1}
    scheduler = {'type': 'x', 'milestones': [100, 180], 'T_max': 200, 'restarts': [0, 60], 'gamma': 0.5}
    assert found['scheduler'] == scheduler and train['scheduler']['T_max'] == 1000
    assert at_length(train, 1000) == train
    assert at_length({'total_iter': 10, 'warmup_iter': -1}, 5) == {'total_iter': 5, 'warmup_iter': -1}


def test_periods_keep_their_shares_and_never_end_before_the_training() -> None:
    def periods(given: list[int], full: int, iterations: int) -> list[int]:
        return at_length({'total_iter': full, 'scheduler': {'periods': given}}, iterations)['scheduler']['periods']

    assert periods([250, 250, 500], 1000, 100) == [25, 25, 50]
    assert periods([92000, 208000], 300000, 3000) == [920, 2080]
    assert periods([1, 1, 998], 1000, 10) == [1, 1, 8]
    for iterations in range(3, 60):
        found = periods([92, 108, 100], 300, iterations)
        assert min(found) >= 1 and iterations <= sum(found) <= iterations + 1


def test_the_warm_up_of_pixels_keeps_its_share() -> None:
    assert warmup_at_length({'stop': {'iter': 300}}, 0.1)['stop'] == {'iter': 30}
    assert warmup_at_length({'stop': {'iter': 3}}, 0.01)['stop'] == {'iter': 1}
    assert warmup_at_length({'stop': {'fraction': 0.1}}, 0.1)['stop'] == {'fraction': 0.1}


# ---- the sets that are kept apart ----


def blocks(here: Path, *keys: str) -> dict[str, dict[str, Any]]:
    """A training set and validation sets of six images each."""
    found = {'train': options(here)['datasets']['train']}
    for number, key in enumerate(keys):
        write_images(here / key, number=6, size=36 + 4 * number)
        found[key] = {**options(here)['datasets']['val'], 'name': key, 'dataroot_gt': str(here / key)}
    return {key: {**block, 'phase': key.split('_')[0], 'scale': 1} for key, block in found.items()}


def digests(block: dict[str, Any]) -> set[str]:
    return {digest_of(file) for file in image_files(build_dataset(dict(block), block['name']))}


@pytest.mark.parametrize(('chooses', 'sizes'), [(False, [2, 4]), (True, [2, 2, 2])])
def test_a_single_validation_set_is_split_by_the_content_of_its_files(
    here: Path, chooses: bool, sizes: list[int]
) -> None:
    datasets = blocks(here, 'val')
    roles = roles_of(datasets, None, None, chooses, here)
    assert list(roles.reports) == ['val_report']
    parts = [digests(block) for block in roles.named().values()]
    assert [len(part) for part in parts] == sizes and len(set.union(*parts)) == 6
    for path in sorted((here / 'val').iterdir()):
        path.rename(path.with_name(f'{9 - int(path.stem)}.png'))  # other names in another order, the same parts
    again = roles_of(datasets, None, None, chooses, here / 'again')
    assert [digests(block) for block in again.named().values()] == parts


def test_validation_sets_play_what_their_keys_say(here: Path) -> None:
    datasets = blocks(here, 'val', 'val_target', 'val_report')
    roles = roles_of(datasets, None, None, False, here)
    assert roles.target and roles.target['name'] == 'val_target' and roles.choosing is None
    assert list(roles.reports) == ['val_report'] and not roles.notes
    chosen = roles_of(datasets, None, None, True, here).choosing
    assert chosen and chosen['name'] == 'val'
    del datasets['val_report']
    assert list(roles_of(datasets, None, None, False, here).reports) == ['val']
    assert list(roles_of(datasets, 'val', None, False, here).reports) == ['val_target']
    assert not list(here.glob('*.parquet'))


def test_folders_on_the_command_line_are_aimed_at_and_reported(here: Path) -> None:
    lay_out(here)
    write_images(here / 'others', number=3, size=44)
    write_images(here / 'aim', number=2, size=48)
    words = ['--target', 'aim', '--report', 'others', *SHORT]
    found = compare('--sets', 'influence:top', '--sizes', '3', *words, '--choosing', 'influence.iterations=2')
    assert found['report'] == 'others' and [len(row['values']['others'][0]) for row in found['rows']] == [3, 3]
    assert found['asked']['--target'] == 'aim' and found['notes'] == []
    aimed = option_files()['influence']['datasets']['test']
    assert aimed['dataroot_gt'] == 'aim' and aimed['sigma'] == 25


def test_images_of_two_roles_are_refused(here: Path) -> None:
    lay_out(here)
    shutil.copy('train/003.png', 'val/copy.png')
    with pytest.raises(DataError, match=r'datasets\.train.*val') as raised:
        compare_pipeline(here, ['-opt', 'run.yml', *SETS, *SHORT])
    assert 'train/003.png' in str(raised.value) and 'val/copy.png' in str(raised.value)
    Path('val/copy.png').unlink()
    write_images(here / 'others', number=2, size=44)
    shutil.copy('others/000.png', 'val/copy.png')
    words = ['-opt', 'run.yml', *SETS, *SHORT, '--target', 'val', '--report', 'others']
    with pytest.raises(DataError, match='others/000.png'):
        compare_pipeline(here, words)
    assert not (RESULTS / 'runs/done').exists()


# ---- what is refused ----


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (
            '--sets influense:top --sizes 30%',
            "--sets influense:top: expected a kind of choice, got 'influense'. Did you",
        ),
        ('--sets influence:tip --sizes 30%', "expected top, mid, bottom behind influence:, got 'tip'"),
        ('--sets full:top', "expected nothing behind full:, got 'top'"),
        ('--sets complexity:top', '--sizes: expected the sizes of random, complexity:top, got none'),
        ('--sets random', '--sizes: expected the sizes of random, got none'),
        ('--sets random --sizes 9', '--sizes 9: expected less than the 8 training images, got 9'),
        ('--sets random --sizes 100%', "--sizes: expected a share below 100% as 5%, or a number of images, got '100%'"),
        ('--sets random --sizes 2.5', "got '2.5'"),
        ('--sets random --sizes 2 --seeds 0', '--seeds: expected at least 1, got 0'),
        ('--sets influence --sizes 2 --choosing influense.iterations=2', 'Did you mean influence?'),
        ('--sets influence --sizes 2 --choosing influence.iteration=2', 'Did you mean iterations?'),
        ('--sets influence --sizes 2 --choosing iterations', '--choosing: expected SET.KEY=VALUE'),
        ('--sets warmup:x', '--sets warmup:x: expected a share up to 1, as warmup:0.05'),
        ('--sets warmup:2', "got '2'"),
        (
            '--sets mined:gradd --sizes 2',
            "--sets mined:gradd: expected a criterion of patches, got 'gradd'. Did you mean",
        ),
        ('--sets random --sizes 2 --report nowhere', '--report: expected a validation set'),
        ('--sets random --sizes 2 --set train.total=3', 'train.total'),
    ],
)
def test_what_is_asked_for_wrongly_is_said_in_one_line(here: Path, words: str, text: str, capsys: Capture) -> None:
    lay_out(here)
    assert main(['compare', '-opt', 'run.yml', *words.split(), *SHORT[2:]]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith('basicsr-ext compare: ') and text in said and '\n' not in said
    assert not (RESULTS / 'runs/done').exists()


def test_a_training_that_fails_is_named_with_its_error_and_is_done_later(here: Path, capsys: Capture) -> None:
    lay_out(here, network_g__num_in_ch=3)
    assert main(['compare', '-opt', 'run.yml', *SETS, *SHORT, '--dry-run']) == 2
    assert 'run.yml' not in capsys.readouterr().err and not Path('results').exists()
    assert main(['compare', '-opt', 'run.yml', *SETS, *SHORT]) == 2
    said = capsys.readouterr().err
    assert 'random 30 %, seed 0: expected a run that ends well, got exit code 2: ' in said
    assert '..' not in said and str(RESULTS / 'runs/done/random-30p_seed0_') in said and not made('compare.json')
    assert set(done()) == {'complexity-entropy', 'random-30p_seed0'}
    lay_out(here)
    compare(*SETS, *SHORT)
    assert made('compare.json')


def made(name: str) -> bool:
    return (RESULTS / name).is_file()
