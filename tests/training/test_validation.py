"""Images are identified by their path below the dataroot: nothing collides in `metrics.json` or on disk."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import Dataset

from basicsr_ext.__main__ import main
from basicsr_ext.data.image_names import distinct_names
from basicsr_ext.errors import DataError
from basicsr_ext.selection.manifest import Item
from basicsr_ext.training.pictures import comparison_strip
from basicsr_ext.training.validation import measure_all
from tests.helpers.training import options, prepare, write_images


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*paths: str, color: bool = False) -> None:
    """Images that differ."""
    for seed, path in enumerate(paths):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3 if color else 1), dtype=np.uint8)
        cv2.imwrite(path, cv2.resize(noise, (24, 24)))


def test_options(**datasets: Any) -> dict[str, Any]:
    opt = options(Path())
    for key in ('train', 'logger'):
        del opt[key]
    opt['val']['save_img'] = True
    data = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}
    opt['datasets'] = {key: {'name': key, **data, **block} for key, block in datasets.items()}
    return opt


test_options.__test__ = False  # type: ignore[attr-defined]


def job(name: str, opt: dict[str, Any], *words: str) -> int:
    Path('opt.yml').write_text(yaml.safe_dump(opt))
    return main([name, '-opt', 'opt.yml', *words])


def measured(folder: str = 'results/run') -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, 'metrics.json').read_text())
    return content


def pictures(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob('*.png'))


@pytest.mark.parametrize(
    ('paths', 'expected'),
    [
        (['b.png', 'a.png'], ['b', 'a']),
        (['a/1.png', 'b/1.png', 'c.png'], ['a/1', 'b/1', 'c']),
        (['x.png', 'x.bmp', 'y.png'], ['x.png', 'x.bmp', 'y']),
        (['noise/x.png', 'rain/x.png', 'rain/y.png'], ['noise/x', 'rain/x', 'y']),
        (['noise/x.png', 'rain/x.png', 'rain/x.bmp'], ['noise/x', 'rain/x.png', 'rain/x.bmp']),
    ],
)
def test_names_are_as_short_as_they_can_be(paths: list[str], expected: list[str]) -> None:
    grouped = {'noise', 'rain'}
    groups = [path.partition('/')[0] for path in paths]
    items = [Item(path, 0, 0, group if group in grouped else '') for path, group in zip(paths, groups, strict=True)]
    assert distinct_names(items, 'here') == expected


def test_an_image_listed_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r'here: expected every image once, got a/x\.png\. Remove'):
        distinct_names([Item('a/x.png', 0, 0), Item('x.png', 0, 0), Item('a/x.png', 0, 0)], 'here')


def test_images_of_one_stem() -> None:
    write('d/x.png', 'd/x.bmp', 'd/y.png')
    assert job('test', test_options(test_1={'dataroot_gt': 'd'})) == 0
    found = measured()
    assert sorted(found['per_image']['test_1']) == ['x.bmp', 'x.png', 'y']
    values = [image['psnr'] for image in found['per_image']['test_1'].values()]
    assert found['test_1']['psnr'] == pytest.approx(np.mean(values))
    assert pictures('results/run/visualization') == [f'test_1/{name}_run.png' for name in ('x.bmp', 'x.png', 'y')]


def test_pairs_are_named_by_their_input() -> None:
    write('gt/a.png', 'lq/a_low.png', color=True)
    block = {
        'name': 'pairs', 'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'scale': 1,
        'filename_tmpl': '{}_low', 'io_backend': {'type': 'disk'},
    }  # fmt: skip
    opt = test_options()
    opt.update(datasets={'test': block}, network_g={'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4})
    assert job('test', opt) == 0
    assert list(measured()['per_image']['pairs']) == ['a_low']


def test_a_list_that_names_an_image_twice(capsys: pytest.CaptureFixture[str]) -> None:
    write('d/a.png', 'd/b.png')
    Path('list.txt').write_text('a.png\nb.png\na.png\n')
    assert job('test', test_options(test={'dataroot_gt': 'd', 'meta_info_file': 'list.txt'})) == 2
    assert 'dataset test: expected every image once, got a.png' in capsys.readouterr().err
    assert not Path('results').exists()


@pytest.mark.parametrize('words', [[], ['--check']])
def test_two_datasets_of_one_name(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write('d/a.png')
    opt = test_options(test_1={'dataroot_gt': 'd'}, test_2={'dataroot_gt': 'd', 'name': 'test_1'})
    assert job('test', opt, *words) == 2
    assert 'datasets.test_2.name: expected another name than that of datasets.test_1' in capsys.readouterr().err


def test_training_pictures_of_two_datasets() -> None:
    write_images(Path('train'))
    write('v/a.png', 'w/a.png')
    opt = options(Path(), val__save_img=True, train__total_iter=1)
    opt['datasets']['val']['dataroot_gt'] = 'v'
    opt['datasets']['val_2'] = {**opt['datasets']['val'], 'name': 'other', 'dataroot_gt': 'w'}
    assert job('train', opt) == 0
    assert pictures('experiments/run/visualization') == ['other/a/a_1.png', 'val/a/a_1.png']


@pytest.mark.parametrize('words', [[], ['--check']])
def test_metrics_without_ground_truth(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused before training."""
    write('d/a.png', color=True)
    opt = options(Path(), datasets__train__dataroot_gt='d', datasets__train__color='rgb')
    opt['network_g'].update(num_in_ch=3, num_out_ch=3)
    lq = {'type': 'SingleImageDataset', 'dataroot_lq': 'd', 'io_backend': {'type': 'disk'}}
    opt['datasets']['val'] = {'name': 'real', **lq}
    assert job('train', opt, *words) == 2
    assert 'val.metrics.psnr: expected ground truth in dataset real, got none' in capsys.readouterr().err
    assert not Path('experiments').exists()
    del opt['val']['metrics']
    opt['train']['total_iter'] = 1
    assert job('train', opt, *words) == 0


class Unlisted(Dataset[dict[str, Any]]):
    """A user's dataset, whose files are known by its samples alone."""

    def __init__(self, *paths: str) -> None:
        self.opt, self.paths_of_mine = {'name': 'mine'}, paths

    def __len__(self) -> int:
        return len(self.paths_of_mine)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'lq_path': self.paths_of_mine[index]}


def test_a_dataset_that_does_not_tell_its_files() -> None:
    model = SimpleNamespace(net_g=None, get_bare_model=lambda net: net, opt={'rank': 0, 'world_size': 1, 'val': {}})

    def names(*paths: str) -> list[str]:
        return list(measure_all(model, Unlisted(*paths), lambda sample, image: {}))

    assert names('/data/a.png', '/data/b.png') == ['a', 'b']
    assert names('/data/x/a.png', '/data/y/a.png') == ['x/a', 'y/a']
    with pytest.raises(DataError, match='expected every image once'):
        names('/data/a.png', '/data/a.png')


def test_input_result_and_truth_beside_each_other() -> None:
    lq, result, gt = torch.full((1, 1, 2, 3), 0.25), torch.rand(1, 3, 4, 6), torch.rand(1, 3, 4, 6)
    strip = comparison_strip({'lq': lq, 'result': result, 'gt': gt})
    assert strip.shape == (4, 18, 3) and (strip[:, :6] == 64).all()
    for image, columns in ((result, slice(6, 12)), (gt, slice(12, 18))):
        assert np.array_equal(strip[:, columns], (image[0] * 255).round().byte().permute(1, 2, 0).numpy())
    middle = comparison_strip({'result': result}, side=2)
    assert np.array_equal(middle, strip[1:3, 8:10])


@pytest.mark.parametrize(('number', 'names'), [(None, ['val/000']), (2, ['val/000', 'val/001']), (0, [])])
def test_tensorboard_shows_what_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, names: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {} if number is None else {'val__log_images': number}
    assert main(['train', '-opt', str(prepare(tmp_path, logger__use_tb_logger=True, **keys))]) == 0
    events = EventAccumulator(str(tmp_path / 'tb_logger/run')).Reload()
    assert sorted(events.Tags()['images']) == names
    for name in names:
        assert [event.step for event in events.Images(name)] == [3, 6]
