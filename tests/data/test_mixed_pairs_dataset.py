"""Mixed pairs against plain loops over the two samples they are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.data import build_dataset

from basicsr_ext.data.mixed_pairs_dataset import PARTNERS, MixedPairsDataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from tests.helpers.images import write_images

INNER = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'images', 'color': 'gray', 'sigma': 25, 'gt_size': 16}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'images', number=5, size=24)


def mixed(inner: dict[str, Any] | None = None, **keys: Any) -> MixedPairsDataset:
    block = {'name': 'x', 'type': 'MixedPairsDataset', 'phase': 'train', 'dataset': dict(inner or INNER), **keys}
    return build_dataset({'scale': 1, **block})


def moment(position: int, item: int = 2) -> ScheduledIndex:
    return ScheduledIndex(item, seed=3, iteration=7, position=position, warmup=False)


def parts(dataset: MixedPairsDataset, index: ScheduledIndex) -> tuple[Any, Any, np.random.Generator]:
    """The sample, its partner and the generator, after the two numbers that decide and choose."""
    rng = sample_rng(index, 'mix')
    rng.random()
    partner = ScheduledIndex(
        int(rng.integers(5)), seed=3, iteration=7, position=index.position + PARTNERS, warmup=False
    )
    return dataset.dataset[index], dataset.dataset[partner], rng


def test_mixup_is_a_weighted_mean() -> None:
    dataset = mixed(mixup=1)
    for position in range(6):
        index = moment(position)
        (first, second, rng), found = parts(dataset, index), dataset[index]
        weight = rng.beta(1.2, 1.2)
        for key in ('lq', 'gt'):
            assert torch.allclose(found[key], weight * first[key] + (1 - weight) * second[key])
    noise = [dataset.dataset[at]['lq'] - dataset.dataset[at]['gt'] for at in (moment(0), moment(0).moved(PARTNERS))]
    assert abs(np.corrcoef(*(each.flatten().numpy() for each in noise))[0, 1]) < 0.3


@pytest.mark.parametrize('scale', [1, 2])
def test_cutmix_takes_one_rectangle_of_the_partner(scale: int) -> None:
    inner = {**INNER, 'type': 'BicubicSRDataset'} if scale == 2 else INNER
    inner = {key: value for key, value in inner.items() if key != 'sigma' or scale == 1}
    dataset = mixed(inner, cutmix=1, scale=scale)
    areas = []
    for position in range(40):
        index = moment(position)
        (first, second, _), found = parts(dataset, index), dataset[index]
        from_other = (found['lq'] == second['lq'])[0] & (found['lq'] != first['lq'])[0]
        rows, columns = np.nonzero(from_other.numpy())
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        for key, factor in (('lq', 1), ('gt', scale)):
            expected = first[key].clone()
            box = (slice(None), slice(top * factor, bottom * factor), slice(left * factor, right * factor))
            expected[box] = second[key][box]
            assert torch.equal(found[key], expected)
        areas.append((bottom - top) * (right - left) / from_other.numel())
    assert 0.3 < np.mean(areas) < 0.7 and min(areas) < 0.1 and max(areas) > 0.9


def test_cutblur_puts_ground_truth_into_the_input() -> None:
    dataset = mixed(cutblur=1)
    inside = []
    for position in range(40):
        index = moment(position)
        first, found = dataset.dataset[index], dataset[index]
        assert torch.equal(found['gt'], first['gt'])
        clean = (found['lq'] == first['gt'])[0].numpy()
        assert (clean | (found['lq'] == first['lq'])[0].numpy()).all()
        for part in (clean, ~clean):  # one of the two is a rectangle
            rows, columns = np.nonzero(part)
            if len(rows) and part[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all():
                inside.append(part is clean)
                break
        else:
            pytest.fail('no rectangle')
    assert 8 < sum(inside) < 32


def test_the_rest_stays_as_it_is_and_all_is_repeated_exactly() -> None:
    dataset = mixed(mixup=0.2, cutmix=0.2, cutblur=0.2)
    changed = 0
    for position in range(100):
        index = moment(position)
        first, found, again = dataset.dataset[index], dataset[index], dataset[index]
        assert torch.equal(found['lq'], again['lq']) and torch.equal(found['gt'], again['gt'])
        changed += not torch.equal(found['lq'], first['lq'])
    assert 45 <= changed <= 75
    assert dataset[2]['gt'].shape == (1, 16, 16)  # BasicSR's own loop gives plain indices


@pytest.mark.parametrize(
    ('keys', 'said'),
    [
        ({}, 'mixup: expected a sum above 0 and up to 1 with cutmix and cutblur, got 0'),
        ({'mixup': 0.6, 'cutmix': 0.6}, 'mixup: expected a sum above 0 and up to 1 .* got 1.2'),
        ({'mixup': -1}, 'mixup: expected 0 to 1, got -1'),
        ({'cutblur': 0.5, 'scale': 2}, 'cutblur: expected 0 where gt is larger than lq'),
        ({'mixup': 0.5, 'phase': 'val'}, 'type: expected MixedPairsDataset in datasets.train'),
    ],
)
def test_wrong_options(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        mixed(**keys)


def test_samples_that_do_not_go_together(tmp_path: Path) -> None:
    write_images(tmp_path / 'images', number=1, size=30)
    whole = {key: value for key, value in INNER.items() if key != 'gt_size'}
    dataset = mixed(whole, cutmix=1)
    with pytest.raises(DataError, match=r'dataset x, lq: expected samples of one size, got \[.*\]\. Set gt_size'):
        for position in range(20):
            dataset[moment(position, 0)]
