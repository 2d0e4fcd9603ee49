"""From a folder of images to option files that run."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from basicsr_ext.__main__ import main
from basicsr_ext.jobs.init.length import length_of, two_figures
from basicsr_ext.jobs.init.request import seconds
from basicsr_ext.jobs.pace import Pace
from basicsr_ext.options.load import load_options
from tests.helpers.images import write_noise

Capture = pytest.CaptureFixture[str]
OPTION_FILES = ('audit', 'rank_complexity', 'rank_matching', 'rank_influence', 'mine', 'train_matching', 'train_mined')
PAIRS = ('deblur', 'derain', 'dehaze', 'lowlight', 'pairs')
SHORT = ['train.total_iter=4', 'val.val_freq=4', 'logger.print_freq=1', 'train.scheduler.periods=[4]']
SMALL = ['datasets.train.num_worker_per_gpu=0', 'datasets.train.batch_size_per_gpu=2']
SMALL_RESTORMER = ['network_g.dim=8', 'network_g.num_blocks=[1, 1, 1, 1]']


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with `clean/` and `degraded/`: 12 colour images of 40 x 48 pixels each."""
    monkeypatch.chdir(tmp_path)
    names = {f'{number:02d}.png': (40, 48) for number in range(12)}
    write_noise('clean', names)
    write_noise('degraded', names, seed=1)
    return tmp_path


def init(*words: str, code: int = 0) -> None:
    assert main(['init', *words]) == code


def read(name: str) -> list[str]:
    return Path(name).read_text(encoding='utf-8').splitlines()


def contents(root: str, names: list[str]) -> set[bytes]:
    return {sha256(Path(root, name).read_bytes()).digest() for name in names}


def files_below(folder: str = '.') -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob('*')) if path.is_file()}


@pytest.mark.parametrize(
    'words',
    [
        ['denoise'],
        pytest.param(['jpeg'], marks=pytest.mark.slow),
        pytest.param(['sr', '--net', 'EDSR'], marks=pytest.mark.slow),
        pytest.param(['derain', '--lq', 'degraded'], marks=pytest.mark.slow),
    ],
)
def test_what_is_written_is_checked_trains_ranks_and_trains_on_what_was_chosen(
    words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    init(*words, 'clean', '-o', 'mine.yml')
    less = SMALL_RESTORMER if words[0] == 'derain' else ['network_g.num_feat=8']
    if words[0] == 'denoise':  # its proxy comes with the package
        assert main(['rank', '-opt', 'mine_rank_matching.yml', '--check']) == 0
    assert main(['train', '-opt', 'mine.yml', '--check']) == 0
    assert main(['train', '-opt', 'mine.yml', '--set', *SHORT, *SMALL, *less]) == 0
    assert 'Best psnr on val: ' in caplog.text
    scores = Path('experiments/mine/metrics.json').read_text()
    assert all(f'"{key}"' in scores for key in ('val', 'val_target', 'val_report'))
    of_proxy = [] if words[0] == 'denoise' else less
    for name in OPTION_FILES[:5]:
        more = ['--set', *of_proxy] if of_proxy and name in ('rank_matching', 'rank_influence') else []
        assert main([name.partition('_')[0], '-opt', f'mine_{name}.yml', '--check', *more]) == 0
    few = ['rank.iterations=2', 'rank.halves=false']
    assert main(['rank', '-opt', 'mine_rank_matching.yml', '--set', *of_proxy, *few]) == 0
    assert main(['mine', '-opt', 'mine_mine.yml']) == 0
    for name in OPTION_FILES[5:]:
        assert main(['train', '-opt', f'mine_{name}.yml', '--check', '--set', *less]) == 0


@pytest.mark.parametrize('task', PAIRS)
def test_pairs_learn_what_their_files_are(task: str) -> None:
    init(task, 'clean', '--lq', 'degraded', '-o', 'mine.yml')
    opt = load_options('mine.yml')
    train = opt['datasets']['train']
    assert (train['type'], train['dataroot_lq'], opt['scale']) == ('PairedImageDataset', 'degraded', 1)
    assert opt['val']['metrics']['psnr']['test_y_channel'] is (task == 'derain')
    assert main(['train', '-opt', 'mine.yml', '--check', '--set', *SMALL, *SMALL_RESTORMER]) == 0


@pytest.mark.parametrize(
    ('task', 'net', 'scale'),
    [
        ('denoise', 'DnCNN', 1),
        ('denoise', 'FlexIR', 1),
        ('jpeg', 'SwinIR', 1),
        ('sr', 'SwinIR', 3),
        ('sr', 'FlexIR', 4),
    ],
)
def test_every_network_takes_what_the_file_gives_it(task: str, net: str, scale: int) -> None:
    write_noise('large', {f'{number}.png': (80, 72) for number in range(8)})
    init(task, 'large', '--net', net, '-o', 'mine.yml', *(['--scale', str(scale)] if scale > 1 else []))
    narrow = (
        [] if net == 'DnCNN' else ['network_g.embed_dim=12', 'network_g.depths=[2, 2]', 'network_g.num_heads=[2, 2]']
    )
    assert main(['train', '-opt', 'mine.yml', '--check', '--set', *SMALL, *narrow]) == 0
    metric = load_options('mine.yml')['val']['metrics']['psnr']
    assert metric['crop_border'] == (scale if task == 'sr' else 0) and metric['test_y_channel'] is (task == 'sr')


def test_the_parts_share_no_content_and_stay_when_files_are_renamed() -> None:
    shutil.copy('clean/03.png', 'clean/copy.png')
    init('denoise', 'clean', '-o', 'mine.yml')
    keys = ('train', 'val', 'val_target', 'val_report')
    before = [contents('clean', read(f'mine_files/{key}.txt')) for key in keys]
    assert sum(map(len, before)) == len(set().union(*before)) == 12 and all(before)
    assert sum(len(read(f'mine_files/{key}.txt')) for key in keys) == 13
    os.rename('clean/00.png', 'clean/zz.png')
    init('denoise', 'clean', '-o', 'other.yml')
    assert before == [contents('clean', read(f'other_files/{key}.txt')) for key in keys]


def test_images_of_the_target_and_of_the_validation_are_not_trained_on(capsys: Capture) -> None:
    write_noise('val', {f'v{number}.png': (40, 40) for number in range(5)}, seed=2)
    write_noise('aim', {f'a{number}.png': (40, 40) for number in range(2)}, seed=3)
    shutil.copy('val/v0.png', 'clean/of_val.png')
    shutil.copy('aim/a0.png', 'clean/of_target.png')
    shutil.copy('aim/a1.png', 'val/of_target.png')
    init('denoise', 'clean', '--val', 'val', '--target', 'aim', '-o', 'mine.yml')
    assert '2 of clean are the same files as in --val or --target' in capsys.readouterr().out
    assert read('mine_files/train.txt') == [f'{number:02d}.png' for number in range(12)]
    assert read('mine_files/val_target.txt') == ['a0.png', 'a1.png']
    dealt = [read(f'mine_files/{key}.txt') for key in ('val', 'val_report')]
    assert sorted(sum(dealt, [])) == read('mine_files/held_out.txt') == [f'v{number}.png' for number in range(5)]
    ranking = load_options('mine_rank_influence.yml')['datasets']['test']
    assert ranking['dataroot_gt'] == 'aim' and ranking['color'] == 'gray'


def test_odd_folders_are_understood(capsys: Capture) -> None:
    """Nested, mixed in kind, colour and size, with names that YAML and lists have to quote, and broken images."""
    root = Path('my photos: 1#2, [été]')
    names = [
        'a b.png',
        'sub/ö: 1.jpg',
        'sub/deep/#3.bmp',
        "'q'.tif",
        '1e3.webp',
        'no.png',
        'x{y}.png',
        'two  blanks.png',
    ]
    write_noise(root, {name: (50 + number, 70) for number, name in enumerate(names)})
    grey = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    Image.fromarray(grey).save(root / 'grey.png')
    cv2.imwrite(str(root / 'deep.png'), np.random.default_rng(1).integers(0, 65536, (60, 60, 3), dtype=np.uint16))
    write_noise(root, {'icon.png': (8, 8)})
    (root / 'broken.png').write_bytes(b'no image')
    (root / 'cut.jpg').write_bytes((root / 'sub/ö: 1.jpg').read_bytes()[:-200])
    (root / 'notes.txt').write_text('mine')
    Path('out: #1').mkdir()
    init('denoise', str(root), '-o', 'out: #1/é 1e3.yml')
    said = capsys.readouterr().out
    assert "train -opt 'out: #1/é 1e3.yml'" in said
    assert '10 images in 3 folders: 6 PNG, ' in said and '1 grey, 9 colour' in said
    assert '1 of more than 8 bits' in said and '4 left out: ' in said
    for name in (
        'broken.png (damaged, or no image)',
        'cut.jpg (it ends early)',
        'icon.png (8 x 8',
        'notes.txt (no image',
    ):
        assert name in said
    assert main(['train', '-opt', 'out: #1/é 1e3.yml', '--check', '--set', *SMALL]) == 0
    assert main(['rank', '-opt', 'out: #1/é 1e3_rank_matching.yml', '--check']) == 0


def test_grey_images_train_in_grey_unless_the_network_needs_colour() -> None:
    for path in sorted(Path('clean').iterdir()):
        Image.open(path).convert('L').save(path)
    init('jpeg', 'clean', '-o', 'mine.yml', '--quality', '30')
    opt = load_options('mine.yml')
    assert opt['datasets']['val_report'] | {'color': 'gray', 'quality': 30} == opt['datasets']['val_report']
    assert opt['network_g']['num_in_ch'] == 1
    init('sr', 'clean', '-o', 'other.yml')
    assert load_options('other.yml')['datasets']['train']['color'] == 'rgb'


def test_of_two_images_of_one_name_the_first_is_taken(capsys: Capture) -> None:
    write_noise('clean', {'03.jpg': (40, 40)}, seed=9)
    init('denoise', 'clean', '-o', 'mine.yml')
    assert '1 left out: 03.png (03.jpg has its name)' in capsys.readouterr().out


def test_an_image_without_partner_is_left_out(capsys: Capture) -> None:
    os.remove('degraded/04.png')
    write_noise('degraded', {'05.png': (40, 40)})
    write_noise('clean', {'below/06.png': (40, 48), 'a b.png': (40, 48)}, seed=5)
    init('derain', 'clean', '--lq', 'degraded', '-o', 'mine.yml')
    said = capsys.readouterr().out
    for name in (
        '04.png (no degraded',
        '05.png (40 x 48 for a degraded 40 x 40)',
        '06.png (in a folder',
        'a b.png (a bl',
    ):
        assert name in said


def test_small_images_set_the_size_of_patches_but_one_of_twenty(capsys: Capture) -> None:
    write_noise('many', {f'{number:02d}.png': (52 if number else 33, 90) for number in range(25)})
    init('denoise', 'many', '-o', 'mine.yml')
    assert load_options('mine.yml')['datasets']['train']['gt_size'] == 48
    assert '1 left out: 00.png (33 x 90, below 48)' in capsys.readouterr().out


# ---- what is refused ----


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (['sr', 'clean', '--net', 'IRCNN'], '--net: expected a network for sr at scale 2: EDSR, SwinIR, FlexIR, got'),
        (['denoise', 'clean', '--net', 'EDSR'], 'IRCNN, DnCNN, SwinIR, Restormer, FlexIR, got'),
        (['derain', 'clean'], '--lq: expected the degraded images, as derain learns from pairs of files, got none'),
        (['denoise', 'clean', '--lq', 'degraded'], '--lq: expected none with denoise'),
        (['derain', 'clean', '--lq', 'degraded', '--val', 'clean'], '--val_lq: expected the degraded images'),
        (['derain', 'clean', '--lq', 'degraded', '--val_lq', 'degraded'], '--val: expected the clean images'),
        (['jpeg', 'clean', '--sigma', '5'], '--sigma: expected none with jpeg'),
        (['jpeg', 'clean', '--quality', '5.5'], '--quality: expected a whole number from 1 to 100'),
        (['denoise', 'clean', '--sigma', 'nan'], '--sigma: expected a number from 0 to 255'),
        (['denoise', 'clean', '--scale', '2'], '--scale: expected none with denoise'),
        (['sr', 'clean', '--scale', '5'], '--scale: expected 2 or 3 or 4, got 5'),
        (['denoise', 'clean', '--budget', '5'], '--budget: expected a time such as 90s, 30m or 2h'),
        (['denoise', 'missing'], "FOLDER: expected a folder, got 'missing'"),
        (['denoise', 'empty'], 'FOLDER: expected images'),
        (['denoise', 'clean', '--val', 'few'], '--val: expected at least 3 images of different content'),
        (['denoise', 'few'], 'FOLDER: expected at least'),
        (['denoise', 'clean', '--val', 'clean'], 'FOLDER: expected at least 4 images to train on that are not'),
        (['denoise', 'clean', '-o', 'mine.txt'], '-o: expected a file NAME.yml'),
    ],
)
def test_what_is_refused_writes_nothing(words: list[str], text: str, capsys: Capture) -> None:
    Path('empty').mkdir()
    write_noise('few', {'0.png': (40, 40), '1.png': (40, 40)})
    before = files_below()
    init('-o', 'mine.yml', *words, code=2)
    assert text in capsys.readouterr().err and files_below() == before


def test_the_same_call_writes_nothing_anew_and_another_one_is_refused(capsys: Capture) -> None:
    init('denoise', 'clean', '-o', 'mine.yml')
    before = files_below()
    times = {name: os.stat(name).st_mtime_ns for name in before}
    init('denoise', 'clean', '-o', 'mine.yml')
    assert {name: os.stat(name).st_mtime_ns for name in files_below()} == times
    init('denoise', 'clean', '-o', 'mine.yml', '--sigma', '50', code=2)
    assert 'expected none of the files to write, or the same ones' in capsys.readouterr().err
    Path('mine_files/more.txt').touch()
    init('denoise', 'clean', '-o', 'mine.yml', code=2)
    os.remove('mine_files/more.txt')
    assert files_below() == before


def test_a_file_of_somebody_else_is_refused_before_anything_is_written(capsys: Capture) -> None:
    Path('mine_audit.yml').write_text('name: of somebody else')
    before = files_below()
    init('denoise', 'clean', '-o', 'mine.yml', code=2)
    assert 'mine_audit.yml' in capsys.readouterr().err and files_below() == before


@pytest.mark.parametrize('moves', [0, 1, 4])
def test_a_call_that_was_killed_is_completed_by_the_same_one(moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    init('denoise', 'clean', '-o', 'mine.yml')
    whole = files_below()
    for path in Path().glob('mine*'):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    rename, done = os.rename, []

    def killed(source: str, target: str) -> None:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(rename(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(os, 'rename', killed)
        init('denoise', 'clean', '-o', 'mine.yml', code=130)
    assert not Path('mine.yml').exists() and not list(Path().glob('.mine*'))
    write_noise('.mine_init', {'left.png': (8, 8)})  # by SIGKILL
    init('denoise', 'clean', '-o', 'mine.yml')
    assert files_below() == whole


# ---- the budget ----


def test_a_budget_decides_the_iterations_and_is_kept_by_the_same_call(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('basicsr_ext.jobs.pace.TRIED', 0.1)
    init('denoise', 'clean', '-o', 'mine.yml', '--budget', '20s')
    first, total = files_below(), load_options('mine.yml')['train']['total_iter']
    assert total >= 100 and total == two_figures(total)
    assert 's each on' in Path('mine.yml').read_text()
    schedule = load_options('mine.yml')
    assert schedule['train']['scheduler']['periods'] == [total] and schedule['val']['val_freq'] <= total
    init('denoise', 'clean', '-o', 'mine.yml', '--budget', '20s')
    assert files_below() == first
    init('denoise', 'clean', '-o', 'mine.yml', '--budget', '30s', code=2)
    assert '-o: expected a new file' in capsys.readouterr().err and files_below() == first


def test_validations_take_a_quarter_of_the_time_at_most_and_iterations_the_rest() -> None:
    pace = Pace(before=10, iteration=0.5, validation=20, saving=0, device='here')
    length = length_of(pace, 1010)
    assert (length.validations, length.total_iter, length.val_freq) == (10, 1600, 160)
    short = length_of(pace, 130)
    assert (short.validations, short.total_iter) == (1, 200)
    assert length_of(pace, 30).total_iter == 100 and 'teach nothing' in length_of(pace, 30).said


def test_times_and_figures_are_read_and_rounded() -> None:
    assert [seconds(text) for text in ('90s', '30m', '2h', '1.5m')] == [90, 1800, 7200, 90]
    assert [two_figures(value) for value in (0.2, 7.4, 99.6, 1449, 123_456)] == [0, 7, 100, 1400, 120_000]
