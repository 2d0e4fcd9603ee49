"""The registries: stock names untouched, ours documented and buildable, and all that option files name exists."""

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
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
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from torch.utils.data import default_collate

from basicsr_ext.jobs import complexity
from basicsr_ext.jobs.align import align_pipeline
from basicsr_ext.jobs.calibrate import calibrate_pipeline
from basicsr_ext.jobs.checks import check_dataset, check_options
from basicsr_ext.jobs.distill import distill_pipeline
from basicsr_ext.jobs.mine import mine_pipeline
from basicsr_ext.jobs.rank import rank_pipeline
from basicsr_ext.metrics import lpips_metric
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks, walk_blocks
from basicsr_ext.options.load import OptionLoader, load_options
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest
from basicsr_ext.training.loader import samples_per_rank
from tests.helpers.option_files import (
    FILES,
    OPTION_FILES,
    REGISTRIES,
    REPOSITORY,
    job_of,
    known_types,
    option_file,
    ours,
    types_in,
)

CHANNELS = ('num_in_ch', 'in_chans', 'in_channels')  # what networks call the channels of their input


def first_iteration(index: int) -> ScheduledIndex:
    """An index as the training loop gives it."""
    return ScheduledIndex(index, seed=0, iteration=1, position=index, warmup=False)


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
def test_a_clash_names_both_places(order: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(order)
    assert 'NameClashError: arch registry: expected one object named IRCNN, got ' in found['clash']
    line = inspect.getsourcelines(ARCH_REGISTRY.get('IRCNN'))[1]
    assert f'{REPOSITORY}/basicsr_ext/archs/ircnn_arch.py:{line}' in found['clash']
    assert f'{found["folder"]}/mine.py:4' in found['clash']
    assert found['clash'].endswith('Rename yours.')


def test_a_clash_with_a_stock_name_names_both_places(ours_first: dict[str, Any]) -> None:
    assert re.search(r'NameClashError: .*edsr_arch\.py:\d+ and .*mine_too\.py:4', ours_first['clash with stock'])
    assert ours_first['names after the clashes'] == ours_first['names']


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


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with `images/`: two colour PNGs of 208 x 200 pixels."""
    monkeypatch.chdir(tmp_path)
    make_pictures(Path('images'))
    yield tmp_path


def make_pictures(folder: Path, count: int = 2, height: int = 208, width: int = 200) -> None:
    """The first `count` pictures of a folder, as far as it does not have them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):  # a, b, ..., z, aa, bb, ...
        name = chr(ord('a') + number % 26) * (number // 26 + 1)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        if not (folder / f'{name}.png').exists():
            cv2.imwrite(str(folder / f'{name}.png'), image)


def make_manifests(block: dict[str, Any]) -> None:
    """Write every ranking that a dataset block names, of as many pictures as it asks for."""
    for value in block.values():
        if isinstance(value, dict):
            make_manifests(value)
    if 'manifest' in block:
        assert not os.path.isabs(block['manifest'])
        items = []
        for reader, path in reader_blocks(block, ''):
            folder, group = Path(reader['dataroot_gt']), path.rpartition('datasets.')[2] if 'datasets.' in path else ''
            make_pictures(folder, max(2, block.get('size', 0), *block.get('range', ())))
            for file in sorted(folder.iterdir()):
                name = f'{group}/{file.name}' if group else file.name
                items.append(Item(name, *cv2.imread(str(file)).shape[:2], group))
        if block['type'] == 'MinedPatchDataset':
            numbers = np.arange(len(items))
            patches = {'image': numbers, 'y': 2 * numbers, 'x': 2 * numbers, 'size': np.full(len(items), 16)}
            scores = {block.get('criterion') or 'grad': numbers.astype(float)}
            write_patch_manifest(block['manifest'], items, [{**patches, **scores}], {'method': 'none'})
        else:
            ranks = range(1, len(items) + 1)
            write_manifest(block['manifest'], items, {block.get('column', 'rank'): ranks}, {'method': 'none'})


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
    assert not torch.equal(sample['gt'][..., : sample['lq'].shape[-2], : sample['lq'].shape[-1]], sample['lq'])


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


# ---- option files ----


def test_there_are_option_files() -> None:
    folders = {path.relative_to(REPOSITORY / 'options').parts[0] for path in FILES}
    assert {'train', 'test', 'rank', 'mine', 'distill', 'align', 'complexity', 'calibrate', 'demo'} <= folders


def option_id(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize('path', OPTION_FILES, ids=option_id)
def test_every_type_in_an_option_file_is_known(path: Path) -> None:
    found = list(types_in(load_options(path)))
    # a model, a dataset, a network
    assert len(found) >= {'mine': 2, 'rank': 2, 'complexity': 1, 'calibrate': 2}.get(job_of(path), 3)
    assert set(found) <= known_types()


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'rank'], ids=option_id)
def test_an_option_file_of_rank_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and one image of each dataset runs through each network."""
    opt, argv = load_options(path), ['-opt', str(path), '--set', 'num_gpu=0']
    assert opt['name'] == path.stem
    for block in opt['datasets'].values():
        fill_dataroots(block, least=64)
    make_weights(opt)
    assert rank_pipeline(Path.cwd(), [*argv, '--check']) == 0


def make_weights(opt: dict[str, Any]) -> None:
    """Write every file of weights that an option file names and that does not come with the package."""
    for key, value in (opt.get('path') or {}).items():
        if key.startswith('pretrain_network') and value is not None and not value.startswith('pkg://'):
            assert not os.path.isabs(value)
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            network = key.removeprefix('pretrain_')
            block = opt[network] if network in opt else opt['network_g']  # a teacher may be built as the student is
            torch.save(build_network(block).state_dict(), value)


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'mine'], ids=option_id)
def test_an_option_file_of_mine_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its dataset should be: checked, and the first patches are measured."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    fill_dataroots(loaded['datasets']['train'], loaded.get('scale', 1))
    assert mine_pipeline(Path.cwd(), ['-opt', str(path), '--set', 'num_gpu=0', '--check']) == 0


# Second derivatives of the networks of the papers, at their patches, take minutes here.
SMALLER = {
    'Restormer': ['network_g.dim=8', 'network_g.num_blocks=[1, 1, 1, 1]', 'network_g.num_refinement_blocks=1'],
    'IRCNN': [],
}


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'distill'], ids=option_id)
def test_an_option_file_of_distill_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its dataset should be and a small autoencoder: checked, and a first step is done."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    block, train = loaded['distill'], loaded['datasets']['train']
    make_weights(loaded)
    fill_dataroots(train, loaded.get('scale', 1))
    if block.get('manifest'):
        items = [Item(picture.name, 208, 200) for picture in sorted(Path(train['dataroot_gt']).iterdir())]
        columns = {block.get('column', 'rank'): range(1, len(items) + 1)}
        Path(block['manifest']).parent.mkdir(parents=True)
        write_manifest(block['manifest'], items, columns, {'method': 'none'})
    if block.get('vae'):
        make_vae(Path(block['vae']['path'], block['vae'].get('subfolder') or ''))
    smaller = ['num_gpu=0', 'distill.image_size=32', 'distill.batch_size=1', 'distill.real_batch_size=1']
    smaller += ['distill.kept=0', *SMALLER[loaded['network_g']['type']]]
    assert distill_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', *smaller]) == 0


def make_vae(folder: Path) -> None:
    """An autoencoder that reduces as much, and has codes of as many channels, as that of Stable Diffusion 3."""
    from diffusers import AutoencoderKL

    AutoencoderKL(
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        block_out_channels=(4, 4, 4, 4),
        latent_channels=16,
        norm_num_groups=2,
        layers_per_block=1,
    ).save_pretrained(folder)


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'complexity'], ids=option_id)
def test_an_option_file_of_complexity_is_sound(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and counted, but for the analysis of mmengine, which takes a quarter of a minute."""
    assert load_options(path)['name'] == path.stem
    monkeypatch.setattr(complexity, 'full_macs', lambda *_: 0)
    assert complexity.complexity_pipeline(tmp_path, ['-opt', str(path), '--check']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'calibrate'], ids=option_id)
def test_an_option_file_of_calibrate_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and one image passes all exits."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    for block in loaded['datasets'].values():
        fill_dataroots(block, loaded.get('scale', 1), least=64)
    assert calibrate_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', 'num_gpu=0']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'align'], ids=option_id)
def test_an_option_file_of_align_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and the first image passes all networks."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    for block in loaded['datasets'].values():
        fill_dataroots(block, loaded.get('scale', 1), least=64)
        make_manifests(block)
    assert align_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', 'num_gpu=0']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) in ('train', 'test')], ids=option_id)
def test_an_option_file_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, its datasets built, its weights load strictly."""
    opt = load_options(path)
    opt['num_gpu'] = 0
    for block in opt['datasets'].values():
        fill_dataroots(block, opt.get('scale', 1))
        make_manifests(block)
    make_weights(opt)
    is_train = 'train' in opt
    assert opt['name'] == path.stem
    complete(opt, Path.cwd(), is_train)
    check_options(opt)
    for key, block in opt['datasets'].items():
        dataset = build_dataset(block)
        check_dataset(dataset, f'datasets.{key}')
        sample = dataset[first_iteration(0)]
        assert sample['lq'].shape[0] == next(
            (opt['network_g'][name] for name in CHANNELS if name in opt['network_g']), 3
        )
    if not is_train:
        build_model(opt)


RANKING = re.compile(r'results/(\w+)/ranking\.parquet')


@pytest.mark.parametrize(
    'path', [path for path in OPTION_FILES if RANKING.search(path.read_text(encoding='utf-8'))], ids=option_id
)
def test_a_ranking_is_of_the_images_that_are_chosen(path: Path) -> None:
    """The folders of a dataset with `manifest` are those that the option file of that ranking names."""
    opt, checked = load_options(path), 0
    blocks = [block for outer in opt['datasets'].values() for block, _ in walk_blocks(outer, '')]
    if 'manifest' in opt.get('distill', {}):
        blocks.append({**opt['datasets']['train'], 'manifest': opt['distill']['manifest']})
    for block in blocks:
        found = RANKING.fullmatch(str(block.get('manifest')))
        if found:
            ranked = load_options(option_file(found[1]))['datasets']['train']
            folders = [[reader['dataroot_gt'] for reader, _ in reader_blocks(item, '')] for item in (block, ranked)]
            assert folders[0] == folders[1]
            checked += 1
    assert checked


def fill_dataroots(block: dict[str, Any], scale: int = 1, least: int = 200) -> None:
    """Put pictures of at least so many pixels into every folder of a dataset; those of LQ are smaller by the scale."""
    for key, value in block.items():
        if isinstance(value, dict):
            fill_dataroots(value, scale, least)
        elif key.startswith('dataroot'):
            assert not os.path.isabs(value)
            side = max(least, block.get('gt_size') or 0)
            make_pictures(Path(value), height=side + 8, width=side)
    if 'dataroot_lq' in block:
        for path in list(Path(block['dataroot_lq']).iterdir()):
            small = cv2.resize(cv2.imread(str(path)), None, fx=1 / scale, fy=1 / scale)
            path.unlink()
            cv2.imwrite(str(path.with_stem(block.get('filename_tmpl', '{}').format(path.stem))), small)
