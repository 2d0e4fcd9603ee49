"""What is done from Python is what the jobs do with the same images and settings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset

import basicsr_ext as bx
from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference.exit_costs import exit_costs
from tests.helpers.images import write_images

IRCNN = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
FLEXIR = {
    'type': 'FlexIR', 'upscale': 1, 'in_chans': 3, 'img_size': 16, 'window_size': 4, 'depths': [1, 1], 'embed_dim': 12,
    'num_heads': [2, 2], 'mlp_ratio': 2,
}  # fmt: skip
IMAGE = torch.zeros(3, 8, 8)
NOTHING: Any = torch.nn.Identity()


def noisy(folder: Path, sigma: int = 25) -> dict[str, Any]:
    block = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': sigma, 'dataroot_gt': str(folder)}
    return {'name': folder.name, **block}


def built(folder: Path) -> Any:
    return build_dataset({**noisy(folder), 'phase': 'val', 'scale': 1})


def run(job: str, opt: dict[str, Any]) -> None:
    Path('options.yml').write_text(yaml.safe_dump({'num_gpu': 0, 'manual_seed': 3, **opt}))
    assert main([job, '-opt', 'options.yml']) == 0


def distil(dataset: list[Any], **settings: Any) -> Any:
    return bx.distill(dataset, lambda: torch.nn.Conv2d(3, 3, 1), size=1, image_size=16, **settings)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'train', number=6, size=24)
    write_images(tmp_path / 'target', number=2, size=32)
    return tmp_path


@pytest.fixture
def net() -> torch.nn.Module:
    torch.manual_seed(1)
    made: torch.nn.Module = build_network(dict(IRCNN))
    torch.save({'params': made.state_dict()}, 'net.pth')
    return made


def test_a_ranking_by_influence(images: Path, net: torch.nn.Module) -> None:
    settings = {'iterations': 4, 'curvature_images': 5}
    datasets = {'train': noisy(images / 'train'), 'test': noisy(images / 'target')}
    path = {'pretrain_network_g': 'net.pth'}
    run('rank', {'name': 'x', 'datasets': datasets, 'network_g': IRCNN, 'path': path, 'rank': settings})
    by_job = bx.read_manifest('results/x/ranking.parquet')
    ranked = bx.rank(built(images / 'train'), built(images / 'target'), net, seed=3, output='own.parquet', **settings)
    assert ranked.column('influence') == by_job.column('influence') and ranked.column('rank') == by_job.column('rank')


@pytest.mark.parametrize('criterion', ['entropy', 'gradient'])
def test_a_ranking_by_complexity(images: Path, criterion: str) -> None:
    block = {'method': 'complexity', 'criterion': criterion}
    run('rank', {'name': 'x', 'datasets': {'train': noisy(images / 'train')}, 'rank': block})
    by_job = bx.read_manifest('results/x/ranking.parquet')
    pairs = built(images / 'train')
    clean = [pairs[index]['gt'] for index in range(len(pairs))]
    ranked = bx.rank(clean, method='complexity', criterion=criterion, output='own.parquet')
    np.testing.assert_allclose(ranked.column('complexity'), by_job.column('complexity'), rtol=1e-9)


def test_patches(images: Path, net: torch.nn.Module) -> None:
    block = {'patch_size': 8, 'stride': 6, 'criteria': ['grad', 'loss', 'freq']}
    path = {'pretrain_network_g': 'net.pth'}
    datasets = {'train': noisy(images / 'train')}
    run('mine', {'name': 'x', 'datasets': datasets, 'network_g': IRCNN, 'path': path, 'mine': block})
    by_job = bx.read_manifest('results/x/patches.parquet')
    mined = bx.mine(built(images / 'train'), net=net, output='own.parquet', **block)
    for name in ('y', 'x', 'size', *block['criteria']):  # type: ignore[misc]
        np.testing.assert_array_equal(mined.array(name), by_job.array(name))


def test_the_influence_of_patches(images: Path, net: torch.nn.Module) -> None:
    solver = {'iterations': 2, 'curvature_images': 2}
    block = {'patch_size': 8, 'stride': 6, 'criteria': ['influence'], 'influence': solver}
    datasets = {'train': noisy(images / 'train'), 'test': noisy(images / 'target')}
    path = {'pretrain_network_g': 'net.pth'}
    run('mine', {'name': 'x', 'datasets': datasets, 'network_g': IRCNN, 'path': path, 'mine': block})
    by_job = bx.read_manifest('results/x/patches.parquet')
    train, target = built(images / 'train'), built(images / 'target')
    mined = bx.mine(train, net=net, target=target, output='own.parquet', seed=3, **block)
    np.testing.assert_array_equal(mined.array('influence'), by_job.array('influence'))


def test_synthetic_pairs_start_at_patches_and_get_better() -> None:
    images = [torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    pairs = [(image * 0.5, image) for image in images]
    settings = {'size': 3, 'image_size': 12, 'batch_size': 2}
    torch.manual_seed(0)
    same = bx.distill(pairs, lambda: torch.nn.Conv2d(3, 3, 3, padding=1), steps=1, lr=1e-12, **settings)
    for lq, gt in same:  # a step that is none leaves patches of the dataset, here whole items
        assert any(torch.allclose(gt, image, atol=1e-6) for image in images)
        torch.testing.assert_close(lq, gt * 0.5, atol=1e-6, rtol=0)
    known = bx.distill(
        pairs, lambda: torch.nn.Conv2d(3, 3, 3, padding=1), degrade=lambda gt, rng: gt * 0.25, steps=2, **settings
    )
    for lq, gt in known:
        torch.testing.assert_close(lq, gt * 0.25)


def test_tuned_images_move_to_the_target() -> None:
    generator = torch.Generator().manual_seed(0)
    target = [torch.rand(3, 32, 32, generator=generator) for _ in range(4)]
    subset = [image * 0.9 for image in target[:2]]
    tuned = bx.align(subset, target, iterations=30, patch_size=16, pixel_weight=1.0)
    before, after = (torch.stack(images).mean() for images in (subset, tuned))
    assert abs(after - torch.stack(target).mean()) < abs(before - torch.stack(target).mean())
    assert all(((image * 255) - (image * 255).round()).abs().max() < 1e-3 for image in tuned)


def test_a_budget_is_met() -> None:
    torch.manual_seed(0)
    net = build_network(dict(FLEXIR))
    images = [torch.rand(3, 16, 16) for _ in range(3)]
    settings = bx.calibrate(net, images, budget=0.64, regions=1)
    costs = exit_costs(net, 3, (16, 16))
    assert settings.pointer == 1 and costs.regular[0] <= 0.64
    assert net.training  # as it was


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: bx.rank([], method='complexity'), DataError, 'dataset: expected a dataset with items, got an empty'),
        (lambda: bx.rank([3], method='complexity'), DataError, 'dataset, item 0: expected gt as a tensor .* got 3'),
        (lambda: bx.rank([IMAGE]), OptionError, "net: expected a trained network for method='influence'"),
        (lambda: bx.rank([IMAGE], net=NOTHING), OptionError, "target: expected a dataset for method='influence'"),
        (lambda: bx.rank([IMAGE], method='infl'), OptionError, "rank.method: expected 'influence' or"),
        (lambda: bx.rank([IMAGE], [IMAGE], NOTHING, groups='x'), OptionError, 'levels, groups: expected none from'),
        (lambda: bx.rank([IMAGE], method='complexity', source='restored'), OptionError, "source: expected 'gt' or"),
        (lambda: bx.rank([IMAGE], net=NOTHING, method='complexity'), OptionError, 'net: expected none but for'),
        (lambda: bx.mine([IMAGE], ['loss']), OptionError, 'net: expected a network for the criterion'),
        (lambda: bx.mine([IMAGE], ['influence'], NOTHING), OptionError, 'target: expected a dataset for the criterion'),
        (lambda: bx.mine([IMAGE], target=[IMAGE]), OptionError, 'target: expected none without influence, got list'),
        (lambda: bx.mine([IMAGE], ['grid']), OptionError, 'mine.criteria.0: expected .* Did you mean grad'),
        (lambda: bx.calibrate(NOTHING, [], 1), OptionError, 'net: expected a network with exits'),
        (lambda: bx.calibrate(build_network(dict(FLEXIR)), [], 1), DataError, 'images: expected at least one'),
        (lambda: bx.align([], []), DataError, 'subset: expected a dataset with items'),
        (lambda: distil([IMAGE], kept=1, manifest='x.parquet'), OptionError, 'kept: expected 0'),
        (lambda: distil([IMAGE]), DataError, 'dataset, item 0: expected lq and gt, got no lq'),
        (lambda: distil([{'lq': IMAGE, 'gt': IMAGE}]), DataError, 'item 0: expected at least 16 x 16 pixels, got'),
        (lambda: bx.distill([IMAGE], torch.nn.Identity, size=1, kept=1), OptionError, 'manifest: expected'),
    ],
)
def test_mistakes_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
