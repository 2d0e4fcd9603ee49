"""Names of images in results: the path below the dataroot, made different where two are alike."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from basicsr.data import build_dataset

from basicsr_ext.__main__ import main
from basicsr_ext.data.image_names import result_names
from tests.helpers.images import write_images


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'a', number=2, size=16)
    write_images(tmp_path / 'b', number=2, size=16)
    return tmp_path


def noisy(folder: str, **keys: Any) -> dict[str, Any]:
    block = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': folder, 'color': 'gray', 'sigma': 25}
    return {'name': 'x', 'phase': 'val', 'scale': 1, **block, **keys}


def test_a_flat_folder_and_the_folders_below_one(folders: Path) -> None:
    assert result_names(build_dataset(noisy('a'))) == ['000', '001']
    assert result_names(build_dataset(noisy('.'))) == ['a/000', 'a/001', 'b/000', 'b/001']


def test_groups_are_named_where_their_images_are_alike(folders: Path) -> None:
    groups = {name: {key: value for key, value in noisy(name).items() if key != 'name'} for name in ('a', 'b')}
    block = {'name': 'x', 'type': 'AllInOneDataset', 'phase': 'val', 'scale': 1, 'datasets': groups}
    assert result_names(build_dataset(block)) == ['a/000', 'a/001', 'b/000', 'b/001']


def test_patches_of_an_image_are_numbered(folders: Path) -> None:
    opt = {'name': 'm', 'num_gpu': 0, 'datasets': {'train': noisy('a')}, 'mine': {'patch_size': 8, 'stride': 8}}
    del opt['datasets']['train']['phase']
    Path('mine.yml').write_text(yaml.safe_dump(opt))
    assert main(['mine', '-opt', 'mine.yml']) == 0
    inner = {key: value for key, value in noisy('a').items() if key not in ('name', 'phase', 'scale')}
    block = {'name': 'x', 'type': 'MinedPatchDataset', 'manifest': 'results/m/patches.parquet', 'keep': 1.0}
    dataset = build_dataset({**block, 'dataset': inner, 'phase': 'val', 'scale': 1})
    names = result_names(dataset)
    assert names == [f'{image}_{patch}' for image in ('000', '001') for patch in (1, 2, 3, 4)]


def test_a_dataset_that_does_not_tell_its_files() -> None:
    class Unlisted:
        opt = {'name': 'x', 'dataroot_gt': 'a'}

        def __len__(self) -> int:
            return 1

    assert result_names(Unlisted()) is None  # type: ignore[arg-type]
