"""The job `audit` from its option file to the manifest: what it finds, kill and resume, several processes, refusals."""

import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pyarrow import parquet

from basicsr_ext.__main__ import main
from basicsr_ext.jobs.inspect import inspect_pipeline
from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.audit.noise_finding import noise
from basicsr_ext.selection.manifest import Item, Manifest, read_manifest, write_manifest
from tests.helpers import jobs
from tests.helpers.images import pack_lmdb, photo
from tests.helpers.processes import run, run_ranks, stop_when

Options = dict[str, Any]
NUMBER = 40
RESULT, UNFINISHED = Path('results/small/audit.parquet'), Path('results/small/unfinished')
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'color': 'gray'}
PAIRED = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}
OF_PAIRS = ['gain', 'offset', 'partner', 'misfit', 'shift']


def name_of(number: int) -> str:
    return f'{number:03}.png'


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.rint(image + np.random.default_rng(1).normal(0, sigma, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with photographs in gt/, and others in test/."""
    monkeypatch.chdir(tmp_path)
    for kind, first, number in (('gt', 0, NUMBER), ('test', 500, 5)):
        Path(kind).mkdir()
        for each in range(number):
            cv2.imwrite(f'{kind}/{name_of(each)}', photo(first + each))
    return tmp_path


def spoil() -> dict[int, str]:
    """Spoil some images; number -> what should be found."""
    cv2.imwrite('gt/003.png', noisy(photo(3), 15))
    cv2.imwrite('gt/005.png', cv2.imdecode(cv2.imencode('.jpg', photo(5), [cv2.IMWRITE_JPEG_QUALITY, 15])[1], 0))
    cv2.imwrite('gt/008.png', cv2.GaussianBlur(photo(8), (0, 0), 2))
    cv2.imwrite('gt/013.png', cv2.add(photo(13), 140))
    cv2.imwrite('gt/021.png', np.ascontiguousarray(noisy(photo(2), 1)[:, ::-1]))
    cv2.imwrite('gt/034.png', np.full((60, 60), 120, np.uint8))
    return {3: 'noise', 5: 'blockiness', 8: 'cutoff', 13: 'clipping', 21: 'duplicate', 34: 'flatness'}


def options(dataset: Options = GAUSSIAN, test: bool = False, **audit: Any) -> Options:
    datasets = {'train': {'name': 'train', **dataset}}
    if test:
        datasets['test'] = {'name': 'test', **GAUSSIAN, 'dataroot_gt': 'test'}
    return {'name': 'small', 'audit': audit, 'datasets': datasets}


write = partial(jobs.write_options, 'audit')
refused = partial(jobs.refused, 'audit')


def audit(opt: Options) -> Manifest:
    """Run the job anew."""
    shutil.rmtree('results', ignore_errors=True)
    assert main(['audit', '-opt', write(opt)]) == 0
    assert not UNFINISHED.exists()
    return read_manifest(RESULT)


def reasons(manifest: Manifest) -> dict[str, str]:
    """Of the suspect images, by their names."""
    found = dict(zip(manifest.column('path'), manifest.column('reason'), strict=True))
    suspect = dict(zip(manifest.column('path'), manifest.column('suspect'), strict=True))
    assert all(bool(reason) == suspect[path] for path, reason in found.items())
    return {path: reason for path, reason in found.items() if reason}


# ---- what it finds ----


def test_sound_images_are_not_suspect(folder: Path) -> None:
    manifest = audit(options(test=True))
    assert reasons(manifest) == {} and manifest.holds_audit and not manifest.holds_patches
    assert set(manifest.column('duplicate_of')) == set(manifest.column('leak_of')) == {''}


def test_every_spoilt_image_is_found_and_the_reason_names_it(folder: Path) -> None:
    expected = spoil()
    found = reasons(audit(options()))
    assert set(found) == {name_of(number) for number in expected}
    for number, finding in expected.items():
        assert finding in found[name_of(number)]
    assert found['021.png'].startswith('nearly the same as an earlier image: 002.png (duplicate 0 apart)')


def test_the_columns_hold_the_measures_as_finite_numbers(folder: Path) -> None:
    spoil()
    manifest = audit(options(findings=['noise', 'cutoff', 'duplicate']))
    named = ['path', 'height', 'width', 'damaged', 'noise', 'cutoff', 'duplicate', 'duplicate_of', 'suspect', 'reason']
    assert manifest.names == named and str(parquet.read_table(RESULT)['suspect'].type) == 'bool'
    for path, value in zip(manifest.column('path'), manifest.array('noise'), strict=True):
        assert value == noise(MeasuredImage(cv2.imread(f'gt/{path}', cv2.IMREAD_GRAYSCALE)))
    assert manifest.array('cutoff')[34] == 1  # an even image has none


def test_the_header_says_what_is_usual_and_where_suspect_values_begin(folder: Path) -> None:
    spoil()
    header = audit(options(sensitivity=1.5)).header
    note = header['findings']['noise']
    assert note['usual'] < 3 < note['high'] and note['low'] is None and note['unit'] == 'levels'
    assert header['options']['audit'] == {'findings': None, 'sensitivity': 1.5} and header['method'] == 'audit'


def test_a_leak_of_the_test_images_is_found_mirrored_and_compressed(folder: Path) -> None:
    for number, quality in ((7, 90), (30, 50)):
        image = cv2.imread(f'test/00{number % 4}.png', cv2.IMREAD_GRAYSCALE)
        image = image if number == 7 else np.ascontiguousarray(image[:, ::-1])
        Path(f'gt/{number:03}.png').unlink()
        cv2.imwrite(f'gt/{number:03}.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    manifest = audit(options(test=True, findings=['leak']))
    others = dict(zip(manifest.column('path'), manifest.column('leak_of'), strict=True))
    assert {path: other for path, other in others.items() if other} == {'007.jpg': '003.png', '030.jpg': '002.png'}
    assert set(reasons(manifest)) == {'007.jpg', '030.jpg'}


def test_pairs_that_do_not_match_are_found(folder: Path) -> None:
    Path('lq').mkdir()
    for number in range(NUMBER):
        image = cv2.imread(f'gt/{name_of(number)}', cv2.IMREAD_GRAYSCALE)
        lq = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        lq = {
            1: lambda lq: np.roll(lq, 1, axis=1),
            2: lambda lq: (20 + lq * 0.6).astype(np.uint8),
            3: lambda lq: cv2.add(lq, np.full_like(lq, 25)),
            4: lambda lq: cv2.resize(photo(77), lq.shape[::-1]),
            5: lambda lq: lq[:, :-3],
        }.get(number, lambda lq: lq)(lq)
        cv2.imwrite(f'lq/{name_of(number)}', noisy(lq, 3))
    manifest = audit({**options(PAIRED, findings=OF_PAIRS), 'scale': 2})
    found = reasons(manifest)
    assert set(found) == {name_of(number) for number in (1, 2, 3, 4, 5)}
    for number, finding in ((1, 'shift 1'), (2, 'contrast'), (3, 'brightness'), (4, 'partner'), (5, 'misfit 6 pixels')):
        assert finding in found[name_of(number)]
    assert manifest.array('shift')[manifest.column('path').index('004.png')] == 0  # nothing to compare


def test_degradations_made_on_the_fly_need_no_check_of_pairs(folder: Path) -> None:
    assert not set(OF_PAIRS) & set(audit(options()).names)


def test_damaged_images_are_suspect_and_the_rest_is_measured(folder: Path) -> None:
    Path('gt/002.png').write_bytes(b'no image')
    content = Path('gt/004.png').read_bytes()
    Path('gt/004.png').write_bytes(content[: len(content) // 2])
    manifest = audit(options())
    assert reasons(manifest) == dict.fromkeys(['002.png', '004.png'], 'cannot be decoded')
    assert manifest.array('damaged').sum() == 2 and manifest.items()[2] == Item('002.png', 0, 0)


def test_thresholds_hold_when_two_fifths_are_spoilt(folder: Path) -> None:
    for number in range(0, NUMBER, 5):
        for each in (number, number + 2):
            cv2.imwrite(f'gt/{name_of(each)}', noisy(photo(each), 12))
    found = reasons(audit(options(findings=['noise'])))
    assert set(found) == {name_of(number) for number in range(NUMBER) if number % 5 in (0, 2)}


# ---- other datasets ----


def test_an_lmdb_and_a_stock_dataset_give_the_rows_of_the_folder(folder: Path) -> None:
    spoil()
    pack_lmdb('gt')
    columns = ['noise', 'blockiness', 'duplicate', 'outlier', 'suspect']
    stock = {'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}
    found = []
    for block in (
        GAUSSIAN,
        {**GAUSSIAN, 'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}},
        stock,
    ):
        manifest = audit(options(block))
        rows = sorted(zip(*(manifest.column(name) for name in columns), strict=True), key=repr)
        found.append(rows)
    assert found[0] == found[1]
    assert [row[:2] for row in found[2]] == [row[:2] for row in found[0]]


def test_a_wrapper_that_blurs_shows_in_what_is_found(folder: Path) -> None:
    block = {'type': 'MeanBlurDataset', 'kernel_size': 5, 'dataset': GAUSSIAN}
    manifest = audit(options(block, findings=['cutoff']))
    assert manifest.array('cutoff').max() < 0.65 and manifest.header['findings']['cutoff']['widespread']


# ---- killed, resumed, shared ----

COMMAND = ['-m', 'basicsr_ext', 'audit', '-opt', 'audit.yml']


@pytest.fixture
def many(folder: Path) -> Path:
    for number in range(NUMBER, 100):  # four units
        cv2.imwrite(f'gt/{name_of(number)}', photo(number % 90, 48, 64))
    return folder


def test_neither_workers_nor_processes_change_anything(many: Path) -> None:
    files = []
    for workers in (0, 2):
        audit(options(test=True, workers=workers))
        files.append(RESULT.read_bytes())
    shutil.rmtree('results')
    run_ranks([*COMMAND, '--launcher', 'pytorch'], many)
    assert files[0] == files[1] == RESULT.read_bytes() and not UNFINISHED.exists()


def test_killed_and_resumed_gives_the_same_file(many: Path) -> None:
    """By a script that reads slowly, so that there is time to kill it."""
    audit(options(test=True))
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    slow = jobs.slow_script('audit', 'grey', 0.01)
    codes = []
    for wanted, number in ((1, signal.SIGKILL), (2, signal.SIGTERM)):
        ready = lambda wanted=wanted: len(list(UNFINISHED.glob('[0-9]*'))) >= wanted  # noqa: E731
        codes.append(stop_when(ready, number, [slow, '-opt', 'audit.yml'], many))
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM] and not RESULT.exists()
    assert f'Continuing {UNFINISHED.resolve()}' in run(COMMAND, many)
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


def test_a_finished_audit_is_kept_and_one_of_something_else_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(options())
    before = RESULT.stat().st_mtime_ns
    assert main(['audit', '-opt', write(options(workers=1))]) == 0
    assert RESULT.stat().st_mtime_ns == before
    assert 'options.audit.sensitivity: 1.0 became 2' in refused(options(sensitivity=2.0), capsys)
    cv2.imwrite('gt/000.png', photo(99))
    assert 'train.content' in refused(options(), capsys)


# ---- refused ----


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'findings': ['noise', 'leak']}, 'audit.findings: expected datasets.test with leak, got none.'),
        ({'findings': ['shift']}, 'audit.findings: expected pairs of files with shift, got none. Add them or remove'),
        ({'findings': []}, 'audit.findings: expected different names, at least one, got []'),
        ({'findings': ['nois']}, 'Did you mean noise'),
        ({'sensitivity': 0}, 'audit.sensitivity: expected more than 0, got 0'),
        ({'workers': -1}, 'audit.workers: expected at least 0, got -1'),
    ],
)
def test_what_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], text: str) -> None:
    assert text in refused(options(**change), capsys)
    assert not Path('results').exists()


def test_other_datasets_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = options()
    opt['datasets']['val'] = {'name': 'val', **GAUSSIAN}
    message = 'datasets: expected train, optionally test, got train, val. Name the blocks so.'
    assert message in refused(opt, capsys)
    opt['datasets'] = {'test': opt['datasets']['val']}
    assert message.replace('train, val', 'test') in refused(opt, capsys)


def test_a_folder_of_damaged_images_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path('gt').iterdir():
        path.write_bytes(b'no image')
    assert 'datasets.train: expected images that decode, got none. Replace them.' in refused(options(), capsys)


def test_check_decodes_everything_and_writes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path('gt/002.png').write_bytes(b'no image')
    assert main(['audit', '-opt', write(options(test=True)), '--check']) == 0
    assert 'small: options, 45 images are sound.' in caplog.text and 'Will be suspect: ' in caplog.text
    assert not Path('results').exists()


# ---- what is said and drawn ----


def test_the_log_says_what_was_found_and_what_to_do(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoil()
    audit(options())
    assert 'Suspect: 6 of 40 images.' in caplog.text
    assert '- duplicate: 1 nearly the same as an earlier image (' in caplog.text
    assert '021.png like 002.png (0)' in caplog.text
    assert f'basicsr-ext inspect {RESULT.resolve()}' in caplog.text


def test_inspect_draws_the_worst_and_prints_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil()
    Path('gt/000.png').write_bytes(b'no image')
    audit(options(test=True))
    assert inspect_pipeline('.', [str(RESULT), '--size', '3']) == 0
    printed = capsys.readouterr().out
    assert 'Suspect: 7 of 40 images.' in printed and 'Pictures: results/small/inspect' in printed
    for name in ('gallery.png', 'histograms.png'):
        assert min(cv2.imread(f'results/small/inspect/{name}').shape[:2]) > 300
    assert main(['inspect', str(RESULT), '--keep', '0.5']) == 2
    assert '--keep: expected a manifest of patches, got an audit.' in capsys.readouterr().err
    assert main(['inspect', str(RESULT), '--size', '0']) == 2
    assert '--size: expected at least 1, got 0' in capsys.readouterr().err


def test_inspect_shows_pairs(folder: Path) -> None:
    shutil.copytree('gt', 'lq')
    audit(options(PAIRED, findings=['shift', 'gain']))
    assert inspect_pipeline('.', [str(RESULT), '--size', '2']) == 0


def test_an_audit_without_its_header_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = audit(options(findings=['noise'])).header
    items = [Item(name_of(number), 96, 128) for number in range(NUMBER)]
    columns = {'noise': [0.0] * NUMBER, 'suspect': [False] * NUMBER, 'reason': [''] * NUMBER}
    notes = header.pop('findings')
    write_manifest(
        'forged.parquet', items, columns, {**header, 'findings': {'noise': {**notes['noise'], 'usual': 'x'}}}
    )
    assert main(['inspect', 'forged.parquet']) == 2
    assert "forged.parquet, findings.noise.usual: expected a number, got 'x'" in capsys.readouterr().err
    write_manifest('other.parquet', items, columns, header)
    assert main(['inspect', 'other.parquet']) == 2
    assert 'other.parquet: expected the findings in its header, got none.' in capsys.readouterr().err
