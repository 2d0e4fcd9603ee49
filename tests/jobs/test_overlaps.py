"""Warnings of `rank`, `mine` and `train` where a target, training and validation share files."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from basicsr_ext.__main__ import main
from basicsr_ext.data.shared_files import digest_of, image_files
from basicsr_ext.selection.manifest import read_manifest
from tests.helpers import training
from tests.helpers.images import write_images

READ = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}
NETWORK = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
RANKING = 'results/ranked/ranking.parquet'
TOO_GOOD = (
    'the images that choose checkpoints or are reported were those that the ranking aimed at: figures on them are'
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with train/, val/, aim/ and a network."""
    monkeypatch.chdir(tmp_path)
    for name, number, size in (('train', 8, 40), ('val', 2, 36), ('aim', 3, 24)):
        write_images(tmp_path / name, number=number, size=size)
    torch.save({'params': build_network(dict(NETWORK)).state_dict()}, 'net.pth')
    return tmp_path


def rank(target: str = 'aim', **rank: Any) -> str:
    """Rank train/ for a target; the manifest."""
    shutil.rmtree('results', ignore_errors=True)
    opt = {
        'name': 'ranked',
        'num_gpu': 0,
        'rank': {'iterations': 1, 'curvature_images': 1, **rank},
        'datasets': {
            'train': {'name': 'train', 'dataroot_gt': 'train', **READ},
            'test': {'name': target, 'dataroot_gt': target, **READ},
        },
        'network_g': dict(NETWORK),
        'path': {'pretrain_network_g': 'net.pth'},
    }
    Path('rank.yml').write_text(yaml.safe_dump(opt))
    assert main(['rank', '-opt', 'rank.yml']) == 0
    return RANKING


def train(folder: Path, *arguments: str, **changes: Any) -> None:
    opt = training.options(folder, train__total_iter=1, **changes)
    Path('run.yml').write_text(yaml.safe_dump(opt))
    assert main(['train', '-opt', 'run.yml', *arguments]) == 0


def subset(folder: Path) -> dict[str, Any]:
    block = dict(training.options(folder)['datasets']['train'])
    inner = {key: block.pop(key) for key in ('type', 'dataroot_gt', 'color', 'sigma', 'gt_size')}
    return {
        **block,
        'type': 'InfluenceSubsetDataset',
        'manifest': RANKING,
        'subset': 'top',
        'size': 4,
        'dataset': inner,
    }


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Those about shared files; forgets all."""
    found = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    caplog.clear()
    return [text for text in found if 'expected' in text]


# ---- rank and mine ----


def test_a_target_of_images_that_are_ranked_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    rank()
    assert warnings(caplog) == []
    shutil.copy('train/003.png', 'aim/other.png')
    rank(levels=[{'name': name} for name in 'ab'])
    (text,) = warnings(caplog)
    assert text.startswith(
        'datasets.test: expected a target without images of datasets.train, got 1 of its files there: aim/other.png is '
        'train/003.png. Take other images for the target'
    )
    rank(method='loss')
    assert warnings(caplog) == []


def test_a_ranking_notes_its_target_beside_what_identifies_it(folder: Path) -> None:
    header = read_manifest(rank()).header
    assert header['target']['name'] == 'aim' and list(header['target']['files']) == ['000.png', '001.png', '002.png']
    block = {'name': 'aim', 'dataroot_gt': 'aim', 'phase': 'val', 'scale': 1, **READ}
    files = image_files(DATASET_REGISTRY.get('GaussianDenoisingDataset')(block))
    assert list(header['target']['files'].values()) == [digest_of(file) for file in files]
    before = Path(RANKING).stat().st_mtime_ns
    assert main(['rank', '-opt', 'rank.yml']) == 0 and Path(RANKING).stat().st_mtime_ns == before
    shutil.move('aim', 'moved')
    moved = read_manifest(rank('moved')).header
    assert moved['target']['files'] == header['target']['files']
    assert 'target' not in read_manifest(rank('moved', method='random')).header


def test_mined_patches_note_and_compare_their_target(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    opt = {
        'name': 'mined',
        'num_gpu': 0,
        'mine': {'patch_size': 16, 'stride': 16, 'criteria': ['influence'], 'influence': {'iterations': 1}},
        'datasets': {
            'train': {'name': 'train', 'dataroot_gt': 'val', **READ},
            'test': {'name': 'aim', 'dataroot_gt': 'val', **READ},
        },
        'network_g': dict(NETWORK),
        'path': {'pretrain_network_g': 'net.pth'},
    }
    Path('mine.yml').write_text(yaml.safe_dump(opt))
    assert main(['mine', '-opt', 'mine.yml']) == 0
    (text,) = warnings(caplog)
    assert 'got 2 of its files there: val/000.png; val/001.png.' in text
    header = read_manifest('results/mined/patches.parquet').header
    assert header['target']['name'] == 'aim' and list(header['target']['files']) == ['000.png', '001.png']


# ---- train ----


@pytest.mark.parametrize('arguments', [(), ('--check',)])
def test_validation_on_images_of_training_is_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]
) -> None:
    train(folder, *arguments)
    assert warnings(caplog) == []
    shutil.copy('train/007.png', 'val/002.png')
    train(folder, *arguments)
    (text,) = warnings(caplog)
    assert text.startswith(
        f'dataset val: expected images that are not trained on, got 1 of datasets.train: {folder}/val'
    )
    assert text.endswith('Validate on others: figures on these are too good.')


@pytest.mark.parametrize('arguments', [(), ('--check',)])
def test_validation_on_the_target_of_a_ranking_is_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]
) -> None:
    """Also where only one of two validation sets is, through wrappers around the subset."""
    rank()
    block = {**subset(folder)}
    blurred = {key: block.pop(key) for key in ('type', 'manifest', 'subset', 'size', 'dataset')}
    block |= {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': blurred}
    train(folder, *arguments, datasets__train=block)
    assert warnings(caplog) == []
    second = {'name': 'second', 'dataroot_gt': str(folder / 'aim'), **READ}
    train(folder, *arguments, datasets__train=block, datasets__val_2=second)
    (text,) = warnings(caplog)
    assert text.startswith(f'dataset second: expected images that {RANKING} did not aim at, got 3 of its target aim: ')
    assert f'{folder}/aim/000.png is 000.png' in text and TOO_GOOD in text


def test_images_that_the_subset_leaves_out_are_not_trained_on(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    ranks = read_manifest(rank()).column('rank')
    left_out = f'train/{ranks.index(8):03d}.png'
    chosen = f'train/{ranks.index(1):03d}.png'
    shutil.copy(left_out, 'val/002.png')
    train(folder, '--check', datasets__train=subset(folder))
    assert warnings(caplog) == []
    shutil.copy(chosen, 'val/002.png')
    train(folder, '--check', datasets__train=subset(folder))
    assert len(warnings(caplog)) == 1


class Own(Dataset[dict[str, Any]]):
    """A dataset of a user that tells no files."""

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.full((1, 16, 16), 0.5)
        return {'lq': image, 'gt': image, 'lq_path': f'{int(index)}', 'gt_path': f'{int(index)}'}


def test_datasets_of_users_that_tell_no_files_are_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    DATASET_REGISTRY.register(Own)
    try:
        rank()
        train(folder, datasets__val={'name': 'val', 'type': 'Own'}, datasets__train=subset(folder))
        loader = {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
        train(folder, datasets__train={'name': 'train', 'type': 'Own', **loader})
    finally:
        DATASET_REGISTRY._obj_map.pop('Own')
    assert [text for text in warnings(caplog) if 'aim' in text or 'trained' in text] == []
