"""FlexIRModel restores as `val.inference` says, in training and in the job `test`."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.errors import OptionError
from basicsr_ext.inference import restore
from basicsr_ext.inference.exit_costs import exit_costs
from basicsr_ext.inference.regions import Partition, RegionGrid
from basicsr_ext.networks.macs import full_macs
from basicsr_ext.networks.tiling import run_tiled
from tests.helpers.flexir import NETWORK, build, run_job, step


def image(size: int = 18) -> Tensor:
    return torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(5))


def restored_by(root: Path, lq: Tensor, **changes: Any) -> Any:
    model = build(root, is_train=False, **changes)
    model.feed_data({'lq': lq})
    model.test()
    return model


# ---- costs ----


def costs_of(share_tail: bool = False) -> tuple[Any, Any]:
    net = build_network({**NETWORK, 'depths': [2, 1, 2], 'num_heads': [2, 2, 2], 'share_tail': share_tail}).eval()
    return net, exit_costs(net, 1, (8, 8))


@pytest.mark.parametrize('share_tail', [False, True])
def test_regular_costs_are_those_of_the_whole_network_at_each_pointer(share_tail: bool) -> None:
    net, costs = costs_of(share_tail)
    net.plain = True
    macs = []
    for pointer in (1, 2, 3):
        net.pointer = pointer
        macs.append(full_macs(net, torch.zeros(1, 1, 4, 4)))
    assert costs.regular == pytest.approx([count / macs[2] for count in macs], rel=1e-12)
    assert costs.window == 4


def test_adaptive_costs_include_the_tails_passed() -> None:
    net, costs = costs_of()
    tail = 9 * 12 * 12 + 9 * 12 + 5 * 12  # two convolutions and a layer norm, a pixel
    net.plain = True
    full = full_macs(net, torch.zeros(1, 1, 4, 4)) / 16
    expected = [cost + passed * tail / full for passed, cost in enumerate(costs.regular)]
    assert costs.adaptive == pytest.approx(expected, rel=1e-12)


def test_the_fraction_counts_overlap_and_windows() -> None:
    _, costs = costs_of()
    grid = RegionGrid(Partition.by_number(18, 2, 0), Partition.by_number(16, 1, 0))  # regions of 9 x 16
    exits = torch.tensor([[1], [3]])
    expected = (costs.adaptive[0] + costs.adaptive[2]) * (12 * 16) / (20 * 16)
    assert costs.fraction(grid, exits, tails_passed=True) == pytest.approx(expected)
    assert costs.fraction(grid, exits, tails_passed=False) == pytest.approx((costs.regular[0] + 1) * 0.6)


# ---- the model ----


def test_without_inference_whole_images_or_tiles_at_the_pointer(tmp_path: Path) -> None:
    model = restored_by(tmp_path, image())
    net = model.net_g.eval()
    with torch.no_grad():
        assert torch.equal(model.output, net(image()))
        model.val_options = type(model.val_options)(tile_size=8, tile_overlap=4)
        model.test()
        assert torch.equal(model.output, run_tiled(net, image(), 8, 4))
    assert model.extra_results(np.zeros((18, 18), np.uint8), None) == {}


@pytest.mark.parametrize('block', [{'pointer': 1, 'overlap': 2}, {'regions': 3, 'adaptive': {'threshold': 300}}])
def test_inference_is_that_of_restore(tmp_path: Path, block: dict[str, Any]) -> None:
    model = restored_by(tmp_path, image(), val__inference=block)
    settings = model.val_options.settings
    expected = restore(model.net_g, image(), settings)
    assert torch.equal(model.output, expected.image)
    values = model.extra_results(np.zeros((18, 18), np.uint8), None)
    grid = settings.grid(18, 18)
    assert values['macs'] == model.exit_costs.fraction(grid, expected.exits[0], 'adaptive' in block)
    assert set(values) == ({'macs', 'exit_mean', 'exit_1', 'exit_2'} if 'adaptive' in block else {'macs'})


def test_validation_during_training_uses_the_average_and_the_active_branches(tmp_path: Path) -> None:
    model = build(tmp_path, train__ema_decay=0.5, val__inference={'regions': 2})
    data = {'lq': image(8), 'gt': image(8)}
    step(model, data)
    assert model.net_g_ema.pointer == 1
    model.test()
    expected = restore(model.net_g_ema, image(8), model.val_options.settings)
    assert torch.equal(model.output, expected.image)
    assert (expected.exits == 1).all()
    assert model.net_g.training


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'val__inference': {'region': 2}}, r'val\.inference\.region: expected a known key.*regions'),
        ({'val__inference': {'regions': 0}}, r'val\.inference\.regions: expected at least 1'),
        ({'val__inference': {'adaptive': {}}}, r'val\.inference\.adaptive\.threshold: expected a value'),
        ({'val__inference': {}, 'val__tile_size': 8}, r'val\.tile_size: expected ~ beside inference'),
        ({'val__inferenz': {}}, r'val\.inferenz: expected a known key'),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(tmp_path, is_train=False, **changes)


# ---- the job ----


def test_the_job_reports_macs_and_exits_and_draws_them(tmp_path: Path) -> None:
    found = run_job(tmp_path, val__save_img=True, val__inference={'adaptive': {'threshold': float('-inf')}})
    for values in (found['val'], *found['per_image']['val'].values()):
        assert set(values) == {'psnr', 'macs', 'exit_mean', 'exit_1', 'exit_2'}
        assert (values['exit_mean'], values['exit_1'], values['exit_2']) == (1, 1, 0)
        assert 0.4 < values['macs'] < 0.7
    folder = tmp_path / 'results/run/visualization/val'
    assert cv2.imread(str(folder / '000_run_exits.png')).shape[0] > 100
    assert cv2.imread(str(folder / '000_run.png')).shape == (40, 40, 3)


def test_the_job_with_regular_inference(tmp_path: Path) -> None:
    found = run_job(tmp_path, val__save_img=True, val__inference={'pointer': 2})
    assert set(found['val']) == {'psnr', 'macs'}
    assert found['val']['macs'] == 1  # regions of 20 pixels are whole windows
    assert not list((tmp_path / 'results').rglob('*_exits.png'))
