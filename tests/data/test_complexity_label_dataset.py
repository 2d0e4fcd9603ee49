"""Labels of the complexity scorer: entropies in a range, or those of a file."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset

from basicsr_ext.data.complexity_label_dataset import measure_range
from basicsr_ext.data.label_file import read_labels
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.pixels import resize_square
from basicsr_ext.runtime import interrupt
from basicsr_ext.schedule.sampling import ScheduledIndex


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_known(folder: Path) -> Path:
    """Images of 0, 1 and 8 bits, the last one in colour."""
    write(folder / 'constant.png', np.full((32, 40), 77, np.uint8))
    write(folder / 'stripes.png', np.tile(np.array([10, 200], np.uint8), (32, 20)))
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write(folder / 'ramp.png', np.stack([ramp] * 3, 2))
    return folder


def dataset(folder: Path, phase: str = 'train', **options: Any) -> Any:
    block = {'name': 'data', 'type': 'ComplexityLabelDataset', 'dataroot_gt': str(folder), 'phase': phase, **options}
    return build_dataset(block)


def labels_of(data: Any) -> dict[str, float]:
    samples = [data[ScheduledIndex(index, 0, 1, index)] for index in range(len(data))]
    return {Path(sample['gt_path']).stem: sample['gt'].item() for sample in samples}


def test_labels_of_known_entropy(tmp_path: Path) -> None:
    folder = write_known(tmp_path / 'images')
    expected = {'constant': 0, 'stripes': 1 / 8, 'ramp': 1}
    assert labels_of(dataset(folder)) == pytest.approx(expected)
    assert labels_of(dataset(folder, label_range=[1, 5])) == pytest.approx({'constant': 0, 'stripes': 0, 'ramp': 1})
    assert labels_of(dataset(folder, label_range=[-8, 8])) == pytest.approx(
        {'constant': 0.5, 'stripes': 9 / 16, 'ramp': 1}
    )


def test_other_images_are_labelled_by_the_range_of_the_training_set(tmp_path: Path) -> None:
    folder = write_known(tmp_path / 'train')
    write(tmp_path / 'val' / 'four.png', np.tile(np.arange(4, dtype=np.uint8), (8, 8)))
    assert labels_of(dataset(tmp_path / 'val', 'val', dataroot_range=str(folder))) == pytest.approx({'four': 2 / 8})
    (tmp_path / 'names.txt').write_text('constant.png\nstripes.png\n')
    named = dataset(tmp_path / 'val', 'val', dataroot_range=str(folder), meta_info_range=str(tmp_path / 'names.txt'))
    assert (named.low, named.high) == (0, 1)


def test_a_sample_is_a_reduced_image_and_its_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 150, 3), np.uint8)
    write(tmp_path / 'a.png', image)
    sample = dataset(tmp_path, 'val', label_range=[0, 8], input_size=48)[0]
    rgb = torch.from_numpy(image[..., ::-1] / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(sample['lq'], resize_square(rgb[None], 48)[0])
    counts = np.bincount(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).ravel(), minlength=256) / (90 * 150)
    bits = -sum(share * np.log2(share) for share in counts if share)
    assert sample['gt'].shape == (1,) and sample['gt'].item() == pytest.approx(bits / 8)
    assert sample['lq_path'] == sample['gt_path'] == str(tmp_path / 'a.png')


def test_flips_while_training_keep_the_label(tmp_path: Path) -> None:
    write_known(tmp_path)
    data = dataset(tmp_path)
    index = data.files.names.index('stripes.png')
    samples = [data[ScheduledIndex(index, 0, iteration, 0)] for iteration in range(1, 20)]
    assert len({sample['gt'].item() for sample in samples}) == 1
    assert len({sample['lq'].numpy().tobytes() for sample in samples}) > 1
    plain = dataset(tmp_path, use_hflip=False, use_rot=False)
    assert torch.equal(plain[ScheduledIndex(index, 0, 1, 0)]['lq'], plain[ScheduledIndex(index, 0, 2, 0)]['lq'])


def test_a_file_replaces_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = write_known(tmp_path / 'images'), tmp_path / 'labels.csv'
    file.write_text('path,label,prediction\nstripes.png,0.75,0.1\n')
    expected = {'constant': 0, 'stripes': 0.75, 'ramp': 1}
    assert labels_of(dataset(folder, labels=str(file))) == pytest.approx(expected)
    monkeypatch.setenv('HOME', str(tmp_path))
    for path in ('stripes.png', 'stripes', 'stripes.JPG'):  # as in an LMDB, or in another format
        file.write_text(f'note,label,path\nx,0.75,{path}\n', encoding='utf-8-sig')  # as a spreadsheet writes it
        assert labels_of(dataset(folder, labels='~/labels.csv')) == pytest.approx(expected)


def test_labels_of_images_that_differ_in_their_ending_alone_are_refused(tmp_path: Path) -> None:
    file = tmp_path / 'labels.csv'
    file.write_text('path,label\na.png,0.5\n')
    with pytest.raises(DataError, match='expected image names that differ, not counting their endings, got a.png; a.J'):
        read_labels(str(file), ['a.png', 'a.JPG', 'b.png'], 'labels')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('path,label\nnone.png,0.5\n', 'expected images of the dataset, got none.png'),
        ('path,label\nramp.png,0.5\nramp.png,0.6\n', 'expected each image once, got ramp.png; ramp.png'),
        ('path,label\nramp.png,1.5\n', r"expected labels in \[0, 1\], got '1.5' of ramp.png"),
        ('path,label\nramp.png\n', r"expected labels in \[0, 1\], got '' of ramp.png"),
        ('name,label\nramp.png,0.5\n', r'expected the columns path and label in .*labels.csv, got \[.name., .label.\]'),
        ('', r'expected the columns path and label in .*labels.csv, got \[\]'),
    ],
)
def test_wrong_files_of_labels(text: str, message: str, tmp_path: Path) -> None:
    folder, file = write_known(tmp_path / 'images'), tmp_path / 'labels.csv'
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        dataset(folder, labels=str(file))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'phase': 'val'}, 'label_range: expected the range of the training set, got none'),
        ({'gt_size': 32}, 'gt_size: expected ~, as a crop has another complexity'),
        ({'label_range': [3, 2]}, r'label_range: expected \[least, largest\], got \[3, 2\]'),
        ({'label_range': [2, 3], 'dataroot_range': '.'}, 'dataroot_range: expected ~ beside label_range'),
        ({'meta_info_range': 'a.txt'}, 'meta_info_range: expected dataroot_range beside it'),
        ({'input_size': 0}, 'input_size: expected at least 1, got 0'),
        ({'labels': 'none.csv'}, 'labels: expected a CSV file'),
    ],
)
def test_wrong_options_of_labels(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        dataset(write_known(tmp_path), **options)


def test_images_of_equal_entropy_have_no_range(tmp_path: Path) -> None:
    write(tmp_path / 'a.png', np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match='expected images of different entropy'):
        measure_range((str(tmp_path),), None)


def test_the_measuring_of_the_range_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_known(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, 'requested', lambda: True)
        with pytest.raises(interrupt.Interrupted):
            measure_range((str(tmp_path),), None)
    assert measure_range((str(tmp_path),), None) == pytest.approx((0, 8))
