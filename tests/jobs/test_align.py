"""The job `align` from its option file to the folder of images: values, kill and resume, what it refuses."""

import json
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset

from basicsr_ext.__main__ import main
from basicsr_ext.images import new_folder
from basicsr_ext.runtime import interrupt
from basicsr_ext.selection.manifest import Item, write_manifest
from tests.helpers import jobs
from tests.helpers.images import write_images
from tests.helpers.processes import run, stop_when

Options = dict[str, Any]
RESULT = Path('results/small')
UNFINISHED = RESULT / 'unfinished'
COMMAND = ['-m', 'basicsr_ext', 'align', '-opt', 'align.yml']


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with eight colour images in gt/ and noisy ones in lq/, and a ranking of them."""
    monkeypatch.chdir(tmp_path)
    write_images(Path('gt'), color=True)
    Path('lq').mkdir()
    for path in Path('gt').iterdir():
        noise = np.random.default_rng(0).integers(-20, 20, (40, 40, 3))
        cv2.imwrite(f'lq/{path.name}', np.clip(cv2.imread(str(path)) + noise, 0, 255).astype(np.uint8))
    items = [Item(f'{index:03d}.png', 40, 40) for index in range(8)]
    write_manifest('ranking.parquet', items, {'rank': [3, 8, 1, 2, 5, 6, 7, 4]}, {'method': 'complexity'})
    return tmp_path


def reader(color: str = 'rgb', pairs: bool = False) -> Options:
    if pairs:
        return {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}
    return {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': color}


def options(color: str = 'rgb', pairs: bool = False, **align: Any) -> Options:
    """Three of eight images are tuned."""
    subset = {'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', 'subset': 'top', 'size': 3}
    return {
        'name': 'small',
        'num_gpu': 0,
        'manual_seed': 3,
        'align': {'iterations': 6, 'patch_size': 24, 'batch_size': 2, 'lr': 1e-3, 'pixel_weight': 1, **align},
        'datasets': {
            'train': {'name': 'subset', **subset, 'dataset': reader(color, pairs)},
            'target': {'name': 'full', **reader(color, pairs)},
        },
        'network_tuner': {
            'type': 'DistributionTuner',
            'in_channels': 3 if color == 'rgb' else 1,
            'width': 6,
            'depth': 3,
        },
    }


write = partial(jobs.write_options, 'align')


def align(opt: Options, *arguments: str) -> Options:
    """Run the job anew; returns its statistics."""
    shutil.rmtree('results', ignore_errors=True)
    assert main(['align', '-opt', write(opt), *arguments]) == 0
    assert not UNFINISHED.exists()
    found: Options = json.loads((RESULT / 'statistics.json').read_text())
    return found


def refused(opt: Options, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    said = jobs.refused('align', opt, capsys, *arguments)
    assert not Path('results').exists()
    return said


def files() -> dict[str, bytes]:
    """Everything that was written but the log."""
    found = (path for path in sorted(RESULT.rglob('*')) if path.is_file() and path.suffix != '.log')
    return {str(path): path.read_bytes() for path in found}


@pytest.mark.parametrize('color', ['rgb', 'gray'])
def test_what_is_written(folder: Path, color: str) -> None:
    found = align(options(color, iterations=30))
    names = ['000.png', '002.png', '003.png']
    assert sorted(path.name for path in (RESULT / 'gt').iterdir()) == names
    channels = 3 if color == 'rgb' else 1
    assert (RESULT / 'meta_info.txt').read_text().splitlines() == [f'{name} (40,40,{channels})' for name in names]
    flag = cv2.IMREAD_COLOR if color == 'rgb' else cv2.IMREAD_GRAYSCALE
    changes = [
        np.abs(cv2.imread(str(RESULT / 'gt' / name), flag).astype(int) - cv2.imread(f'gt/{name}', flag))
        for name in names
    ]
    assert 1 <= np.max(changes) <= 8
    assert found['levels'] == {'mean': pytest.approx(np.mean(changes)), 'largest': np.max(changes)}
    assert found['kl']['after'] < found['kl']['before']
    assert found['images'] == {'full': 8, 'subset': 3, 'tuned': 3}
    assert set(found['diversity']) == {'full', 'subset', 'tuned'} and len(found['channels']) == 15
    for name in ('alignment.png', 'diversity.png'):
        assert (RESULT / name).read_bytes().startswith(b'\x89PNG')
    assert not (RESULT / 'lq').exists() and found['input'] is None
    net = build_network(dict(options(color)['network_tuner']))
    net.load_state_dict(torch.load(RESULT / 'network_tuner.pth', weights_only=True)['params'])


@pytest.mark.parametrize('kind', ['moved', 'kept'])
def test_the_inputs_of_pairs_move_with_their_images_or_are_kept(folder: Path, kind: str) -> None:
    found = align(options(pairs=True, iterations=30, **({'input': kind} if kind == 'kept' else {})))
    assert found['input'] == kind and found['made_from']['options']['align']['input'] == kind
    for name in ('000', '002', '003'):
        before, after, lq = (cv2.imread(f'{path}/{name}.png').astype(int) for path in ('gt', RESULT / 'gt', 'lq'))
        assert np.abs(after - before).max() > 0
        expected = np.clip(lq + after - before, 0, 255) if kind == 'moved' else lq
        np.testing.assert_array_equal(cv2.imread(str(RESULT / f'lq/{name}.png')), expected)
    said = {'moved': 'changed in the same way', 'kept': 'learns to tune too'}[kind]
    assert said in (RESULT / 'report.html').read_text()


def test_an_alignment_of_a_version_that_kept_inputs_is_not_continued(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_from = align(options(pairs=True))['made_from']
    del made_from['options']['align']['input']
    shutil.rmtree('results')
    UNFINISHED.mkdir(parents=True)
    (UNFINISHED / 'identity.json').write_text(json.dumps(made_from))
    assert main(['align', '-opt', write(options(pairs=True))]) == 2
    assert "options.align.input: None became 'moved'" in capsys.readouterr().err


def test_the_folder_of_pairs_is_a_dataset_of_basicsr(folder: Path) -> None:
    align(options(pairs=True, input='kept'))
    block = {
        'type': 'PairedImageDataset', 'name': 'made', 'phase': 'val', 'scale': 1, 'io_backend': {'type': 'disk'},
        'dataroot_gt': str(RESULT / 'gt'), 'dataroot_lq': str(RESULT / 'lq'),
        'meta_info_file': str(RESULT / 'meta_info.txt'),
    }  # fmt: skip
    dataset = build_dataset(block)
    assert len(dataset) == 3
    for index, name in enumerate(('000', '002', '003')):
        np.testing.assert_array_equal(cv2.imread(str(RESULT / f'lq/{name}.png')), cv2.imread(f'lq/{name}.png'))
        assert dataset[index]['gt'].shape == dataset[index]['lq'].shape == (3, 40, 40)


def test_names_become_flat_as_basicsr_looks_for_lq_in_no_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In pairs listed with folders, and in groups."""
    Path('gt/deep').mkdir()
    for name in ('000', '001'):
        Path(f'gt/{name}.png').rename(f'gt/deep/{name}.png')
    Path('names.txt').write_text('deep/000.png (40,40,3)\ndeep/001.png (40,40,3)\n')
    listed = {**reader(pairs=True), 'meta_info_file': 'names.txt'}
    Path('noisy').mkdir()
    Path('gt/002.png').rename('noisy/0 2.png')
    blank = {**reader(pairs=True), 'dataroot_gt': 'noisy', 'dataroot_lq': 'noisy'}
    opt = options()
    opt['datasets']['train'] = {
        'name': 'all', 'type': 'AllInOneDataset', 'datasets': {'listed': listed, 'blank': blank},
    }  # fmt: skip
    opt['align']['input'] = 'kept'
    align(opt)
    names = ['blank_0_2.png', 'listed_deep_000.png', 'listed_deep_001.png']
    for kind in ('gt', 'lq'):
        assert sorted(path.name for path in (RESULT / kind).iterdir()) == names
    made = build_dataset(
        {
            'type': 'PairedImageDataset', 'name': 'made', 'phase': 'val', 'scale': 1, 'io_backend': {'type': 'disk'},
            'dataroot_gt': str(RESULT / 'gt'), 'dataroot_lq': str(RESULT / 'lq'),
            'meta_info_file': str(RESULT / 'meta_info.txt'),
        }
    )  # fmt: skip
    assert [Path(made[index]['lq_path']).name for index in range(3)] == names
    np.testing.assert_array_equal(cv2.imread(str(RESULT / 'lq' / names[1])), cv2.imread('lq/000.png'))
    opt['datasets']['train'] = {'name': 'all', **reader(), 'meta_info_file': 'twice.txt'}
    shutil.rmtree('results')
    shutil.copy('gt/deep/000.png', 'gt/deep_000.png')
    Path('twice.txt').write_text('deep/000.png\ndeep_000.png\n')
    message = 'names that differ where / and blanks become _, got deep/000.png; deep_000.png'
    assert message in refused(opt, capsys)


def test_images_without_pairs_have_no_lq(folder: Path) -> None:
    opt = options()
    single = {'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}
    opt['datasets'] = {'train': {'name': 'a', **single}, 'target': {'name': 'b', **single}}
    assert align(opt)['images']['tuned'] == 8
    assert len(list((RESULT / 'gt').iterdir())) == 8 and not (RESULT / 'lq').exists()


def test_the_writing_can_be_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or none of the folders appear; the next start ends as if nothing had happened."""
    align(options(pairs=True))
    expected = files()
    shutil.rmtree('results')
    put, stopped = new_folder.FolderWriter.put, []

    def once(writer: Any, name: str, image: np.ndarray) -> None:
        put(writer, name, image)
        stopped.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(new_folder.FolderWriter, 'put', once)
        patch.setattr(interrupt, 'requested', lambda: bool(stopped))
        assert main(['align', '-opt', 'align.yml']) == 0  # no signal came
    assert stopped == ['000', '000'] and UNFINISHED.exists()
    assert not (RESULT / 'gt').exists() and not (RESULT / 'lq').exists()
    assert main(['align', '-opt', 'align.yml']) == 0
    assert files() == expected


def test_whole_images_and_a_restoration_network(folder: Path) -> None:
    """With Eq. 4's own target the restoration loss alone moves the images: away from sharp ones."""
    torch.manual_seed(0)
    block = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
    torch.save({'params': build_network(dict(block)).state_dict()}, 'net.pth')
    opt = {**options(patch_size=None, restoration_weight=1.0, target='subset', iterations=20), 'network_g': block}
    opt['path'] = {'pretrain_network_g': 'net.pth'}
    found = align(opt)
    assert found['levels']['largest'] > 0
    assert set(found['made_from']['weights']) == {'network_encoder', 'network_g'}
    weaker = align({**opt, 'align': {**opt['align'], 'restoration_weight': 1e-6, 'pixel_weight': 1000}})
    assert weaker['levels']['mean'] < found['levels']['mean']


def test_it_is_repeated_exactly_and_not_done_twice(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    align(options())
    first = files()
    align(options())
    assert files() == first
    caplog.clear()
    UNFINISHED.mkdir()  # of a run killed at its very end
    assert main(['align', '-opt', write(options())]) == 0
    assert 'is already there' in caplog.text and not UNFINISHED.exists()


def test_killed_and_resumed_gives_the_same_files(folder: Path) -> None:
    """By a script that works slowly, so that there is time to kill it."""
    opt = options(iterations=12)
    align(opt)
    expected = files()
    shutil.rmtree('results')
    Path('slow.py').write_text(
        'import sys, time\n'
        'import basicsr_ext\n'
        'from basicsr_ext.__main__ import main\n'
        'from basicsr_ext.alignment.tuning import Tuning\n'
        'from basicsr_ext.runtime.saved_state import SavedState\n'
        'losses, offer = Tuning.losses, SavedState.offer\n'
        'def slowly(self, step):\n'
        '    time.sleep(0.1)\n'
        '    return losses(self, step)\n'
        'def at_once(self, make_state):\n'
        '    self.interval = 0\n'
        '    offer(self, make_state)\n'
        'Tuning.losses, SavedState.offer = slowly, at_once\n'
        "sys.exit(main(['align', *sys.argv[1:]]))\n"
    )
    state = UNFINISHED / 'tuner.pth'

    def is_past(step: int) -> bool:
        return state.is_file() and torch.load(state, weights_only=True)['step'] >= step

    codes, steps = [], [0]
    for number in (signal.SIGKILL, signal.SIGTERM):
        goes_on = partial(is_past, steps[-1] + 2)
        codes.append(stop_when(goes_on, number, ['slow.py', '-opt', 'align.yml'], folder))
        steps.append(torch.load(state, weights_only=True)['step'])
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM] and steps[-1] < 12
    assert not (RESULT / 'statistics.json').exists()
    assert f'Continuing {UNFINISHED.resolve()}' in run(COMMAND, folder)
    assert files() == expected


@pytest.mark.parametrize('name', ['gt', 'lq', 'meta_info.txt'])
def test_images_that_are_there_already_are_kept(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Even if they are those that the job reads."""
    RESULT.mkdir(parents=True)
    if name == 'gt':
        Path('gt').rename(RESULT / 'gt')
        opt = options()
        for block in (opt['datasets']['train']['dataset'], opt['datasets']['target']):
            block['dataroot_gt'] = str(RESULT / 'gt')
    else:
        shutil.copytree('lq', RESULT / name)
        opt = options()
    before = files()
    for more in ([], ['--check']):
        assert main(['align', '-opt', write(opt), *more]) == 2
        assert f'results/small: expected none of gt, lq, meta_info.txt, got {name}.' in capsys.readouterr().err
    assert files() == before


@pytest.mark.parametrize('content', [b'', b'{}', b'[1]', b'\xff', b'{"made_from": 3}', b'[' * 9999])
def test_damaged_results_are_told(folder: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    align(options())
    (RESULT / 'statistics.json').write_bytes(content)
    before = files()
    assert main(['align', '-opt', 'align.yml']) == 2
    assert 'statistics.json: expected a note of how it was made' in capsys.readouterr().err
    assert files() == before


def test_damaged_states_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(RESULT, ignore_errors=True)
    with monkeypatch.context() as patch:
        patch.setattr('basicsr_ext.jobs.align.write_aligned', lambda *_: 1 / 0)
        patch.setattr('basicsr_ext.runtime.saved_state.SavedState.offer', lambda saved, make: saved.save(make()))
        assert main(['align', '-opt', write(options())]) == 1
    (RESULT / '.network_tuner.pth.4194305.tmp').write_bytes(b'of a process that was killed')
    for name in ('tuner.pth', 'target.pth'):
        good = (UNFINISHED / name).read_bytes()
        state = torch.load(UNFINISHED / name, weights_only=True)
        bad = [b'', good[:-100], good[:100], b'x' * 500]
        changed: list[Any] = [{}, [1], {'other': 1}]
        changed += [{**state, key: value} for key in state for value in (None, 10**9, {})]
        for content in bad + changed:
            if isinstance(content, bytes):
                (UNFINISHED / name).write_bytes(content)
            else:
                torch.save(content, UNFINISHED / name)
            assert main(['align', '-opt', 'align.yml']) == 2, content
            assert f'{name}: expected the state of this work, got' in capsys.readouterr().err, content
        (UNFINISHED / name).write_bytes(good)
    for content in (b'', b'[]', b'\xff'):
        (UNFINISHED / 'identity.json').write_bytes(content)
        assert main(['align', '-opt', 'align.yml']) == 2
        assert 'identity.json: expected a note of how it was made' in capsys.readouterr().err
    (UNFINISHED / 'identity.json').unlink()
    assert main(['align', '-opt', 'align.yml']) == 2
    assert 'expected unfinished work with identity.json' in capsys.readouterr().err
    assert not list(RESULT.glob('.*.tmp'))


def test_a_check_writes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(['align', '-opt', write(options()), '--check']) == 0
    assert '3 images and the first one are sound' in caplog.text and not Path('results').exists()


@pytest.mark.parametrize(('number', 'key'), [(3, 'train'), (5, 'target')])
@pytest.mark.parametrize('pairs', [False, True])
def test_a_check_decodes_all_images(
    folder: Path, capsys: pytest.CaptureFixture[str], number: int, key: str, pairs: bool
) -> None:
    path = Path(f'{"lq" if pairs else "gt"}/00{number}.png')
    path.write_bytes(path.read_bytes()[:-200])
    error = refused(options(pairs=pairs), capsys, '--check')
    assert f'datasets.{key}: expected images that decode, got' in error and path.name in error


def test_a_result_of_other_options_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    align(options())
    before = files()
    assert main(['align', '-opt', write(options(kl_weight=2.0))]) == 2
    assert 'options.align.kl_weight: 1.0 became 2.0' in capsys.readouterr().err
    assert files() == before


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'align': {'iteration': 3}}, "align.iteration: expected a known key, got 'iteration'. Did you mean"),
        ({'align': {'lr': 0}}, 'align.lr: expected more than 0, got 0'),
        ({'align': {'target': 'half'}}, "align.target: expected 'full' or 'subset', got 'half'"),
        ({'align': {'target': 'subset'}}, 'align.target: expected full, got subset without restoration_weight'),
        ({'align': {'restoration_weight': 1.0}}, 'network_g: expected a network (restores, for `restoration_weight`)'),
        ({'align': {'patch_size': 41}}, 'datasets.train: expected images of at least 41 x 41 pixels'),
        ({'align': {'patch_size': 8}}, 'FilterBankEncoder: expected at least 16 x 16 pixels'),
        (
            {'network_tuner': {'type': 'DistributionTuner', 'in_channels': 1}},
            'network_tuner: expected input that DistributionTuner takes, got (1, 3, 24, 24)',
        ),
        ({'network_tuner': {'type': 'DistributionTuna'}}, "network_tuner.type: expected a name in the registry 'arch'"),
        ({'network_encoder': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3}}, 'a network with features(), got IRC'),
        ({'path': {'pretrain_network_encodr': 'x'}}, 'path.pretrain_network_encodr: expected a known key'),
        ({'path': {'pretrain_network_encoder': 'x'}}, "path.pretrain_network_encoder: expected a file, got 'x'"),
        ({'network_x': {'type': 'IRCNN'}}, 'network_x: expected a known key'),
        ({'datasets': {key: {'name': key, **reader(pairs=True), 'color': 'y'} for key in ('train', 'target')}},
         'datasets.train.color: expected rgb, since the result is read as colour again, got y'),
        ({'datasets': {'train': {'name': 'a', **reader()}}}, 'datasets: expected train and target, got train. Name'),
        ({'datasets': {'train': {'name': 'a'}, 'target': {'name': 'b'}}}, 'datasets.target.type: expected a value'),
    ],
)  # fmt: skip
def test_refusals(folder: Path, capsys: pytest.CaptureFixture[str], change: Options, message: str) -> None:
    opt = options()
    opt.update({**change, 'align': {**opt['align'], **change.get('align', {})}})
    assert message in refused(opt, capsys)
