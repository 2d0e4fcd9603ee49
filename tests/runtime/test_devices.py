"""What is computed on a device that is not the CPU, as far as a machine without one can tell."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils import backend_registration

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare import compare_pipeline
from basicsr_ext.jobs.restore import restore_pipeline
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.models.restoration_options import ModelOptions
from basicsr_ext.options.complete import complete
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.repeatable import compute_repeatably
from tests.helpers.device_cases import CASES, NETWORKS, REFUSED
from tests.helpers.option_files import ours
from tests.helpers.processes import run
from tests.helpers.training import options

SUPPORTED = hasattr(backend_registration, '_setup_privateuseone_for_python_backend')  # since torch 2.10
SLOW = ('train FlexIR', 'derivatives of FlexIR', 'rank by the stochastic solver', 'rank by tiles', 'rank by cg')


@pytest.fixture(scope='module')
def wrong_there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is wrong with the cases that are asked for, from one process whose torch has a second device."""
    if not SUPPORTED:
        pytest.skip('this torch has no devices written in Python')
    folder = tmp_path_factory.mktemp('devices')
    asked = [item.callspec.params['name'] for item in request.session.items if 'wrong_there' in item.fixturenames]
    run(['-m', 'tests.helpers.device_cases', 'wrong.json', *asked], folder)
    found: dict[str, str] = json.loads((folder / 'wrong.json').read_text())
    return found


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
)
def test_another_device_gives_what_the_cpu_gives(wrong_there: dict[str, str], name: str) -> None:
    assert wrong_there[name] == ''


@pytest.mark.parametrize('name', REFUSED)
def test_what_a_gpu_refuses_is_refused_there(wrong_there: dict[str, str], name: str) -> None:
    assert wrong_there[name].partition(':')[0] in ('RuntimeError', 'TypeError')
    assert 'pretend' in wrong_there[name]


def test_every_network_of_ours_is_tried() -> None:
    assert set(NETWORKS) == set(ours('arch'))


# ---- what GPUs are told ----


def test_processes_that_compute_on_the_cpu_talk_by_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda number: begun.append(number))
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend: begun.append(backend))
    for name, value in {
        'RANK': '1',
        'LOCAL_RANK': '1',
        'WORLD_SIZE': '2',
        'MASTER_ADDR': 'x',
        'MASTER_PORT': '1',
    }.items():
        monkeypatch.setenv(name, value)
    distributed.start('pytorch', 'nccl', on_gpu=False)
    assert begun == ['gloo']
    distributed.start('pytorch', 'nccl')
    assert begun == ['gloo', 1, 'nccl']


class Asked(Exception):
    """What a process group was asked for."""


def asked_for(monkeypatch: pytest.MonkeyPatch, begin: Callable[[], Any]) -> tuple[Any, ...]:
    def refuse(launcher: str, backend: str | None = None, **more: Any) -> None:
        raise Asked(backend, more)

    monkeypatch.setattr(distributed, 'start', refuse)
    with pytest.raises(Asked) as stop:
        begin()
    return stop.value.args


@pytest.mark.parametrize(('number', 'on_gpu'), [(0, False), (1, True), ('auto', True)])
def test_the_options_say_whether_processes_compute_on_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: Any, on_gpu: bool
) -> None:
    opt = options(tmp_path, num_gpu=number)
    opt['dist_params'] = {'backend': 'nccl'}
    found = asked_for(monkeypatch, lambda: complete(opt, tmp_path, is_train=True, launcher='pytorch'))
    assert found == ('nccl', {'on_gpu': on_gpu})


def test_jobs_that_exchange_words_alone_may_share_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    restoring = ['in', '-o', 'out', '--weights', 'x.pth', '--launcher', 'pytorch']
    comparing = ['-opt', 'run.yml', '--sets', 'full', 'random', '--sizes', '5%', '--launcher', 'pytorch']
    for pipeline, words in ((restore_pipeline, restoring), (compare_pipeline, comparing)):
        assert asked_for(monkeypatch, partial(pipeline, tmp_path, words)) == ('gloo', {})


def test_copies_of_a_compiled_network_are_refused() -> None:
    model: Any = SimpleNamespace(
        device=torch.device('cpu'), model_options=ModelOptions(use_compile=True), opt={'num_gpu': 2, 'dist': False}
    )
    with pytest.raises(OptionError, match='use_compile: expected num_gpu: 1, or a process for each GPU, got 2. Start'):
        RestorationModel.model_to_device(model, torch.nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize('asked', [True, False])
def test_repeatable_algorithms_are_those_of_torch_on_a_gpu(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    for name in ('deterministic', 'benchmark'):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':16:8')  # a user's own stays
    monkeypatch.setattr(torch.utils.deterministic, 'fill_uninitialized_memory', True)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        compute_repeatably(asked, on_gpu=False)
        assert torch.are_deterministic_algorithms_enabled() == before
        assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (asked, not asked)
        compute_repeatably(asked, on_gpu=True)
        assert torch.are_deterministic_algorithms_enabled() == asked
        assert torch.is_deterministic_algorithms_warn_only_enabled()  # some have none
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':16:8'
    finally:
        torch.use_deterministic_algorithms(before)


def test_forked_tasks_find_no_driver_of_cuda_that_their_server_has_started(tmp_path: Path) -> None:
    """A process cannot use CUDA whose parent has asked for it before the fork."""
    script = tmp_path / 'imports.py'
    script.write_text(
        'import torch\n'
        'def refuse(*arguments): raise RuntimeError("CUDA is asked for by an import")\n'
        'for name in ("is_available", "device_count", "current_device", "init"):\n'
        '    setattr(torch.cuda, name, refuse)\n'
        'import basicsr_ext.jobs.compare.preload\n'
    )
    run([str(script)], tmp_path, fresh=True)
