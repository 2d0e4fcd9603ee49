"""Flips of training patches: each key switches its own, in all our datasets alike, and changes no other's draw."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.data import build_dataset

from basicsr_ext.data.augmentation import Flips, draw_flips
from basicsr_ext.schedule.sampling import ScheduledIndex, sample_rng
from tests.helpers.images import write_noise

MOMENTS = [ScheduledIndex(0, seed=1, iteration=iteration, position=0) for iteration in range(60)]


@pytest.mark.parametrize(('hflip', 'rot', 'vflip'), list(product([False, True], repeat=3)))
def test_each_key_switches_its_own_flips(hflip: bool, rot: bool, vflip: bool) -> None:
    seen = set()
    for index in MOMENTS:
        left_right, upside_down, transpose = (sample_rng(index, 'augment').random(3) < 0.5).tolist()
        expected = Flips(hflip and left_right, (rot or vflip) and upside_down, rot and transpose)
        assert draw_flips(index, hflip, rot, vflip) == expected
        seen.add(expected)
        if not vflip:
            assert draw_flips(index, hflip, rot) == expected
    assert len(seen) == 2 ** (hflip + (rot or vflip) + rot)


@pytest.mark.parametrize('kind', ['GaussianDenoisingDataset', 'PairsDataset', 'mined'])
def test_datasets_flip_horizontally_and_vertically_without_transposing(tmp_path: Path, kind: str) -> None:
    image = write_noise(tmp_path, {'a.png': (8, 8)})['a.png'][..., ::-1]
    reader: dict[str, Any] = {'type': kind, 'dataroot_gt': str(tmp_path), 'gt_size': 8}
    if kind != 'GaussianDenoisingDataset':
        reader |= {'type': 'PairsDataset', 'dataroot_lq': str(tmp_path)}
    keys = {'use_hflip': True, 'use_vflip': True, 'use_rot': False}
    dataset = build_dataset({'name': 'x', 'phase': 'train', 'scale': 1, **reader, **keys})
    found = set()
    for index in MOMENTS:
        sample = dataset.patch(index, (0, 0)) if kind == 'mined' else dataset[index]
        hflip, vflip, _ = sample_rng(index, 'augment').random(3) < 0.5
        expected = image[:: -1 if vflip else 1, :: -1 if hflip else 1]
        assert torch.equal(sample['gt'], torch.from_numpy(np.ascontiguousarray(expected.transpose(2, 0, 1))) / 255)
        found.add((hflip, vflip))
    assert len(found) == 4
