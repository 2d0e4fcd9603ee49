"""A dataset, a ranking, a criterion, a set to compare, a job and an option key are each one new file or field.

Toys of each are made here as basicsr_ext/README.md tells, and are then found in the help, the schemas, the checks and
the reference, and do their work.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import fastjsonschema
import numpy as np
import pytest
import yaml
from annotated_types import Ge
from basicsr.data import build_dataset
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext import jobs
from basicsr_ext.__main__ import main
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.wrapper_base import WrapperDataset
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_complexity import by_complexity
from basicsr_ext.jobs.compare.frame import Frame
from basicsr_ext.jobs.compare.sets import KINDS, Row, comparison_set
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.jobs.rank.method import METHODS, Columns, Ranking, ranking_method
from basicsr_ext.jobs.resumable import identity, source_of
from basicsr_ext.jobs.schema import reference, reference_of, schema, template
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import DatasetBlock
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import Options
from basicsr_ext.options.reference import table_of
from basicsr_ext.options.schema import definitions, schema_of_block
from basicsr_ext.options.template import template_of
from basicsr_ext.selection.audit.findings import FINDINGS, image_finding
from basicsr_ext.selection.audit.measured_image import MeasuredImage
from basicsr_ext.selection.coreset.orders import ORDERS, Pool, order
from basicsr_ext.selection.coreset.stored import Predictor
from basicsr_ext.selection.manifest import Item, read_manifest
from basicsr_ext.selection.patches.criteria import CRITERIA, PatchImage, patch_criterion
from basicsr_ext.selection.patches.settings import MineSettings
from basicsr_ext.selection.ranks import ranks_of
from tests.helpers.comparing import SHORT, compare, done, lay_out, option_files
from tests.helpers.images import write_images

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'images', number=4, size=24)
    return tmp_path


def reader(folder: Path, **keys: Any) -> dict[str, Any]:
    return {'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder / 'images'), 'color': 'gray', **keys}


def run(job: str, opt: dict[str, Any]) -> int:
    Path('options.yml').write_text(yaml.safe_dump({'num_gpu': 0, **opt}))
    return main([job, '-opt', 'options.yml'])


# ---- a wrapper dataset ----


@dataclass(frozen=True)
class EveryOptions:
    """Which items are kept.

    Attributes:
        step: one item in so many is kept.
        dataset: the block of the dataset inside.
        name, type, phase, scale: as in BasicSR.
    """

    name: str
    type: str
    dataset: DatasetBlock
    step: Annotated[int, Ge(1)] = 2
    phase: str = 'train'
    scale: int = 1


class EveryDataset(WrapperDataset):
    """Keep every n-th item."""

    Options = EveryOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.step = read_block(EveryOptions, opt, f'dataset {opt["name"]}', ignore=LOADER_KEYS).step

    def __len__(self) -> int:
        return len(self.indices())

    def indices(self) -> Sequence[int]:
        return range(0, len(self.dataset), self.step)


@pytest.fixture
def every() -> Iterator[None]:
    DATASET_REGISTRY.register(EveryDataset)
    yield
    DATASET_REGISTRY._obj_map.pop('EveryDataset')


def test_a_wrapper_dataset(images: Path, every: None, capsys: Capture) -> None:
    block = {'name': 'x', 'type': 'EveryDataset', 'dataset': reader(images)}
    dataset = build_dataset({**block, 'phase': 'val', 'scale': 1})
    assert [item.path for item in inventory(dataset)] == ['000.png', '002.png']
    assert run('mine', {'name': 'x', 'datasets': {'train': {**block, 'stpe': 3}}, 'mine': {'patch_size': 8}}) == 2
    assert (
        "datasets.train.stpe: expected a known key, got 'stpe'. Did you mean type or step?" in capsys.readouterr().err
    )
    assert run('mine', {'name': 'x', 'datasets': {'train': {**block, 'step': 0}}, 'mine': {'patch_size': 8}}) == 2
    assert 'datasets.train.step: expected at least 1, got 0' in capsys.readouterr().err
    assert run('mine', {'name': 'x', 'datasets': {'train': block}, 'mine': {'patch_size': 8}}) == 0
    assert set(read_manifest('results/x/patches.parquet').column('path')) == {'000.png', '002.png'}
    assert '| `step` | an integer, at least 1 | `2` | one item in so many is kept |' in reference()
    names = definitions()['dataset']['properties']['type']['anyOf'][0]['enum']
    assert 'EveryDataset' in names
    check = fastjsonschema.compile({**definitions()['dataset'], 'definitions': definitions()})
    check(block)
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check({**block, 'step': 0})


# ---- a ranking method ----


@dataclass(frozen=True)
class BrightnessSettings:
    """How images are ranked by their mean.

    Attributes:
        method: `brightness`.
        power: of the mean.
        groups: a CSV file of groups.
    """

    method: str
    power: Annotated[float, Ge(0)] = 1.0
    groups: str | None = None


class BrightnessRanking(Ranking):
    """Bright images first."""

    file = JobFile(job='rank', settings=BrightnessSettings, datasets={'train': 'the images to rank'})

    def __init__(self, opt: Options, settings: BrightnessSettings) -> None:
        self.opt, self.settings = opt, settings
        self.dataset = build_dataset(opt['datasets']['train'])
        self.items = inventory(self.dataset)

    def check(self, decode: bool) -> None:
        self.dataset[0]

    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        return identity('brightness', self.opt, {'rank': self.settings}, train=source_of(self.dataset, items))

    def columns(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        means = [float(self.dataset[index]['gt'].mean()) ** self.settings.power for index in range(len(self.dataset))]
        return {'brightness': means, 'rank': ranks_of(np.array(means)).tolist()}, {}


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('basicsr_ext.jobs.rank.method.METHODS', METHODS)
    for name in (*METHODS, 'brightness'):
        monkeypatch.setitem(METHODS, name, METHODS.get(name, BrightnessRanking))
    ranking_method('brightness')(BrightnessRanking)


def test_a_ranking_method(images: Path, brightness: None, capsys: Capture) -> None:
    opt = {'name': 'x', 'datasets': {'train': {'name': 'x', **reader(images)}}}
    assert run('rank', {**opt, 'rank': {'method': 'brightness', 'power': -1}}) == 2
    assert 'rank.power: expected at least 0, got -1' in capsys.readouterr().err
    assert run('rank', {**opt, 'rank': {'method': 'bright'}}) == 2
    assert 'or brightness' in capsys.readouterr().err
    assert run('rank', {**opt, 'rank': {'method': 'brightness', 'power': 2}}) == 0
    ranking = read_manifest('results/x/ranking.parquet')
    values = ranking.column('brightness')
    assert [values[row] for row in np.argsort(ranking.column('rank'))] == sorted(values, reverse=True)
    assert '`power` | a number, at least 0 | `1.0` | of the mean |' in reference_of('rank')
    check = fastjsonschema.compile(schema('rank'))
    check({**opt, 'rank': {'method': 'brightness', 'power': 2}})
    with pytest.raises(fastjsonschema.JsonSchemaException):
        check({**opt, 'rank': {'method': 'brightness', 'powr': 2}})


# ---- a patch criterion ----


def test_a_patch_criterion(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(CRITERIA, 'brightness', None)

    @patch_criterion('brightness')
    def brightness(patches: PatchImage) -> np.ndarray:
        size = patches.grid.size
        return patches.sums(patches.pixels, size, size) / (255 * patches.values)

    opt = {'name': 'x', 'datasets': {'train': {'name': 'x', **reader(images)}}}
    assert run('mine', {**opt, 'mine': {'patch_size': 12, 'stride': 12, 'criteria': ['brightnes']}}) == 2
    assert 'Did you mean brightness?' in capsys.readouterr().err
    assert run('mine', {**opt, 'mine': {'patch_size': 12, 'stride': 12, 'criteria': ['brightness']}}) == 0
    patches = read_manifest('results/x/patches.parquet')
    image = build_dataset({'name': 'x', **reader(images), 'phase': 'val', 'scale': 1})[0]['gt'].numpy()[0]
    expected = [image[y : y + 12, x : x + 12].mean() for y in (0, 12) for x in (0, 12)]
    np.testing.assert_allclose(patches.array('brightness')[:4], expected, rtol=1e-5)
    assert '`brightness`' in reference_of('mine')
    assert 'brightness' in schema('mine')['properties']['mine']['properties']['criteria']['items']['enum']


# ---- a finding of an audit ----


def test_a_finding(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(FINDINGS, 'darkness', None)

    @image_finding('darkness', 'dark', 'levels below white', 'high', limit=200, step=20)
    def darkness(image: MeasuredImage) -> float:
        return 255 - float(image.grey.mean())

    cv2.imwrite('images/black.png', np.zeros((24, 24), np.uint8))
    opt = {'name': 'x', 'datasets': {'train': {'name': 'x', **reader(images)}}}
    assert run('audit', {**opt, 'audit': {'findings': ['darknes']}}) == 2
    assert 'Did you mean darkness?' in capsys.readouterr().err
    assert run('audit', {**opt, 'audit': {'findings': ['darkness']}}) == 0
    found = read_manifest('results/x/audit.parquet')
    assert found.column('suspect') == [path == 'black.png' for path in found.column('path')]
    assert 'dark (darkness 255 levels below white, ' in ''.join(found.column('reason'))
    assert 'darkness' in schema('audit')['properties']['audit']['properties']['findings']['anyOf'][0]['items']['enum']


# ---- a set to compare ----


def test_a_set_to_compare(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(KINDS, 'plain', None)

    @comparison_set('plain')
    def plain(frame: Frame, name: SetName, size: Size) -> Row:
        folder = by_complexity(frame, 'std')
        manifest = str(folder / 'ranking.parquet')
        block = {'name': frame.pool['name'], 'type': 'InfluenceSubsetDataset', 'manifest': manifest}
        block |= {'subset': 'bottom', 'size': size.of(len(frame.items)), 'dataset': frame.pool}
        return Row(name, size, lambda seed: block, [folder.name])

    lay_out(images)
    assert main(['compare', '-opt', 'run.yml', '--sets', 'plian', '--sizes', '2']) == 2
    assert 'Did you mean plain?' in capsys.readouterr().err
    assert main(['compare', '-opt', 'run.yml', '--sets', 'plain:most', '--sizes', '2']) == 2
    assert "expected nothing behind plain:, got 'most'" in capsys.readouterr().err
    found = compare('--sets', 'plain', '--sizes', '2', *SHORT)
    assert [row['title'] for row in found['rows']] == ['random 2', 'plain 2']
    assert list(done()) == ['complexity-std', 'plain-2_seed0', 'random-2_seed0']
    dataset = build_dataset({**option_files()['plain-2_seed0']['datasets']['train'], 'phase': 'val', 'scale': 1})
    contrast = {path.name: cv2.imread(str(path), 0).std() for path in (images / 'train').iterdir()}
    assert {item.path for item in inventory(dataset)} == set(sorted(contrast, key=contrast.__getitem__)[:2])


# ---- a job ----

TOY = '''
    """The job `count`: count the images of a dataset."""

    from dataclasses import dataclass
    from typing import Annotated

    from annotated_types import Ge
    from basicsr.data import build_dataset

    from basicsr_ext.jobs.option_file import JobFile, run_job

    EXAMPLE = 'basicsr-ext count -opt count.yml'


    @dataclass(frozen=True)
    class CountSettings:
        """What is counted.

        Attributes:
            times: how often.
        """

        times: Annotated[int, Ge(1)] = 1


    FILE = JobFile(job='count', settings=CountSettings, datasets={'train': 'the images to count'})


    def count_pipeline(root_path, argv=None):
        return run_job(FILE, count, root_path, argv)


    def count(opt, settings, only_check=False):
        print(settings.times * len(build_dataset(opt['datasets']['train'])))
'''


def test_an_order_of_images_chosen_together(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(ORDERS, 'smallest', None)

    @order('smallest')
    def smallest(pool: Pool) -> np.ndarray:
        return np.argsort(np.linalg.norm(pool.features.images, axis=1), kind='stable')

    blocks = {key: {'name': key, **reader(images)} for key in ('train', 'test')}
    rank = {'method': 'matching', 'size': 2, 'features': 'encoder', 'baselines': ['smalest']}
    assert run('rank', {'name': 'x', 'datasets': blocks, 'rank': rank}) == 2
    assert 'Did you mean smallest?' in capsys.readouterr().err
    assert run('rank', {'name': 'x', 'datasets': blocks, 'rank': {**rank, 'baselines': ['smallest']}}) == 0
    norms = np.linalg.norm(Predictor('results/x/features.parquet').features.images, axis=1)
    found = read_manifest('results/x/ranking.parquet').column('rank_smallest')
    assert np.argsort(found).tolist() == np.argsort(norms).tolist()


def test_a_job(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    folder = images / 'more_jobs'
    folder.mkdir()
    (folder / 'count.py').write_text(textwrap.dedent(TOY))
    monkeypatch.setattr(jobs, '__path__', [*jobs.__path__, str(folder)])
    with pytest.raises(SystemExit):
        main(['-h'])
    assert 'count the images of a dataset.' in ' '.join(capsys.readouterr().out.split())
    assert main(['count', '-h']) == 0
    said = capsys.readouterr().out
    assert '--set KEY=VALUE' in said and 'example:\n  basicsr-ext count -opt count.yml' in said
    opt = {'name': 'x', 'datasets': {'train': {'name': 'x', **reader(images)}}}
    assert run('count', {**opt, 'count': {'times': 0}}) == 2
    assert 'count.times: expected at least 1, got 0' in capsys.readouterr().err
    assert run('count', {**opt, 'count': {'times': 3}}) == 0
    assert capsys.readouterr().out.split()[-1] == '12'
    assert main(['coutn']) == 2
    assert 'Did you mean count' in capsys.readouterr().err
    fastjsonschema.compile(schema('count'))({**opt, 'count': {'times': 3}})
    assert '| `times` | an integer, at least 1 | `1` | how often |' in reference()
    filled = yaml.safe_load(template('count'))
    assert filled['datasets'] == {'train': {'name': None, 'type': None}} and filled['count'] == {}


# ---- an option key ----


def test_an_option_key() -> None:
    @dataclass(frozen=True)
    class Settings(MineSettings):
        """With one more.

        Attributes:
            margin: pixels at the edge that no patch
                touches.
        """

        margin: Annotated[int, Ge(0)] | None = 4

    assert read_block(Settings, {'margin': None}, 'mine').margin is None
    with pytest.raises(OptionError, match=r'mine\.margin: expected at least 0, got -1\. Correct the value\.'):
        read_block(Settings, {'margin': -1}, 'mine')
    with pytest.raises(OptionError, match=r"mine\.margn: expected a known key, got 'margn'\. Did you mean margin"):
        read_block(Settings, {'margn': 1}, 'mine')
    row = '| `margin` | an integer, at least 0 or `~` | `4` | pixels at the edge that no patch touches |'
    assert row in table_of(Settings)
    assert '\n# pixels at the edge that no patch touches (an integer, at least 0 or ~)\n# margin: 4' in template_of(
        Settings
    )
    key = schema_of_block(Settings)['properties']['margin']
    assert key['anyOf'] == [{'type': 'integer', 'minimum': 0}, {'type': 'null'}]
    assert key['description'] == 'pixels at the edge that no patch touches' and key['default'] == 4
