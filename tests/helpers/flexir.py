"""A small FlexIR, its model and a step of it, and the job `test` on it."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.jobs.test import test_pipeline as run_test
from basicsr_ext.models.flexir_model import FlexIRModel
from basicsr_ext.options.complete import complete
from tests.helpers.images import write_images
from tests.helpers.training import options

NETWORK: dict[str, Any] = {
    'type': 'FlexIR', 'upscale': 1, 'in_chans': 1, 'img_size': 16, 'window_size': 4, 'img_range': 1.0, 'depths': [2, 2],
    'embed_dim': 12, 'num_heads': [2, 2], 'mlp_ratio': 2, 'upsampler': '', 'drop_path_rate': 0.0,
}  # fmt: skip
CHANGES: dict[str, Any] = {'model_type': 'FlexIRModel', 'network_g': NETWORK, 'train__pixel_opt': None}


def build(root: Path, is_train: bool = True, **changes: Any) -> FlexIRModel:
    opt = options(root, **{**CHANGES, **changes})
    complete(opt, root, is_train)
    torch.manual_seed(0)
    return FlexIRModel(opt)


def batch(number: int = 2, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(number, 1, 8, 8, generator=generator) for name in ('lq', 'gt')}


def step(model: FlexIRModel, data: dict[str, Tensor], iteration: int = 1) -> None:
    model.update_learning_rate(iteration)
    model.feed_data(data)
    model.optimize_parameters(iteration)


def run_job(root: Path, **changes: Any) -> dict[str, Any]:
    """Two colour images of 40 pixels through the job `test`; returns its metrics."""
    network = {**NETWORK, 'in_chans': 3}
    write_images(root / 'val', number=2, color=True)
    torch.manual_seed(0)
    torch.save(build_network(network).state_dict(), root / 'net.pth')
    opt = options(
        root, **{**CHANGES, 'network_g': network, 'path__pretrain_network_g': str(root / 'net.pth')}, **changes
    )
    opt['datasets'] = {'test_1': {**opt['datasets'].pop('val'), 'color': 'rgb'}}
    for key in ('train', 'logger'):
        opt.pop(key)
    file = root / 'run.yml'
    file.write_text(yaml.safe_dump(opt))
    assert run_test(root, ['-opt', str(file)]) == 0
    metrics: dict[str, Any] = json.loads((root / 'results/run/metrics.json').read_text())
    return metrics
