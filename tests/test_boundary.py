"""What the command line makes of errors: one line for the user's and the machine's, a traceback for the program's."""

import errno
import io
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pytest
import torch
import yaml
from torch.utils.data import Dataset

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError, OptionError, one_line, told, under
from basicsr_ext.jobs import inspect
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.workers import loader
from basicsr_ext.version import __version__
from tests.helpers.processes import REPOSITORY
from tests.helpers.training import write_images

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def read_bad_yaml() -> None:
    yaml.safe_load('[' * 5000)


def read_bad_weights() -> None:
    torch.load(io.BytesIO(b'PK\x03\x04 no weights'), weights_only=True)


def read_surrogates() -> None:
    '\udcff.png'.encode()


def convert_nothing() -> None:
    cv2.cvtColor(np.zeros((0, 0, 3), np.uint8), cv2.COLOR_BGR2GRAY)


def fail(error: BaseException) -> Any:
    def work(*_: Any) -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (OSError(errno.ENOSPC, 'No space left on device', 'a.json'), 'a.json: .* No space left .* Free disk'),
        (OSError(errno.EROFS, 'Read-only file system', 'a.json'), 'a.json: .* Change the permissions'),
        (FileExistsError(errno.EEXIST, 'File exists', 'results'), 'results: .* Move away what is there'),
        (OSError('Failed in writing images.'), 'expected to read and write files, got Failed in writing images. Look'),
        (MemoryError(), 'expected enough memory, got MemoryError'),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 'expected enough memory'),
        (pyarrow.ArrowInvalid('no Parquet\nat all'), 'expected files that can be read, got no Parquet at all. Correct'),
        (DataError('a.png: expected this,\n  got that.'), 'a.png: expected this, got that.'),
    ],
)  # fmt: skip
def test_one_line_for_what_is_not_ours(error: Exception, said: str, monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(inspect, 'inspect_pipeline', fail(error))
    assert main(['inspect', 'x']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f'basicsr-ext inspect: {said}', line), line


@pytest.mark.parametrize('work', [read_bad_yaml, read_bad_weights, read_surrogates, convert_nothing])
def test_one_line_for_what_libraries_say_of_a_file(work: Any, monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(inspect, 'inspect_pipeline', lambda *_: work())
    assert main(['inspect', 'x']) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(inspect, 'inspect_pipeline', fail(KeyError('lq')))
    assert main(['inspect', 'x']) == 1
    said = capsys.readouterr().err
    assert 'Traceback' in said and 'Please report' in said.splitlines()[-1] and __version__ in said.splitlines()[-1]


def test_ctrl_c_before_anything_watches(monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(inspect, 'inspect_pipeline', fail(KeyboardInterrupt()))
    assert main(['inspect', 'x']) == 128 + signal.SIGINT
    assert capsys.readouterr().err == 'basicsr-ext inspect: stopped.\n'


def test_a_folder_that_is_deleted(tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    (tmp_path / 'gone').mkdir()
    monkeypatch.chdir(tmp_path / 'gone')
    (tmp_path / 'gone').rmdir()
    assert main(['options']) == 2
    assert capsys.readouterr().err.startswith('basicsr-ext options: expected a current folder')


def test_a_reader_that_has_enough() -> None:
    command = f'"{sys.executable}" -m basicsr_ext options | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(['bash', '-c', command], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.stdout, done.stderr) == ('0\n', '')


def test_a_terminal_of_few_characters(monkeypatch: Patch) -> None:
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(io.BytesIO(), encoding='ascii'))
    monkeypatch.setattr(sys, 'stderr', io.TextIOWrapper(io.BytesIO(), encoding='ascii'))
    monkeypatch.setattr(inspect, 'inspect_pipeline', lambda *_: print('größe') or 0)
    assert main(['inspect', 'x']) == 0
    monkeypatch.setattr(inspect, 'inspect_pipeline', fail(OptionError('größe: wrong')))
    assert main(['inspect', 'x']) == 2


class Failing(Dataset[int]):
    """Its only item is an error of two lines."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise DataError('a.png: expected an image, got none.\nReplace it.')


def test_a_worker_says_what_it_met() -> None:
    with pytest.raises(DataError) as met:
        list(loader(Failing(), 1))
    assert one_line(met.value) == 'a.png: expected an image, got none. Replace it.'


def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large') as met, atomic_open(path) as file:
            file.write(bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert met.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ['a.bin'] and path.read_bytes() == b'old'


@pytest.mark.parametrize('job', ['rank', 'mine', 'complexity'])
def test_results_that_are_a_file(job: str, tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'gt', number=2, size=24)
    Path('results').write_text('in the way')
    data = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': 'gray'}
    block = {'rank': {'method': 'complexity', 'criterion': 'entropy'}, 'mine': {'patch_size': 8, 'stride': 8}}
    opt: dict[str, Any] = {'name': 'small', 'num_gpu': 0, 'datasets': {'train': {'name': 'train', **data}}}
    opt[job] = block.get(job)
    if job == 'complexity':
        opt = {'name': 'small', 'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}}
    Path('opt.yml').write_text(yaml.safe_dump(opt))
    assert main([job, '-opt', 'opt.yml']) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith(f'basicsr-ext {job}: {tmp_path}/results')]) == 1
    assert 'Traceback' not in '\n'.join(errors) and Path('results').read_text() == 'in the way'


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_a_launcher_that_did_not_launch(launcher: str, monkeypatch: Patch) -> None:
    for name in [name for name in os.environ if name.startswith(('RANK', 'WORLD', 'MASTER', 'SLURM'))]:
        monkeypatch.delenv(name)
    with pytest.raises(OptionError, match=f'--launcher {launcher}: expected the variables that .*run sets, got no'):
        distributed.start(launcher)


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (RuntimeError('[/gloo/transport/tcp/pair.cc:5] Connection closed by peer [::1]:99. Typically...'),
         'Connection closed by peer [::1]:99'),
        (RuntimeError('NCCL communicator was aborted on rank 1.'), 'NCCL communicator was aborted on rank 1'),
        (torch.distributed.DistNetworkError('The client socket has timed out.\nBacktrace'),
         'The client socket has timed out'),
    ],
)  # fmt: skip
def test_a_process_that_has_lost_the_others_says_so(error: Exception, reason: str) -> None:
    advice = 'Look at what they said, then start all again.'
    assert told(error) == f'expected the other processes to work on, got {reason}. {advice}'


def test_an_error_has_four_parts_and_survives_pickling() -> None:
    with pytest.raises(OptionError) as met, under('train'), under('optim_g'):
        raise OptionError('lr', 'a positive number', -1, 'Correct it.')
    error = pickle.loads(pickle.dumps(met.value))
    assert isinstance(error, OptionError)
    assert (error.where, error.expected, error.got, error.advice) == (
        'train.optim_g.lr', 'a positive number', '-1', 'Correct it.'
    )  # fmt: skip
    assert str(error) == 'train.optim_g.lr: expected a positive number, got -1. Correct it.'


@pytest.mark.parametrize(
    ('place', 'where', 'said'),
    [
        ('rank', '', 'rank'),
        ('-opt a.yml: ', '', '-opt a.yml'),
        ('-opt a.yml: ', 'lr', '-opt a.yml: lr'),
        ('--', 'k', '--k'),
    ],
)
def test_the_place_of_an_error_goes_in_front(place: str, where: str, said: str) -> None:
    assert str(DataError(where, 'this', 'that', 'Go.').below(place)) == f'{said}: expected this, got that. Go.'
