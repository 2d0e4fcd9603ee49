"""The job `rank` from its option file to the manifest: kill and resume, several processes, levels, what it refuses."""

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.__main__ import main
from basicsr_ext.selection.coreset.stored import Predictor
from basicsr_ext.selection.manifest import Manifest, read_manifest, write_manifest
from tests.helpers.images import write_images
from tests.helpers.processes import kill_again_and_again, run, run_ranks

IMAGES = 9


def weights(folder: Path, name: str, seed: int, **network: Any) -> str:
    torch.manual_seed(seed)
    net = build_network(network or {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4})
    path = folder / f'{name}.pth'
    torch.save({'params': net.state_dict()}, path)
    return str(path)


def options(root: Path, **rank: Any) -> dict[str, Any]:
    images = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}
    return {
        'name': 'small',
        'num_gpu': 0,
        'manual_seed': 3,
        'rank': {'grad_loss': {'type': 'L1Loss'}, 'iterations': 4, 'curvature_images': 5, **rank},
        'datasets': {
            'train': {'name': 'train', 'dataroot_gt': str(root / 'train'), **images},
            'test': {'name': 'test', 'dataroot_gt': str(root / 'test'), **images},
        },
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4},
        'path': {'pretrain_network_g': weights(root, 'net', 1)},
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / 'train', number=IMAGES, size=24)
    write_images(tmp_path / 'test', number=2, size=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, opt: dict[str, Any]) -> str:
    path = folder / 'rank.yml'
    path.write_text(yaml.safe_dump(opt))
    return str(path)


def ranking(name: str = 'small') -> Manifest:
    return read_manifest(Path('results', name, 'ranking.parquet'))


def rank(folder: Path, *arguments: str, **block: Any) -> Manifest:
    assert main(['rank', '-opt', write(folder, options(folder, **block)), *arguments]) == 0
    return ranking()


def refused(folder: Path, opt: dict[str, Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(['rank', '-opt', write(folder, opt), *arguments]) == 2
    return capsys.readouterr().err


def reference(folder: Path, damping: float) -> np.ndarray:
    """All dense: L1 gradients, the Gauss-Newton matrix J^T J / pixels of the curvature images, solved directly."""
    net = build_network(options(folder)['network_g']).double()
    net.load_state_dict(torch.load(folder / 'net.pth', weights_only=True)['params'])
    parameters = list(net.parameters())

    def samples(part: str) -> list[tuple[Tensor, Tensor]]:
        data = build_dataset({**options(folder)['datasets'][part], 'phase': 'val', 'scale': 1})
        return [(data[i]['lq'][None].double(), data[i]['gt'][None].double()) for i in range(len(data))]

    def flat(tensors: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([tensor.flatten() for tensor in tensors])

    def gradient(lq: Tensor, gt: Tensor) -> Tensor:
        return flat(torch.autograd.grad((net(lq) - gt).abs().mean(), parameters))

    train = samples('train')
    order = np.random.default_rng(3).permutation(IMAGES)[:5]
    matrix = torch.zeros(())
    for index in order:
        lq, _ = train[index]
        output = net(lq).flatten()
        pixels = torch.eye(len(output), dtype=output.dtype)
        rows = torch.autograd.grad(output, parameters, pixels, is_grads_batched=True)
        jacobian = torch.cat([row.flatten(1) for row in rows], dim=1)
        matrix = matrix + jacobian.T @ jacobian / len(output) / len(order)
    largest = torch.linalg.eigvalsh(matrix)[-1]
    test = torch.stack([gradient(*pair) for pair in samples('test')]).mean(0)
    solved = torch.linalg.solve(matrix + damping * largest * torch.eye(len(matrix)), test)
    return torch.stack([gradient(*pair) for pair in train]).numpy() @ solved.numpy() / IMAGES


def test_the_manifest_holds_the_influence(folder: Path) -> None:
    manifest = rank(folder, iterations=40, damping=0.1)
    expected = reference(folder, 0.1)
    np.testing.assert_allclose(manifest.column('influence'), expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
    assert [manifest.column('path')[row] for row in np.argsort(manifest.column('rank'))] == [
        f'{index:03d}.png' for index in np.argsort(-expected)
    ]
    assert set(zip(manifest.column('height'), manifest.column('width'), strict=True)) == {(24, 24)}


def test_the_header_tells_all_that_made_it(folder: Path) -> None:
    header = rank(folder).header
    assert header['method'] == 'influence'
    assert header['seed'] == 3
    assert header['options']['rank']['iterations'] == 4
    assert header['options']['network_g']['type'] == 'IRCNN'
    assert header['versions']['torch'] == importlib.metadata.version('torch')
    chosen = header['chosen']['']
    assert chosen['curvature_images'] == 5
    assert chosen['damping'][0] == pytest.approx(1e-6 * chosen['largest_eigenvalue'])


@pytest.mark.parametrize('method', ['graddot', 'loss', 'random'])
def test_a_baseline_names_its_column(folder: Path, method: str) -> None:
    manifest = rank(folder, method=method)
    assert manifest.names == ['path', 'height', 'width', method, 'rank']
    assert sorted(manifest.column('rank')) == list(range(1, IMAGES + 1))


def test_several_dampings_are_columns_and_the_first_ranks(folder: Path) -> None:
    manifest = rank(folder, damping=[1e-2, 1e-1])
    assert manifest.column('influence') == manifest.column('influence_damping_0.01')
    assert manifest.column('influence_damping_0.1') != manifest.column('influence')
    shutil.rmtree('results')
    alone = rank(folder, damping=1e-2)
    np.testing.assert_allclose(alone.column('influence'), manifest.column('influence'), rtol=1e-4)


def test_levels_are_ranked_alone_and_combined_by_mean_rank(folder: Path) -> None:
    levels = [
        {'name': 'weak', 'dataset': {'sigma': 5}},
        {'name': 'strong', 'dataset': {'sigma': 60}, 'pretrain_network_g': weights(folder, 'other', 2)},
    ]
    manifest = rank(folder, levels=levels)
    ranks = np.array([manifest.column('rank_weak'), manifest.column('rank_strong')])
    score = 1 - (ranks.mean(0) - 1) / (IMAGES - 1)
    np.testing.assert_allclose(manifest.column('influence'), score)
    assert list(np.argsort(manifest.column('rank'))) == list(np.argsort(-score, kind='stable'))
    for name, sigma, net in (('weak', 5, 'net'), ('strong', 60, 'other')):
        opt = options(folder)
        opt['name'] = name
        opt['path']['pretrain_network_g'] = str(folder / f'{net}.pth')
        for dataset in opt['datasets'].values():
            dataset['sigma'] = sigma
        assert main(['rank', '-opt', write(folder, opt)]) == 0
        assert ranking(name).column('influence') == manifest.column(f'influence_{name}')


# ---- killed, resumed, shared ----


@pytest.mark.parametrize('solver', ['gauss_newton', pytest.param('stochastic', marks=pytest.mark.slow)])
def test_killed_and_resumed_gives_the_same_file(folder: Path, solver: str) -> None:
    block = {'solver': solver, 'batch_size': 1, 'iterations': 30, 'curvature_images': 9, 'times': 60}
    rank(folder, **block)
    expected = Path('results/small/ranking.parquet').read_bytes()
    shutil.rmtree('results')
    command = ['-m', 'basicsr_ext', 'rank', '-opt', str(folder / 'rank.yml')]
    unfinished = folder / 'results/small/unfinished'
    codes = kill_again_and_again(command, folder, unfinished / 'test_gradient.pth', 0.1)
    assert codes[0] != 0
    run(command, folder)
    assert Path('results/small/ranking.parquet').read_bytes() == expected
    assert not unfinished.exists()


def test_two_processes_give_what_one_gives(folder: Path) -> None:
    manifest = rank(folder)
    shutil.rmtree('results')
    run_ranks(['-m', 'basicsr_ext', 'rank', '-opt', str(folder / 'rank.yml'), '--launcher', 'pytorch'], folder)
    np.testing.assert_allclose(ranking().column('influence'), manifest.column('influence'), rtol=1e-3, atol=1e-9)
    assert ranking().column('rank') == manifest.column('rank')


def test_a_finished_ranking_is_kept(folder: Path) -> None:
    rank(folder)
    before = Path('results/small/ranking.parquet').stat().st_mtime_ns
    rank(folder)
    assert Path('results/small/ranking.parquet').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ('block', 'unit'),
    [
        ({'grad_loss': {'type': 'MSELoss'}}, 'rise of the mean MSELoss'),
        ({'grad_loss': {'type': 'L1Loss'}}, None),
        ({'method': 'matching', 'size': 2, 'grad_loss': {'type': 'MSELoss'}}, 'fall of the mean MSELoss'),
    ],
)
def test_the_header_tells_the_unit(folder: Path, block: dict[str, Any], unit: str | None) -> None:
    header = rank(folder, **block).header
    assert header['unit'] is None if unit is None else unit in header['unit']
    if 'size' in block:
        assert Predictor('results/small/features.parquet').unit == header['unit']
    curvature = header['chosen']['']['loss_curvature']
    assert curvature == (None if unit is None else pytest.approx(2, rel=1e-3))


@pytest.mark.parametrize('part', ['finished', 'unfinished'])
def test_a_ranking_of_a_version_with_other_sizes_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    manifest, path = rank(folder), folder / 'results/small/ranking.parquet'
    earlier = {key: manifest.header[key] for key in ('method', 'seed', 'options', 'weights', 'levels', 'groups')}
    if part == 'unfinished':
        path.unlink()
        path.with_name('unfinished').mkdir()
        path.with_name('unfinished').joinpath('identity.json').write_text(json.dumps(earlier))
    else:
        write_manifest(path, manifest.items(), {name: manifest.column(name) for name in ('influence', 'rank')}, earlier)
    message = refused(folder, options(folder), capsys)
    assert "scores: None became 'units of grad_loss'" in message and 'give another name' in message


@pytest.mark.parametrize('part', ['finished', 'unfinished'])
@pytest.mark.parametrize('change', ['option', 'network', 'image', 'degradation'])
def test_a_ranking_of_something_else_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], part: str, change: str
) -> None:
    rank(folder)
    if part == 'unfinished':
        header = ranking().header
        keys = ('method', 'seed', 'options', 'levels', 'scores')
        (folder / 'results/small/unfinished').mkdir()
        identity = json.dumps({key: header[key] for key in keys})
        (folder / 'results/small/unfinished/identity.json').write_text(identity)
        (folder / 'results/small/ranking.parquet').unlink()
    opt = options(folder)
    named = {
        'option': 'options.rank.iterations: 4 became 5',
        'network': 'levels..weights',
        'image': 'levels..train.content',
        'degradation': 'options.datasets.train.sigma: 25 became 30',
    }
    if change == 'option':
        opt['rank']['iterations'] = 5
    elif change == 'network':
        weights(folder, 'net', 7)
    elif change == 'image':
        cv2.imwrite(str(folder / 'train/003.png'), np.zeros((24, 24), np.uint8))
    else:
        opt['datasets']['train']['sigma'] = 30
    message = refused(folder, opt, capsys)
    assert named[change] in message
    assert 'give another name' in message


# ---- networks ----

NETWORKS = {
    'DnCNN': {'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4, 'num_layers': 4},
    'Restormer': {'num_in_ch': 1, 'num_out_ch': 1, 'dim': 8, 'num_blocks': [1, 1, 1, 1], 'heads': [1, 1, 2, 2]},
    'SwinIR': {'in_chans': 1, 'img_size': 24, 'window_size': 8, 'depths': [2], 'num_heads': [2], 'embed_dim': 8,
               'mlp_ratio': 2, 'upsampler': ''},
}  # fmt: skip


@pytest.mark.parametrize(
    'name', ['DnCNN', *(pytest.param(name, marks=pytest.mark.slow) for name in ('SwinIR', 'Restormer'))]
)
def test_other_networks_rank_in_both_precisions(folder: Path, name: str) -> None:
    """Sides of 28 pixels, which neither Restormer's 8 nor SwinIR's window divides."""
    write_images(folder / 'train', number=IMAGES, size=28)
    network = {'type': name, **NETWORKS[name]}
    scores = {}
    for precision in ('float32', 'bfloat16'):
        opt = options(folder, precision=precision, damping=0.1)
        opt.update(name=precision, network_g=network, path={'pretrain_network_g': weights(folder, 'net', 1, **network)})
        assert main(['rank', '-opt', write(folder, opt)]) == 0
        assert 'no forward-mode' not in next(Path('results', precision).glob('*.log')).read_text()
        scores[precision] = np.array(ranking(precision).column('influence'))
    assert np.corrcoef(scores['float32'], scores['bfloat16'])[0, 1] > 0.99


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_ranks_as_the_cpu(folder: Path) -> None:
    manifest = rank(folder)
    shutil.rmtree('results')
    on_gpu = rank(folder, '--set', 'num_gpu=1')
    np.testing.assert_allclose(on_gpu.column('influence'), manifest.column('influence'), rtol=1e-2)


class NoForwardMode(torch.autograd.Function):
    """x -> 2 x, without jvp."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


class Doubling(nn.Module):
    """A network with an operation that has no forward-mode derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x - NoForwardMode.apply(self.conv(x))


def test_a_network_without_forward_mode_falls_back_and_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, 'Doubling', Doubling)
    opt = options(folder)
    opt['network_g'] = {'type': 'Doubling'}
    opt['path']['pretrain_network_g'] = weights(folder, 'net', 1, type='Doubling')
    file = write(folder, opt)
    assert main(['rank', '-opt', file]) == 0
    log = next(Path('results/small').glob('*.log')).read_text()
    assert 'Doubling has no forward-mode derivative' in log
    assert len(set(ranking().column('influence'))) == IMAGES


# ---- what is refused before work starts ----


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'rank': {'methd': 'influence'}}, r"rank.methd: expected a known key, got 'methd'. Did you mean method?"),
        ({'rank': {'solver': 'newton'}}, "rank.solver: expected 'gauss_newton' or 'cg' or 'stochastic', got 'newton'"),
        ({'rank': {'damping': [1e-3, 1e-3]}}, 'rank.damping: expected different numbers of at least 0, or auto'),
        ({'rank': {'iterations': 0}}, 'rank.iterations: expected at least 1, got 0'),
        ({'rank': {'scale': -1}}, 'rank.scale: expected more than 0, got -1'),
        ({'rank': {'grad_loss': {'type': 'L1Los'}}}, "rank.grad_loss.type: expected a name in the registry 'loss'"),
        ({'rank': {'levels': [{'nme': 'a'}]}}, "rank.levels.0.nme: expected a known key, got 'nme'"),
        (
            {'rank': {'levels': [{'name': 'a', 'dataset': {'sigm': 3}}]}},
            'rank.levels a: datasets.test.sigm: expected a known key',
        ),
        ({'rank': {'levels': [{'name': 'a'}, {'name': 'a'}]}}, 'rank.levels.1.name: expected a name of its own'),
        ({'model_type': 'RestorationModel'}, "model_type: expected a known key, got 'model_type'"),
        ({'path': {'pretrain_network_g': None}}, 'path.pretrain_network_g: expected the weights of a trained network'),
        ({'path': {'pretrain_network_g': 'none.pth'}}, "path.pretrain_network_g: expected a file, got 'none.pth'"),
        ({'path': {'pretrain_network': 'a'}}, "path.pretrain_network: expected a known key, got 'pretrain_network'"),
        ({'network_g': {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}}, 'of another shape'),
    ],
)
def test_wrong_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: dict[str, dict[str, Any]], message: str
) -> None:
    opt = options(folder)
    for key, value in change.items():
        opt[key] = {**opt[key], **value} if key in ('rank', 'path') else value
    assert message in refused(folder, opt, capsys)
    assert not Path('results').exists()


def test_a_missing_block_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ('rank', 'datasets', 'network_g'):
        opt = options(folder)
        del opt[key]
        expected = 'a network (trained, at which gradients are taken)' if key == 'network_g' else 'a value'
        assert f'{key}: expected {expected}, got none' in refused(folder, opt, capsys)
    opt = options(folder)
    opt['datasets']['val'] = opt['datasets'].pop('test')
    assert 'datasets: expected train and test, got train, val' in refused(folder, opt, capsys)


def test_a_network_that_does_not_fit_the_images_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = options(folder)
    opt['datasets']['train']['color'] = 'rgb'
    assert 'datasets.train: expected input that IRCNN takes, got (1, 3, 24, 24)' in refused(folder, opt, capsys)


def test_diverging_stochastic_recursion_names_the_way_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(folder, options(folder, solver='stochastic', scale=1e-4), capsys)
    assert 'solver stochastic, iteration ' in message
    assert 'Raise rank.scale or set it to auto' in message


def test_check_computes_nothing(folder: Path) -> None:
    assert main(['rank', '-opt', write(folder, options(folder)), '--check']) == 0
    assert not Path('results').exists()
