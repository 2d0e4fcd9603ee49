"""The job `calibrate`: what it writes, who reads it, what it refuses."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from basicsr.archs import build_network

from basicsr_ext.errors import CheckpointError, DataError, OptionError
from basicsr_ext.inference import Restorer, read_settings
from basicsr_ext.inference.observation import ImageObservation, Observing
from basicsr_ext.jobs.calibrate import calibrate_pipeline
from basicsr_ext.runtime import interrupt
from tests.helpers.flexir import NETWORK, run_job
from tests.helpers.images import write_images


def prepare(root: Path, number: int = 4, **calibrate: Any) -> Path:
    write_images(root / 'noisy', number, color=True)
    torch.manual_seed(0)
    torch.save(build_network({**NETWORK, 'in_chans': 3}).state_dict(), root / 'net.pth')
    folder = {'name': 'noisy', 'type': 'SingleImageDataset', 'dataroot_lq': str(root / 'noisy')}
    opt = {
        'name': 'found',
        'num_gpu': 0,
        'datasets': {'test_1': {**folder, 'io_backend': {'type': 'disk'}}},
        'network_g': {**NETWORK, 'in_chans': 3},
        'path': {'pretrain_network_g': str(root / 'net.pth')},
        'calibrate': {'inference': {'regions': 5}, 'thresholds': 4, **calibrate},
    }
    file = root / 'calibrate.yml'
    file.write_text(yaml.safe_dump(opt))
    return file


def test_the_job_writes_what_test_and_restorer_use(tmp_path: Path) -> None:
    file = prepare(tmp_path, budget=0.8)
    assert calibrate_pipeline(tmp_path, ['-opt', str(file)]) == 0
    path = tmp_path / 'results/found/calibration.json'
    found = json.loads(path.read_text())
    assert found['chosen']['macs'] == pytest.approx(0.8, rel=0.02)
    assert found['chosen']['measured_ms_per_megapixel'] > 0
    assert [row['pointer'] for row in found['pointers']] == [1, 2]
    assert [row['pointer'] for row in found['thresholds']] == [None] * 4
    assert (found['images']['number'], found['images']['regions']) == (4, 100)
    assert found['options']['calibrate']['budget'] == 0.8
    assert (tmp_path / 'results/found/calibration.png').stat().st_size > 10_000
    settings = read_settings({'calibration': str(path)}, 'val.inference')
    assert settings.adaptive is not None and settings.adaptive.forecast is not None
    assert settings.adaptive.budget == found['chosen']['budget'] == 0.8
    rules = found['rules']['rules']
    assert len(rules) == 9 and all(rule['share_of_oracle'] <= 1 + 1e-9 for rule in rules)
    assert settings.adaptive.forecast.scores == rules[0]['scores']
    metrics = run_job(tmp_path, val__inference={'calibration': str(path)})
    assert metrics['val']['exit_1'] + metrics['val']['exit_2'] == pytest.approx(1)
    assert metrics['val']['macs'] == pytest.approx(0.8, rel=0.02)
    assert Restorer.from_options(tmp_path / 'run.yml').settings == settings


def test_without_budget_tables_alone(tmp_path: Path) -> None:
    assert calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, images=2))]) == 0
    path = tmp_path / 'results/found/calibration.json'
    found = json.loads(path.read_text())
    assert (found['inference'], found['chosen'], found['images']['number']) == (None, None, 2)
    with pytest.raises(OptionError, match=r'val\.inference\.calibration: expected a calibration with a budget'):
        read_settings({'calibration': str(path)}, 'val.inference')


def test_a_budget_of_time_in_the_job(tmp_path: Path) -> None:
    """More time than the full network needs, by far, so that the machine may be as slow as it is."""
    assert calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, 1, budget_ms=1e9))]) == 0
    found = json.loads((tmp_path / 'results/found/calibration.json').read_text())
    assert found['inference'] == {'regions': 5, 'overlap': 0, 'pointer': 2}


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    timed = ('pointers', 'thresholds', 'budgets', 'oracle')
    rows = [*(row for name in timed for row in found[name]), found['chosen']]
    rest = {key: value for key, value in found.items() if key not in (*timed, 'chosen')}
    return {**rest, 'rows': [{key: row[key] for key in row if '_ms' not in key and 'ms_' not in key} for row in rows]}


def test_stopped_and_continued_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each image, by a new process of its own as far as the job can tell."""
    result = tmp_path / 'results/found/calibration.json'
    argv = ['-opt', str(prepare(tmp_path, budget=0.8))]
    assert calibrate_pipeline(tmp_path, argv) == 0
    expected = without_times(json.loads(result.read_text()))
    before = result.read_bytes()
    assert calibrate_pipeline(tmp_path, argv) == 0  # there already
    assert result.read_bytes() == before
    shutil.rmtree(tmp_path / 'results')
    seen: list[int] = []
    observe = Observing.observed

    def observe_and_stop(observing: Observing, *image: torch.Tensor) -> ImageObservation:
        seen.append(len(observing.seen) + 1)
        signal.raise_signal(signal.SIGTERM)
        return observe(observing, *image)

    with monkeypatch.context() as patch:
        patch.setattr(Observing, 'observed', observe_and_stop)
        assert [calibrate_pipeline(tmp_path, argv) for _ in range(4)] == [143] * 4
        assert seen == [1, 2, 3, 4] and not result.exists()
    state = tmp_path / 'results/found/unfinished/observations.pth'
    good = state.read_bytes()
    for bad in (b'', good[:-90], b'{}'):
        state.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r'observations\.pth: expected the state of this work'):
            calibrate_pipeline(tmp_path, argv)
    for changed in ({'seen': 3}, {'seen': [{}]}, {'seen': []}):
        torch.save(changed, state)
        if changed['seen'] != []:
            with pytest.raises(CheckpointError, match=r'observations\.pth: expected the state of this work'):
                calibrate_pipeline(tmp_path, argv)
    state.write_bytes(good)
    assert calibrate_pipeline(tmp_path, argv) == 0
    assert without_times(json.loads(result.read_text())) == expected
    assert not state.parent.exists()


def test_another_budget_needs_another_name_but_not_other_observations(tmp_path: Path) -> None:
    result = tmp_path / 'results/found/calibration.json'
    with pytest.raises(OptionError, match=r'calibrate\.budget: expected 0'):
        calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, budget=0.01))])
    assert (tmp_path / 'results/found/unfinished/observations.pth').is_file()
    assert calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, budget=0.8))]) == 0
    before = result.read_bytes()
    with pytest.raises(OptionError, match=r'asked\.budget: 0\.8 became 0\.9'):
        calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, budget=0.9))])
    assert result.read_bytes() == before


def test_a_check_decodes_every_image(tmp_path: Path) -> None:
    file = prepare(tmp_path)
    last = sorted((tmp_path / 'noisy').iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-200])
    with pytest.raises(DataError, match=last.name):
        calibrate_pipeline(tmp_path, ['-opt', str(file), '--check'])


def test_check_writes_nothing_and_a_stop_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = prepare(tmp_path, budget=0.8)
    assert calibrate_pipeline(tmp_path, ['-opt', str(file), '--check']) == 0
    monkeypatch.setattr(interrupt, 'requested', lambda: True)
    monkeypatch.setattr(interrupt, 'exit_code', lambda: 128 + signal.SIGTERM)
    assert calibrate_pipeline(tmp_path, ['-opt', str(file)]) == 143
    assert not (tmp_path / 'results/found/calibration.json').exists()


@pytest.mark.parametrize(
    ('calibrate', 'message'),
    [
        ({'budget': 0.8, 'budget_ms': 9}, r'calibrate\.budget_ms: expected no budget beside it'),
        ({'budget': 1.1}, r'calibrate\.budget: expected at most 1, what the full network on the whole image costs'),
        ({'inference': {'adaptive': {'budget': 0.5}}}, r'inference\.adaptive: expected a block without threshold and'),
        ({'budget': 0}, r'calibrate\.budget: expected more than 0'),
        ({'budget': 0.01}, r'calibrate\.budget: expected 0\.\d+ \(pointer 1\) to 1 \(pointer 2\), got 0\.01'),
        ({'bugdet': 0.5}, r'calibrate\.bugdet: expected a known key'),
        ({'thresholds': 1}, r'calibrate\.thresholds: expected at least 2'),
        ({'inference': {'pointer': 2}}, r'calibrate\.inference\.pointer: expected none'),
        ({'inference': {'adaptive': {'threshold': 2}}}, r'calibrate\.inference\.adaptive: expected a block without'),
        ({'inference': {'region': 2}}, r'calibrate\.inference\.region: expected a known key'),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, calibrate: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, 1, **calibrate))])
    assert not (tmp_path / 'results/found/calibration.json').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'network_g': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3}}, 'expected one with exits, as FlexIR, got'),
        ({'path': {}}, r'path\.pretrain_network_g: expected the weights'),
        ({'val': {}}, "val: expected a known key, got 'val'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = prepare(tmp_path, 1)
    opt = {**yaml.safe_load(file.read_text()), **change}
    if change.get('network_g'):
        torch.save(build_network(change['network_g']).state_dict(), tmp_path / 'net.pth')
    file.write_text(yaml.safe_dump(opt))
    with pytest.raises(OptionError, match=message):
        calibrate_pipeline(tmp_path, ['-opt', str(file)])


@pytest.mark.parametrize(
    ('content', 'block', 'message'),
    [
        (None, {}, 'expected a file, got .*No such file.* Run calibrate first'),
        ('{"a": 1}', {}, 'expected what calibrate wrote'),
        ('no json', {}, 'expected what calibrate wrote'),
        ('{"inference": {}}', {'regions': 2}, 'expected no other key beside it, got regions'),
    ],
)
def test_a_wrong_calibration_is_refused(
    tmp_path: Path, content: str | None, block: dict[str, Any], message: str
) -> None:
    path = tmp_path / 'calibration.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(OptionError, match=rf'^val\.inference\.calibration: {message}'):
        read_settings({'calibration': str(path), **block}, 'val.inference')


def test_a_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    assert calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, budget=0.8))]) == 0
    path = tmp_path / 'results/found/calibration.json'
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, 'weights': '0' * 32}))
    message = r'val\.inference\.calibration: expected a calibration of these weights, got one of others'
    with pytest.raises(OptionError, match=message):
        run_job(tmp_path, val__inference={'calibration': str(path)})
    with pytest.raises(OptionError, match=message):
        Restorer.from_options(tmp_path / 'run.yml')
    run_job(tmp_path, val__inference=found['inference'])


def test_a_score_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    asked = {'regions': 5, 'adaptive': {'score': 'noise', 'leave': 'below'}}
    assert calibrate_pipeline(tmp_path, ['-opt', str(prepare(tmp_path, budget=0.8, inference=asked))]) == 0
    found = json.loads((tmp_path / 'results/found/calibration.json').read_text())
    assert [(rule['scores'], rule['leave']) for rule in found['rules']['rules']] == [(['noise'], 'below')]
    assert found['inference']['adaptive']['forecast']['scores'] == ['noise']
