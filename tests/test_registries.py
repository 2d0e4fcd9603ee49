"""The registries: stock names untouched, ours documented and buildable."""

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.losses import build_loss
from basicsr.metrics import calculate_metric
from basicsr.models import build_model
from basicsr.utils.registry import LOSS_REGISTRY
from torch.utils.data import default_collate

from basicsr_ext.jobs.checks import check_dataset, check_options
from basicsr_ext.metrics import lpips_metric
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import OptionLoader
from basicsr_ext.training.loader import samples_per_rank
from tests.helpers.named_files import first_iteration, make_manifests
from tests.helpers.option_files import REGISTRIES, REPOSITORY, ours

# ---- stock names and clashes: two processes, each tells what it found ----

START = f"""
import importlib, json, sys, types
sys.path.insert(0, {str(REPOSITORY)!r})
found = {{}}

def names():
    from basicsr.utils import registry
    return {{key: {{name: [o.__module__, o.__qualname__] for name, o in r}}
             for key, r in vars(registry).items() if isinstance(r, registry.Registry)}}

def clash(module):
    try:
        importlib.import_module(module)
    except Exception as error:
        return f'{{type(error).__name__}}: {{error}}'
    return 'no error'
"""

END = """
print('FOUND' + json.dumps(found))
"""

# BasicSR with the package's module of repairs but without the package itself; then my own class, then the package.
STOCK_FIRST = f"""
package = types.ModuleType('basicsr_ext')
package.__path__ = [{str(REPOSITORY / 'basicsr_ext')!r}]
sys.modules['basicsr_ext'] = package
from basicsr_ext import _compat
_compat.serve_removed_modules()
_compat.define_missing_operators()
import basicsr
found['names'] = names()
import mine
for name in [name for name in sys.modules if name.partition('.')[0] == 'basicsr_ext']:
    del sys.modules[name]
found['clash'] = clash('basicsr_ext')
found['names after the clashes'] = names()
"""

OURS_FIRST = """
import basicsr_ext
found['names'] = names()
from basicsr.models.base_model import BaseModel
from basicsr.utils import options, registry
registries = [r for r in vars(registry).values() if isinstance(r, registry.Registry)]
before = [dict(iter(r)) for r in registries], options.parse_options, BaseModel.save_network, len(sys.meta_path)
import basicsr_ext
importlib.reload(basicsr_ext)
importlib.reload(basicsr_ext)
found['reload changes nothing'] = before == (
    [dict(iter(r)) for r in registries], options.parse_options, BaseModel.save_network, len(sys.meta_path))
found['repaired once'] = not hasattr(options.parse_options.__wrapped__, '__wrapped__')
for name in ('archs.ircnn_arch', 'data.gaussian_denoising_dataset', 'metrics.psnrb_metric', 'models.restoration_model'):
    importlib.reload(sys.modules['basicsr_ext.' + name])
found['names after reloading modules'] = names()
found['reloaded class is registered'] = (
    registry.ARCH_REGISTRY.get('IRCNN') is sys.modules['basicsr_ext.archs.ircnn_arch'].IRCNN)
found['clash'], found['clash with stock'] = clash('mine'), clash('mine_too')
found['names after the clashes'] = names()
"""

MINE = """
from basicsr.utils.registry import ARCH_REGISTRY

@ARCH_REGISTRY.register()
class IRCNN:
    pass
"""


def python(folder: Path, *parts: str) -> dict[str, Any]:
    """Run a script in a fresh interpreter; `mine.py` and `mine_too.py`, with classes of a user's, are beside it."""
    (folder / 'mine.py').write_text(MINE)
    (folder / 'mine_too.py').write_text(MINE.replace('IRCNN', 'EDSR'))
    (folder / 'script.py').write_text('\n'.join((START, *parts, END)))
    result = subprocess.run(
        [sys.executable, 'script.py'],
        cwd=folder,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = next(line for line in result.stdout.splitlines() if line.startswith('FOUND'))
    return {**json.loads(found.removeprefix('FOUND')), 'folder': str(folder)}


@pytest.fixture(scope='module')
def stock_first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return python(tmp_path_factory.mktemp('stock_first'), STOCK_FIRST)


@pytest.fixture(scope='module')
def ours_first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return python(tmp_path_factory.mktemp('ours_first'), OURS_FIRST)


def test_stock_names_are_untouched(stock_first: dict[str, Any], ours_first: dict[str, Any]) -> None:
    stock, extended = stock_first['names'], ours_first['names']
    assert set(stock) == set(extended)
    assert {'SRModel', 'ESRGANModel', 'SwinIRModel'} <= set(stock['MODEL_REGISTRY'])
    for registry, found in stock.items():
        assert all(place[0].partition('.')[0] == 'basicsr' for place in found.values())
        assert {name: extended[registry][name] for name in found} == found
        added = {name: place for name, place in extended[registry].items() if name not in found}
        assert all(place[0].partition('.')[0] == 'basicsr_ext' for place in added.values())
    assert {'DnCNN', 'IRCNN', 'Restormer'} <= set(extended['ARCH_REGISTRY']) - set(stock['ARCH_REGISTRY'])


def test_importing_again_and_reloading_are_harmless(ours_first: dict[str, Any]) -> None:
    assert ours_first['reload changes nothing']
    assert ours_first['repaired once']


def test_reloading_a_module_registers_its_new_class(ours_first: dict[str, Any]) -> None:
    assert ours_first['names after reloading modules'] == ours_first['names']
    assert ours_first['reloaded class is registered']


@pytest.mark.parametrize('order', ['ours_first', 'stock_first'])
def test_a_name_of_ours_that_a_user_takes_is_the_users(order: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(order)
    assert found['clash'] == 'no error'
    assert found['names after the clashes']['ARCH_REGISTRY']['IRCNN'] == ['mine', 'IRCNN']
    assert found['names after the clashes']['ARCH_REGISTRY']['IRCNN_basicsr_ext'] == [
        'basicsr_ext.archs.ircnn_arch',
        'IRCNN',
    ]


def test_a_clash_with_a_stock_name_names_both_places(ours_first: dict[str, Any]) -> None:
    assert re.search(r'NameClashError: .*edsr_arch\.py:\d+ and .*mine_too\.py:4', ours_first['clash with stock'])
    after = ours_first['names after the clashes']
    changed = {'IRCNN': None, 'IRCNN_basicsr_ext': None}
    assert {**after['ARCH_REGISTRY'], **changed} == {**ours_first['names']['ARCH_REGISTRY'], **changed}
    assert {**after, 'ARCH_REGISTRY': None} == {**ours_first['names'], 'ARCH_REGISTRY': None}


# ---- the example in every docstring ----

OURS_BY_NAME = [(kind, name) for kind in REGISTRIES for name in ours(kind)]


def example(item: Any) -> dict[str, Any]:
    """The block below `.. code-block:: yaml` in a docstring."""
    text = inspect.getdoc(item) or ''
    assert '.. code-block:: yaml' in text, f'{item.__qualname__} has no example'
    lines = text.split('.. code-block:: yaml', 1)[1].splitlines()[1:]
    block = []
    for line in lines:
        if line.strip() and not line.startswith('    '):
            break
        block.append(line)
    found = yaml.load(textwrap.dedent('\n'.join(block)), OptionLoader)
    assert isinstance(found, dict)
    return found


def point_to(block: Any, folder: str) -> None:
    """Let every `dataroot_*` of a block, however deep, name a folder."""
    for key, value in block.items():
        if isinstance(value, dict):
            point_to(value, folder)
        elif key.startswith('dataroot'):
            block[key] = folder


def whole_file(part: dict[str, Any]) -> dict[str, Any]:
    """A complete train file around an example: its blocks replace those of a small denoiser."""
    data = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'images', 'color': 'gray', 'gt_size': 16}
    default: dict[str, Any] = {
        'name': 'example',
        'model_type': 'RestorationModel',
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {},
        'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4},
        'path': {},
        'train': {'total_iter': 1, 'optim_g': {'type': 'Adam', 'lr': 1e-4}, 'pixel_opt': {'type': 'L1Loss'}},
        'val': {'val_freq': 1, 'save_img': False},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1},
    }
    opt = {**default, **{key: value for key, value in part.items() if key not in ('train', 'val')}, 'num_gpu': 0}
    for key in ('train', 'val'):
        opt[key] = {**default[key], **part.get(key, {})}
    opt['datasets'].setdefault('train', {'name': 'default', **data})
    opt['datasets']['train'].setdefault('batch_size_per_gpu', 1)
    point_to(opt['datasets'], 'images')
    make_manifests(opt['datasets'])
    return opt


def completed(part: dict[str, Any]) -> dict[str, Any]:
    opt = whole_file(part)
    complete(opt, Path.cwd(), is_train=True)
    check_options(opt)
    return opt


@pytest.mark.parametrize(('kind', 'name'), OURS_BY_NAME)
def test_every_name_has_an_example_that_names_it(kind: str, name: str) -> None:
    item = ours(kind)[name]
    summary = (inspect.getdoc(item) or '').splitlines()[0]
    assert summary.endswith('.')
    assert re.search(rf'(type|model_type): {name}\b', yaml.safe_dump(example(item)))


@pytest.mark.parametrize('name', ours('arch'))
def test_the_example_of_a_network_builds_and_runs(name: str, pictures: Path) -> None:
    opt = completed(example(ours('arch')[name]))
    block = next(block for key, block in opt.items() if key.startswith('network_') and block['type'] == name)
    network = build_network(block).eval()
    channels = block.get('num_in_ch', 3)
    image = torch.rand(1, channels, 16, 16)
    with torch.no_grad():
        output = network(image)
        if hasattr(network, 'features'):
            assert network.features(image).ndim == 4
        else:
            assert output.shape[:2] == (1, block.get('num_out_ch', channels))
    assert output.isfinite().all()


@pytest.mark.parametrize('name', ours('dataset'))
def test_the_example_of_a_dataset_builds_and_reads(name: str, pictures: Path) -> None:
    opt = completed(example(ours('dataset')[name]))
    key, block = next((key, block) for key, block in opt['datasets'].items() if block['type'] == name)
    dataset = build_dataset(block)
    check_dataset(dataset, f'datasets.{key}')
    pictures_of_groups = 2 * len(block.get('datasets', [name]))
    assert len(dataset) == (1 if name == 'MinedPatchDataset' else block.get('size', pictures_of_groups))
    sample = default_collate([dataset[first_iteration(0)], dataset[first_iteration(len(dataset) - 1)]])
    scale = opt.get('scale', 1)
    if name == 'ComplexityLabelDataset':
        assert sample['lq'].shape == (2, 3, 128, 128) and sample['gt'].tolist() == [[0], [1]]
        return
    assert [side * scale for side in sample['lq'].shape[-2:]] == list(sample['gt'].shape[-2:])
    assert sample['lq'].dtype == torch.float32
    alike = torch.equal(sample['gt'][..., : sample['lq'].shape[-2], : sample['lq'].shape[-1]], sample['lq'])
    assert alike == ('dataroot_lq' in block)  # which is the folder of the clean images here


@pytest.mark.parametrize('name', ours('metric'))
def test_the_example_of_a_metric_runs(name: str, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # ImageNet's weights would come from the network; distances between random features do as well.
    monkeypatch.setattr(lpips_metric, '_load_backbone', lambda slices, net: None)
    lpips_metric.build_lpips.cache_clear()
    opt = completed(example(ours('metric')[name]))
    truth = cv2.imread('images/a.png')[:64, :64]
    restored = np.clip(truth.astype(int) + 20, 0, 255).astype(np.uint8)
    for block in opt['val']['metrics'].values():
        images = (restored, np.full_like(truth, 128))
        good, bad = (calculate_metric({'img': image, 'img2': truth}, block) for image in images)
        assert good > bad if block.get('better', 'higher') == 'higher' else good < bad
    lpips_metric.build_lpips.cache_clear()


@pytest.mark.parametrize('name', [*ours('loss'), 'L1Loss'])
def test_the_example_of_a_loss_builds_and_runs(name: str) -> None:
    """`L1Loss` is BasicSR's: the test runs while there is no loss of ours."""
    item = LOSS_REGISTRY.get(name)
    part = example(item) if name in ours('loss') else {'train': {'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0}}}
    section = part.get('train') or part['distill']
    blocks = [block for block in section.values() if isinstance(block, dict)] + section.get('losses', [])
    block = next(block for block in blocks if block.get('type') == name)
    prediction, target = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(1, 3, 16, 16)
    loss = build_loss({key: value for key, value in block.items() if key != 'name'})(prediction, target)
    loss.backward()
    assert loss.ndim == 0
    assert prediction.grad is not None and prediction.grad.abs().sum() > 0


@pytest.mark.parametrize('name', ours('model'))
def test_the_example_of_a_model_trains_and_tests(name: str, pictures: Path) -> None:
    opt = completed(example(ours('model')[name]))
    assert opt['model_type'] == name
    dataset = build_dataset(opt['datasets']['train'])
    model = build_model(opt)
    before = [p.detach().clone() for p in model.get_bare_model(model.net_g).parameters()]
    model.update_learning_rate(1, warmup_iter=opt['train'].get('warmup_iter', -1))
    model.feed_data(default_collate([dataset[i % 2] for i in range(samples_per_rank(opt))]))
    model.optimize_parameters(1)
    after = list(model.get_bare_model(model.net_g).parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(np.isfinite(value) for value in model.get_current_log().values())
    model.feed_data(default_collate([dataset[0]]))
    model.test()
    assert model.get_current_visuals()['result'].shape == (
        (1, 1) if name == 'ComplexityScorerModel' else (1, 1, 16, 16)
    )
