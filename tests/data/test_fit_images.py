"""Training without the images that an audit found suspect."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from basicsr.data import build_dataset

from basicsr_ext.data.fit_images import suspect_images
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest
from tests.helpers.images import same, write_noise

Options = dict[str, Any]
NAMES, SUSPECT = 'abcdef', 'be'
RANKS = [4, 2, 6, 1, 5, 3]  # of a to f; without b and e: a 3, c 4, d 1, f 2
INNER = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'gt_size': 8}
PAIRED = {
    **INNER, 'type': 'PairedImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}, 'use_hflip': True,
    'use_rot': True,
}  # fmt: skip
ITEMS = [Item(f'{name}.png', 20, 24) for name in NAMES]


def write_audit(path: str, suspect: str, items: list[Item] = ITEMS) -> None:
    """In another order than the images."""
    items = items[::-1]
    is_suspect = [item.name in suspect for item in items]
    columns = {'suspect': is_suspect, 'reason': ['noisy' if each else '' for each in is_suspect]}
    write_manifest(path, items, columns, {'method': 'audit', 'findings': {}})


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory with gt/, a ranking, patches and an audit."""
    monkeypatch.chdir(tmp_path)
    write_noise('gt', {item.path: (item.height, item.width) for item in ITEMS})
    groups = [Item(item.path, item.height, item.width, 'x' if item.name in 'abc' else 'y') for item in ITEMS]
    write_manifest('r.parquet', groups, {'group': [item.group for item in groups], 'rank': RANKS}, {})
    numbers = np.repeat(np.arange(6), 2)
    places = {'y': np.tile([0, 8], 6), 'x': np.zeros(12, int), 'size': np.full(12, 8), 'grad': np.arange(12.0)}
    write_patch_manifest('p.parquet', ITEMS, [{'image': numbers, **places}], {'method': 'mine'})
    write_audit('a.parquet', SUSPECT)


def build(kind: str, inner: Options = INNER, **keys: Any) -> Any:
    outer = {'name': 'fit', 'type': kind, 'phase': 'train', 'scale': 1, 'exclude': 'a.parquet'}
    return build_dataset({**outer, 'dataset': dict(inner), **keys})


def names(dataset: Any) -> str:
    return ''.join(sorted(item.name for item in inventory(dataset)))


@pytest.mark.parametrize('inner', [INNER, PAIRED])
def test_the_rest_are_the_samples_of_the_dataset_inside(inner: Options) -> None:
    dataset, whole = (
        build('FitImagesDataset', inner),
        scheduled(build_dataset({'name': 'w', 'phase': 'train', 'scale': 1, **inner})),
    )
    assert len(dataset) == 4 and names(dataset) == 'acdf'
    kept = [index for index, item in enumerate(inventory(whole)) if item.name not in SUSPECT]
    for index, inside in enumerate(kept):
        moments = [ScheduledIndex(each, 5, 3, 2) for each in (index, inside)]
        assert same(dataset[moments[0]], whole[moments[1]])


def test_ranks_close_up_before_a_part_is_chosen() -> None:
    keys = {'manifest': 'r.parquet'}
    parts = {'top': 'df', 'bottom': 'ac', 'mid': 'af'}
    for subset, expected in parts.items():
        assert names(build('InfluenceSubsetDataset', subset=subset, size=2, **keys)) == expected
    assert names(build('InfluenceSubsetDataset', range=[2, 3], **keys)) == 'af'
    assert names(build('InfluenceSubsetDataset', subset='top', ratio=1.0, **keys)) == 'acdf'
    assert names(build('InfluenceSubsetDataset', subset='top', size=2, per_group=True, **keys)) == 'ad'
    with pytest.raises(OptionError, match='fit.size: expected at most the 4 images of the ranking, got 5'):
        build('InfluenceSubsetDataset', subset='top', size=5, **keys)


def test_a_rising_part_never_holds_a_suspect_image() -> None:
    dataset = build('DynamicSubsetDataset', manifest='r.parquet', size=2)
    every = inventory(dataset.dataset)
    epochs = [''.join(every[item].name for item in dataset.items_of(epoch, 4.0, 0)) for epoch in range(4)]
    assert epochs[-1] == 'df' and not set(''.join(epochs)) & set(SUSPECT)


def test_patches_of_suspect_images_are_left_out_before_the_best_are_kept() -> None:
    dataset = build('MinedPatchDataset', manifest='p.parquet', keep=4)
    assert [inventory(dataset.dataset)[image].name for image in dataset.images] == ['d', 'd', 'f', 'f']
    assert len(build('MinedPatchDataset', manifest='p.parquet', keep=1.0)) == 8


def test_a_part_that_a_wrapper_inside_chose_is_enough() -> None:
    part = {'type': 'InfluenceSubsetDataset', 'manifest': 'r.parquet', 'subset': 'top', 'size': 3, 'dataset': INNER}
    assert names(build('FitImagesDataset', part)) == 'df'  # of d, b, f


def test_damaged_images_are_left_out_too() -> None:
    Path('gt/b.png').write_bytes(b'no image')
    write_audit('a.parquet', SUSPECT, [Item('b.png', 0, 0) if item.name == 'b' else item for item in ITEMS])
    dataset = build('FitImagesDataset')
    assert [Path(dataset[ScheduledIndex(index, 5, 3, 2)]['gt_path']).stem for index in range(4)] == list('acdf')


@pytest.mark.parametrize('kind', ['FitImagesDataset', 'InfluenceSubsetDataset', 'MinedPatchDataset'])
def test_what_is_refused(kind: str) -> None:
    keys = {'InfluenceSubsetDataset': {'manifest': 'r.parquet', 'subset': 'top', 'size': 1}}.get(kind, {})
    keys = {'manifest': 'p.parquet', 'keep': 1.0} if kind == 'MinedPatchDataset' else keys
    with pytest.raises(DataError, match='dataset fit.manifest r.parquet: expected an audit, got columns path, '):
        build(kind, exclude='r.parquet', **keys)
    with pytest.raises(DataError, match='dataset fit.manifest none.parquet: expected a file, got none'):
        build(kind, exclude='none.parquet', **keys)
    write_audit('all.parquet', NAMES)
    with pytest.raises(DataError, match='fit.exclude: expected an audit that leaves images, got 6 suspect ones of 6'):
        build(kind, exclude='all.parquet', **keys)
    write_audit('other.parquet', '', [*ITEMS[:-1], Item('g.png', 20, 24)])
    with pytest.raises(DataError, match='fit.exclude: expected the images that other.parquet was made from, got 1 not'):
        build(kind, exclude='other.parquet', **keys)


def test_an_image_that_changed_its_size_is_refused() -> None:
    cv2.imwrite('gt/c.png', np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match='1 of another size: c.png'):
        suspect_images(build_dataset({'name': 'w', 'phase': 'train', 'scale': 1, **INNER}), 'a.parquet', 'dataset w')
