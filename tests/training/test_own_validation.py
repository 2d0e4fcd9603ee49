"""Models with a validation of their own, as HAT's: their values are those that BasicSR's models leave behind."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY

from basicsr_ext.__main__ import main
from basicsr_ext.training.validation import _own_scores
from tests.helpers.training import lines, options, prepare


class TiledModel(SRModel):
    """Overrides `nondist_validation` as HATModel does."""

    def nondist_validation(self, *args: Any) -> None:
        SRModel.nondist_validation(self, *args)


class SilentModel(TiledModel):
    """Leaves nothing behind."""

    def nondist_validation(self, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for model in (TiledModel, SilentModel):
        MODEL_REGISTRY.register(model)
    yield
    for model in (TiledModel, SilentModel):
        del MODEL_REGISTRY._obj_map[model.__name__]


def test_training_has_a_best_and_metrics(tmp_path: Path) -> None:
    assert main(['train', '-opt', str(prepare(tmp_path, model_type='TiledModel'))]) == 0
    found = [line['validation']['val']['psnr'] for line in lines(tmp_path) if 'validation' in line]
    root = tmp_path / 'experiments/run'
    metrics = json.loads((root / 'metrics.json').read_text())
    assert len(found) == 2 and metrics['val'] == {'psnr': found[1]} and metrics['per_image'] == {'val': {}}
    assert (root / 'models/net_g_best.pth').is_file()


@pytest.mark.parametrize('model', ['TiledModel', 'SilentModel'])
def test_a_test_of_two_datasets(tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str) -> None:
    prepare(tmp_path)
    opt = options(tmp_path, model_type=model, path={'pretrain_network_g': None, 'strict_load_g': True})
    del opt['train'], opt['logger']
    data = opt['datasets']
    opt['datasets'] = {'test_1': data['val'], 'test_2': {**data['val'], 'name': 'again', 'sigma': 50}}
    opt['val']['suffix'] = None
    (tmp_path / 'test.yml').write_text(yaml.safe_dump(opt))
    with caplog.at_level(logging.INFO, 'basicsr'):
        assert main(['test', '-opt', str(tmp_path / 'test.yml')]) == 0
    metrics = json.loads((tmp_path / 'results/run/metrics.json').read_text())
    if model == 'TiledModel':
        assert metrics['val']['psnr'] > metrics['again']['psnr'] > 0
    assert (f'{model} has a validation of its own, which leaves no values' in caplog.text) == (model == 'SilentModel')


def test_values_of_videos() -> None:
    class Video:
        opt = {'val': {'metrics': {'psnr': {}, 'ssim': {}}}}
        metric_results = {'a': torch.tensor([[30.0, 0.8], [32, 0.6]]), 'b': torch.tensor([[40.0, 1.0]])}

    scores = _own_scores(Video())
    assert scores.means['psnr'] == 35.5 and scores.means['ssim'] == pytest.approx(0.85)
    assert scores.images['a']['psnr'] == 31
