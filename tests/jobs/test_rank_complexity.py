"""The job `rank` with `method: complexity`: values, sources, scorer, groups, kill and resume, what it refuses."""

import csv
import importlib.metadata
import json
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.__main__ import main
from basicsr_ext.images.pixels import thumbnail
from basicsr_ext.jobs.rank.method import METHODS
from basicsr_ext.runtime import unit_files
from basicsr_ext.selection.complexity.criteria import CRITERIA
from basicsr_ext.selection.complexity.networks import Scorer
from basicsr_ext.selection.complexity.scan import UNIT, ComplexityReader
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.manifest import Item, Manifest, read_manifest
from tests.helpers import images as helper_images
from tests.helpers import jobs
from tests.helpers.criteria import plain_complexity
from tests.helpers.images import pack_lmdb
from tests.helpers.processes import run, run_ranks, stop_when

Options = dict[str, Any]
SIZES = {'a': (20, 24), 'b': (17, 40), 'c': (33, 21), 'd': (30, 31), 'e': (26, 18)}
ENDING = {'c': '.jpg', 'd': '.jpg'}
RESULT, UNFINISHED = Path('results/small/ranking.parquet'), Path('results/small/unfinished')
COMMAND = ['-m', 'basicsr_ext', 'rank', '-opt', 'rank.yml']
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25}
PAIRED = {
    'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}
}  # fmt: skip
IRCNN = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
SCORER = {'type': 'SmallScorer'}


class SmallScorer(nn.Module):
    """The interface of ComplexityScorer: N x 3 x H x W, RGB, [0, 1] to N x 1."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 5, 3), nn.Linear(4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1:] == (3, 128, 128) and x.min() >= 0 and x.max() <= 1
        return self.head(self.conv(x).relu().mean((2, 3))).sigmoid()


@pytest.fixture(autouse=True)
def registered_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, 'SmallScorer', SmallScorer)


def write_images(folder: str, sizes: dict[str, tuple[int, int]] = SIZES, divisor: int = 1) -> None:
    """Colour images of different contrast: smooth ones with noise."""
    Path(folder).mkdir()
    rng = np.random.default_rng(divisor)
    for number, (name, (height, width)) in enumerate(sizes.items()):
        smooth = rng.integers(0, 200, (4, 4, 3), np.uint8)
        large = cv2.resize(smooth, (width // divisor, height // divisor), interpolation=cv2.INTER_LINEAR)
        noise = rng.integers(0, 1 + 9 * (number % 6), large.shape, np.uint8)
        cv2.imwrite(f'{folder}/{file_of(name)}', large + noise)


def file_of(name: str) -> str:
    return name + ENDING.get(name, '.png')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/ and lq/ of half the size."""
    monkeypatch.chdir(tmp_path)
    write_images('gt')
    write_images('lq', divisor=2)
    return tmp_path


def options(dataset: Options | None = None, **rank: Any) -> Options:
    return {
        'name': 'small',
        'num_gpu': 0,
        'manual_seed': 3,
        'rank': {'method': 'complexity', **rank},
        'datasets': {'train': {'name': 'train', **(dataset or GAUSSIAN)}},
        'path': {},
    }


def with_networks(opt: Options, **blocks: Options) -> Options:
    """Add networks with random weights: g=IRCNN, scorer=SCORER."""
    for seed, (name, block) in enumerate(blocks.items()):
        torch.manual_seed(seed)
        torch.save({'params': build_network(dict(block)).state_dict()}, f'{name}.pth')
        opt[f'network_{name}'], opt['path'][f'pretrain_network_{name}'] = block, f'{name}.pth'
    return opt


write = partial(jobs.write_options, 'rank')


def rank(opt: Options, *arguments: str) -> Manifest:
    """Run the job anew."""
    shutil.rmtree('results', ignore_errors=True)
    assert main(['rank', '-opt', write(opt), *arguments]) == 0
    assert not UNFINISHED.exists()
    return read_manifest(RESULT)


refused = partial(jobs.refused, 'rank')


def grey_file(path: Path) -> np.ndarray:
    """The grey image by its definition."""
    if path.suffix == '.jpg':
        return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY)


def grey_of_tensor(image: Tensor) -> np.ndarray:
    """Written down in 8 bits, as BasicSR would, then made grey."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.shape[2] == 3 else pixels[..., 0]


# ---- the job ----


@pytest.mark.parametrize('color', ['rgb', 'gray'])
@pytest.mark.parametrize('criterion', CRITERIA)
def test_the_manifest_holds_what_a_loop_over_the_files_finds(folder: Path, criterion: str, color: str) -> None:
    manifest = rank(options({**GAUSSIAN, 'color': color}, criterion=criterion))
    assert manifest.names == ['path', 'height', 'width', 'complexity', 'rank']
    assert manifest.items() == [Item(file_of(name), *size) for name, size in SIZES.items()]
    values = [plain_complexity(criterion, grey_file(Path('gt', file_of(name)))) for name in SIZES]
    np.testing.assert_allclose(manifest.array('complexity'), values, rtol=1e-6)
    order = sorted(range(len(values)), key=lambda row: -values[row])
    assert [manifest.column('rank')[row] for row in order] == [1, 2, 3, 4, 5]
    assert len(set(values)) == 5


def test_the_header_tells_all_that_made_it(folder: Path) -> None:
    header = rank(with_networks(options(workers=1), g=IRCNN, scorer=SCORER)).header
    assert header['method'] == 'complexity' and header['seed'] == 3
    assert header['options']['rank'] == {
        'method': 'complexity', 'criterion': 'entropy', 'source': 'gt', 'groups': None
    }  # fmt: skip
    assert header['options']['datasets']['train']['dataroot_gt'] == 'gt'
    assert header['versions']['torch'] == importlib.metadata.version('torch')
    assert header['weights'] == {} and 'network_g' not in header['options']


@pytest.mark.parametrize('kind', ['lmdb', 'stock', 'stock lmdb', 'stock y', 'subset', 'y'])
def test_every_kind_of_dataset_gives_the_values_of_the_folder(folder: Path, kind: str) -> None:
    pngs = {name: size for name, size in SIZES.items() if name not in ENDING}
    for name in ENDING:  # a JPEG is stored in an LMDB as a PNG of its colours, whose grey is rounded anew
        Path('gt', file_of(name)).unlink()
        Path('lq', file_of(name)).unlink()
    expected = rank(options())
    for root in ('gt', 'lq'):
        pack_lmdb(root, map(file_of, pngs))
    shutil.copy(RESULT, 'all.parquet')
    in_lmdb = {'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}}
    dataset = {
        'lmdb': {**GAUSSIAN, **in_lmdb},
        'stock': PAIRED,
        'stock lmdb': {**PAIRED, **in_lmdb, 'dataroot_lq': 'lq.lmdb'},
        'stock y': {**PAIRED, 'color': 'y'},
        'subset': {'type': 'InfluenceSubsetDataset', 'manifest': 'all.parquet', 'range': [2, 3], 'dataset': GAUSSIAN},
        'y': {'type': 'JPEGCompressionDataset', 'dataroot_gt': 'gt', 'color': 'y', 'quality': 30},
    }[kind]
    found = rank({**options(dataset), 'scale': 2 if kind.startswith('stock') else 1})
    value = dict(zip([item.name for item in expected.items()], expected.column('complexity'), strict=True))
    names_found = [item.name for item in found.items()]
    assert found.column('complexity') == [value[name] for name in names_found]
    assert len(names_found) == (2 if kind == 'subset' else len(pngs))


def test_changed_images_are_measured_as_they_are_given(folder: Path) -> None:
    opt = options({'type': 'MeanBlurDataset', 'kernel_size': 4, 'dataset': {**GAUSSIAN, 'color': 'gray'}})
    values = [plain_complexity('entropy', grey_of_tensor(sample['gt'])) for sample in samples(opt)]
    np.testing.assert_allclose(rank(opt).array('complexity'), values, rtol=1e-6)


# ---- sources ----


def samples(opt: Options) -> list[Options]:
    block = {**opt['datasets']['train'], 'phase': 'val', 'scale': opt.get('scale', 1)}
    if 'io_backend' in block:
        block['io_backend'] = dict(block['io_backend'])  # BasicSR takes the type out of it
    dataset = build_dataset(block)
    return [dataset[index] for index in range(len(dataset))]


@pytest.mark.parametrize(('dataset', 'scale'), [(GAUSSIAN, 1), ({**GAUSSIAN, 'color': 'gray'}, 1), (PAIRED, 2)])
def test_degraded_images_are_those_of_the_samples(folder: Path, dataset: Options, scale: int) -> None:
    opt = {**options(dataset, source='lq'), 'scale': scale}
    values = [plain_complexity('entropy', grey_of_tensor(sample['lq'])) for sample in samples(opt)]
    np.testing.assert_allclose(rank(opt).array('complexity'), values, rtol=1e-6)
    assert not np.allclose(rank({**options(dataset), 'scale': scale}).array('complexity'), values, rtol=1e-3)


@pytest.mark.parametrize('tile_size', [None, 12])
def test_restored_images_are_those_of_the_network(folder: Path, tile_size: int | None) -> None:
    """With tiles whose overlap covers the receptive field of IRCNN, 16 pixels on every side."""
    opt = with_networks(options(source='restored', criterion='std', tile_size=tile_size, tile_overlap=16), g=IRCNN)
    net = build_network(dict(IRCNN))
    net.load_state_dict(torch.load('g.pth', weights_only=True)['params'])
    with torch.no_grad():
        restored = [net.eval()(sample['lq'][None])[0] for sample in samples(opt)]
    values = [plain_complexity('std', grey_of_tensor(image)) for image in restored]
    np.testing.assert_allclose(rank(opt).array('complexity'), values, rtol=2e-3)
    assert set(read_manifest(RESULT).header['weights']) == {'network_g'}


def test_a_network_that_asks_for_sides_gets_them(folder: Path) -> None:
    restormer = {
        'type': 'Restormer',
        'dim': 4,
        'num_blocks': [1, 1, 1, 1],
        'num_refinement_blocks': 1,
        'heads': [1, 1, 1, 1],
    }
    assert len(rank(with_networks(options(source='restored'), g=restormer)).table) == 5


# ---- the scorer ----


def scores(images: list[np.ndarray]) -> list[float]:
    """One image at a time; images are RGB, H x W x 3, uint8."""
    net = SmallScorer()
    net.load_state_dict(torch.load('scorer.pth', weights_only=True)['params'])
    found = []
    for image in images:
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        small = nn.functional.interpolate(x, (128, 128), mode='bilinear', antialias=True)
        found.append(float(net.eval()(small).detach()))
    return found


@pytest.mark.parametrize('batch_size', [1, 2, 16])
def test_scores_are_those_of_the_network(folder: Path, batch_size: int) -> None:
    manifest = rank(with_networks(options(criterion='scorer', batch_size=batch_size), scorer=SCORER))
    expected = scores([cv2.imread(f'gt/{file_of(name)}')[..., ::-1] for name in SIZES])
    np.testing.assert_allclose(manifest.array('complexity'), expected, rtol=1e-5)
    assert set(manifest.header['weights']) == {'network_scorer'}
    assert manifest.header['options']['network_scorer'] == SCORER


@pytest.mark.parametrize('source', ['lq', 'restored'])
def test_the_scorer_sees_the_source(folder: Path, source: str) -> None:
    opt = with_networks(options(criterion='scorer', source=source), g=IRCNN, scorer=SCORER)
    images = [sample['lq'] for sample in samples(opt)]
    if source == 'restored':
        net = build_network(dict(IRCNN))
        net.load_state_dict(torch.load('g.pth', weights_only=True)['params'])
        with torch.no_grad():
            images = [net.eval()(image[None])[0] for image in images]
    pixels = [(image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy() for image in images]
    np.testing.assert_allclose(rank(opt).array('complexity'), scores(pixels), rtol=1e-5)


def test_a_scorer_sees_grey_images_three_times() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 30, 1), np.uint8)
    seen = thumbnail(grey, 128)
    assert seen.shape == (3, 128, 128) and torch.equal(seen[0], seen[2])
    assert torch.equal(seen, thumbnail(np.repeat(grey, 3, axis=2), 128))


def test_a_scorer_sees_images_of_its_own_size() -> None:
    net = torch.nn.Conv2d(3, 1, 1)
    assert Scorer(net).side == 128
    net.input_size = 224
    reader = ComplexityReader(_OneImage(), 1, ComplexitySettings('complexity', criterion='scorer'), Scorer(net).side)
    (seen,) = reader[0]
    assert seen.shape == (3, 224, 224)


class _OneImage:
    def clean(self, index: int) -> np.ndarray:
        return np.zeros((40, 30, 3), np.uint8)


def test_mixed_precision_of_the_scorer(folder: Path) -> None:
    exact, mixed = (
        rank(with_networks(options(criterion='scorer', precision=kind), scorer=SCORER)).array('complexity')
        for kind in ('float32', 'bfloat16')
    )
    np.testing.assert_allclose(mixed, exact, rtol=0.05)
    assert (mixed != exact).any()


# ---- groups ----


def write_groups(lines: list[list[str]], name: str = 'groups.csv') -> str:
    with open(name, 'w', newline='') as file:
        csv.writer(file).writerows(lines)
    return name


GROUPS = [['path', 'group'], ['e.png', 'rain'], ['a.png', 'blur'], ['b', 'rain'], ['c.jpg', 'a,b'], ['d.jpg', 'blur']]


def test_groups_are_a_column(folder: Path) -> None:
    manifest = rank(options(groups=write_groups(GROUPS)))
    assert manifest.names == ['path', 'group', 'height', 'width', 'complexity', 'rank']
    assert manifest.column('group') == ['blur', 'rain', 'a,b', 'blur', 'rain']
    assert [item.group for item in manifest.items()] == manifest.column('group')
    without = rank(options())
    assert without.column('rank') == manifest.column('rank')


def test_groups_of_a_ranking_by_influence(folder: Path) -> None:
    opt = with_networks(options(), g=IRCNN)
    opt['rank'] = {'method': 'random', 'groups': write_groups(GROUPS)}
    opt['datasets']['test'] = {**opt['datasets']['train'], 'name': 'test'}
    assert rank(opt).column('group') == ['blur', 'rain', 'a,b', 'blur', 'rain']


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (GROUPS[:-2], '2 missing: c.jpg, d.jpg'),
        ([*GROUPS, ['b.png', 'blur']], '1 listed more than once: b.png'),
        ([*GROUPS, ['f.png', 'blur']], '1 not in the dataset: f.png'),
        ([*GROUPS[:-1], ['d.jpg', '']], '1 without a group: d.jpg'),
        ([*GROUPS[:-1], ['d.jpg']], '1 without a group: d.jpg'),
        ([['file', 'group'], *GROUPS[1:]], "expected the columns path and group in groups.csv, got ['file', 'group']"),
        ([], 'expected the columns path and group in groups.csv, got []'),
    ],
)
def test_groups_that_do_not_fit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], lines: list[list[str]], message: str
) -> None:
    error = refused(options(groups=write_groups(lines)), capsys)
    assert error.startswith('basicsr-ext rank: rank.groups: expected') and message in error
    assert not Path('results').exists()


def test_no_file_of_groups(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'rank.groups: expected a CSV file, got none.csv' in refused(options(groups='none.csv'), capsys)


# ---- what is made of a ranking ----


def test_the_most_complex_images_are_selected(folder: Path) -> None:
    manifest = rank(options())
    block = {
        'type': 'InfluenceSubsetDataset',
        'name': 'top',
        'phase': 'val',
        'manifest': str(RESULT),
        'dataset': GAUSSIAN,
    }
    dataset = build_dataset({**block, 'subset': 'top', 'ratio': 0.4})
    found = {Path(dataset[index]['gt_path']).name for index in range(len(dataset))}
    best = np.argsort(-manifest.array('complexity'))[:2]
    assert found == {manifest.column('path')[row] for row in best}


def test_inspect_and_export_take_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rank(options(groups=write_groups(GROUPS)))
    assert main(['inspect', str(RESULT), '--size', '1']) == 0
    pictures = {path.name for path in Path('results/small/inspect').iterdir()}
    assert {'gallery.png', 'histogram.png', 'spectra.png', 'table.csv', 'table.json'} <= pictures
    assert json.loads(Path('results/small/inspect/table.json').read_text())['column'] == 'rank'
    assert main(['export', str(RESULT), '-o', 'top.txt', '--subset', 'top', '--size', '2']) == 0
    assert len(Path('top.txt').read_text().splitlines()) == 2


# ---- killed, resumed, shared ----

MANY = {f'{number:03d}': (16 + number % 3, 20) for number in range(3 * UNIT + 5)}


@pytest.fixture
def many(folder: Path) -> Path:
    shutil.rmtree('gt')
    write_images('gt', sizes=MANY)
    Path('stand_in.py').write_text(
        'import sys, time\n'
        'import basicsr_ext\n'
        'from basicsr.utils.registry import ARCH_REGISTRY\n'
        'from tests.jobs.test_rank_complexity import SmallScorer\n'
        'from basicsr_ext.__main__ import main\n'
        'from basicsr_ext.data.whole_images import WholeImages\n'
        'ARCH_REGISTRY.register(SmallScorer)\n'
        'pause = float(sys.argv.pop(1))\n'
        "for name in ('grey', 'clean', 'pair'):\n"
        '    def slowly(*arguments, read=getattr(WholeImages, name)):\n'
        '        time.sleep(pause)\n'
        '        return read(*arguments)\n'
        '    setattr(WholeImages, name, slowly)\n'
        "sys.exit(main(['rank', *sys.argv[1:]]))\n"
    )
    return folder


CASES = [
    {'criterion': 'entropy'},
    {'criterion': 'scorer', 'batch_size': 8},
    {'criterion': 'scorer', 'source': 'restored'},
]
IDS = ['entropy', 'scorer', 'restored']


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_workers_change_nothing(many: Path, case: Options) -> None:
    files = []
    for workers in (0, 2):
        rank(with_networks(options(workers=workers, **case), g=IRCNN, scorer=SCORER))
        files.append(RESULT.read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize('case', CASES[:2], ids=IDS[:2])
def test_two_processes_write_the_same_file(many: Path, case: Options) -> None:
    rank(with_networks(options(**case), g=IRCNN, scorer=SCORER))
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    run_ranks(['stand_in.py', '0', '-opt', 'rank.yml', '--launcher', 'pytorch'], many)
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


@pytest.mark.parametrize('case', [pytest.param(CASES[0], marks=pytest.mark.slow), CASES[2]], ids=[IDS[0], IDS[2]])
def test_killed_and_resumed_gives_the_same_file(many: Path, case: Options) -> None:
    opt = with_networks(options(**case), g=IRCNN, scorer=SCORER)
    rank(opt)
    expected = RESULT.read_bytes()
    shutil.rmtree('results')

    def finished() -> int:
        return len(list(UNFINISHED.glob('[0-9]*')))

    def is_begun(wanted: int) -> bool:
        return (UNFINISHED / 'identity.json').is_file() and finished() >= wanted

    codes = []
    for more, number, workers in ((0, signal.SIGKILL, 0), (1, signal.SIGTERM, 1)):
        wanted = finished() + more
        opt['rank']['workers'] = workers
        codes.append(stop_when(partial(is_begun, wanted), number, ['stand_in.py', '0.02', '-opt', write(opt)], many))
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM]
    assert not RESULT.exists() and finished() >= 1
    assert f'Continuing {UNFINISHED.resolve()}' in run(['stand_in.py', '0', '-opt', 'rank.yml'], many)
    assert RESULT.read_bytes() == expected and not UNFINISHED.exists()


def test_what_is_finished_is_not_measured_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rank(options())
    expected = RESULT.read_bytes()
    shutil.rmtree('results')
    write_unit, written = unit_files.UnitFiles._write, []
    with jobs.failing_at(2):
        assert main(['rank', '-opt', 'rank.yml']) == 130
    with monkeypatch.context() as patch:
        patch.setattr(unit_files.UnitFiles, '_write', lambda *args: written.append(args[1]) or write_unit(*args))
        assert main(['rank', '-opt', 'rank.yml']) == 0
    assert written == [2, 3] and RESULT.read_bytes() == expected


@pytest.mark.parametrize('part', ['finished', 'unfinished'])
@pytest.mark.parametrize('change', ['criterion', 'batch', 'groups', 'weights', 'image', 'nothing'])
def test_a_ranking_of_something_else_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], part: str, change: str
) -> None:
    opt = with_networks(options(criterion='scorer', groups=write_groups(GROUPS)), scorer=SCORER)
    manifest = rank(opt)
    if part == 'unfinished':
        UNFINISHED.mkdir()
        identity = {key: manifest.header[key] for key in ('method', 'seed', 'options', 'weights', 'train')}
        (UNFINISHED / 'identity.json').write_text(json.dumps(identity))
        RESULT.unlink()
    named = {
        'criterion': "options.rank.criterion: 'scorer' became 'entropy'",
        'batch': 'options.rank.batch_size: 16 became 4',
        'groups': 'train.groups',
        'weights': 'weights.network_scorer',
        'image': 'train.content',
    }
    if change == 'criterion':
        opt['rank']['criterion'] = 'entropy'
    elif change == 'batch':
        opt['rank']['batch_size'] = 4
    elif change == 'groups':
        write_groups([*GROUPS[:-1], ['d.jpg', 'rain']])
    elif change == 'weights':
        torch.save({'params': SmallScorer().state_dict()}, 'scorer.pth')
    elif change == 'image':
        cv2.imwrite('gt/b.png', np.zeros_like(cv2.imread('gt/b.png')))
    else:
        assert main(['rank', '-opt', write({**opt, 'rank': {**opt['rank'], 'workers': 1}})]) == 0
        return
    message = refused(opt, capsys)
    assert named[change] in message and 'give another name' in message


# ---- refused ----


def test_the_check_leaves_nothing_behind(folder: Path) -> None:
    opt = with_networks(options(criterion='scorer', source='restored'), g=IRCNN, scorer=SCORER)
    assert main(['rank', '-opt', write(opt), '--check']) == 0
    assert not Path('results').exists()


@pytest.mark.parametrize('arguments', [[], ['--check']])
def test_a_damaged_image_is_named(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    content = Path('gt/c.jpg').read_bytes()
    Path('gt/c.jpg').write_bytes(content[: len(content) // 2])
    for workers in (0, 1):
        message = refused(options(workers=workers), capsys, *arguments)
        assert 'gt/c.jpg' in message and message.count('\n') == 1
    assert not RESULT.exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'method': 'complexty'}, f"rank.method: expected {' or '.join(METHODS)}, got 'complexty'"),
        ({'criterion': 'std_dev'}, "rank.criterion: expected 'entropy' or 'std' or 'gradient' or 'scorer'"),
        ({'source': 'noisy'}, "rank.source: expected 'gt' or 'lq' or 'restored'"),
        ({'batch_size': 0}, 'rank.batch_size: expected at least 1, got 0'),
        ({'workers': -1}, 'rank.workers: expected at least 0, got -1'),
        ({'solver': 'cg'}, "rank.solver: expected a known key, got 'solver'"),
        (
            {'criterion': 'scorer'},
            'network_scorer: expected a network (measures (criterion: scorer)), got none. Add it.',
        ),
        (
            {'source': 'restored'},
            'network_g: expected a network (restores what is measured (source: restored)), got none. Add it.',
        ),
    ],
)
def test_wrong_settings_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Options, message: str
) -> None:
    assert message in refused(options(**change), capsys)
    assert not Path('results').exists()


def test_other_options_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = options()
    opt['datasets']['test'] = opt['datasets']['train']
    assert 'datasets: expected train, got test, train' in refused(opt, capsys)
    opt = with_networks(options(criterion='scorer'), scorer=SCORER)
    opt['path'] = {'pretrain_network_scorer': None}
    assert 'path.pretrain_network_scorer: expected the weights' in refused(opt, capsys)
    opt['path'] = {'pretrain_network_score': 'scorer.pth'}
    assert 'Did you mean pretrain_network_scorer' in refused(opt, capsys)
    opt = {**options({**PAIRED, 'mean': [0.5, 0.5, 0.5], 'std': None}, source='lq'), 'scale': 2}
    assert 'datasets.train.mean: expected images in [0, 1] with rank.source: lq' in refused(opt, capsys)


def test_networks_that_do_not_fit_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = with_networks(options(criterion='scorer'), scorer={**SCORER, 'outputs': 2})
    assert 'network_scorer: expected a network that gives one score an image, (5, 1), got (5, 2)' in refused(
        opt, capsys
    )
    opt = with_networks(options(source='restored'), g={**IRCNN, 'num_in_ch': 1, 'num_out_ch': 1})
    assert 'network_g, network_scorer: expected networks that take the images' in refused(opt, capsys)
    opt = with_networks(options(criterion='scorer'), scorer=SCORER)
    weights = {name: value.sign() * 3e38 for name, value in SmallScorer().state_dict().items()}
    torch.save({'params': weights}, 'scorer.pth')
    assert 'network_scorer: expected finite scores' in refused(opt, capsys)
    assert not Path('results').exists()


def test_several_dataroots_are_ranked_and_trained_on_as_one(folder: Path) -> None:
    for name in ('first', 'second/deep'):
        helper_images.write_images(folder / name, number=3, size=24)
    roots = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': ['first', 'second'], 'color': 'gray', 'sigma': 25}
    manifest = rank(options(roots))
    assert [item.path for item in manifest.items()] == [f'first/{n:03d}.png' for n in range(3)] + [
        f'second/deep/{n:03d}.png' for n in range(3)
    ]
    chosen = {'name': 'x', 'type': 'InfluenceSubsetDataset', 'manifest': 'results/small/ranking.parquet', 'size': 2}
    dataset = build_dataset({**chosen, 'subset': 'top', 'phase': 'val', 'scale': 1, 'dataset': roots})
    best = np.argsort(manifest.column('rank'))[:2]
    assert sorted(Path(dataset[n]['gt_path']).resolve() for n in range(2)) == sorted(
        (folder / manifest.items()[row].path).resolve() for row in best
    )
    (folder / 'moved').mkdir()
    shutil.move(folder / 'first', folder / 'moved/first')
    shutil.move(folder / 'second', folder / 'moved/second')
    assert main(['inspect', 'results/small/ranking.parquet', '--size', '2', '--dataroot', 'moved']) == 0
