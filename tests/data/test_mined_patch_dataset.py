"""Training on mined patches: which ones, from where exactly, and what is refused."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.data import build_dataset
from basicsr.utils import get_root_logger

from basicsr_ext.__main__ import main
from basicsr_ext.data import mined_patch_dataset
from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images.image_files import ImageFiles
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.manifest import Item, write_manifest, write_patch_manifest
from basicsr_ext.training.loader import build_train_loader
from tests.helpers.images import pack_lmdb, same, write_noise
from tests.helpers.processes import run

Options = dict[str, Any]
Row = tuple[str, int, int]  # name, y, x

SIZES = {'a': (20, 24), 'b': (26, 14), 'c': (14, 14), 'd': (20, 20)}
PATCH, STRIDE = 8, 6
ROWS = [
    (name, y, x)
    for name, (height, width) in SIZES.items()
    for y in range(0, height - PATCH + 1, STRIDE)
    for x in range(0, width - PATCH + 1, STRIDE)
]
GRAD = np.random.default_rng(1).random(len(ROWS))
STD = np.random.default_rng(2).random(len(ROWS))


def write_patches(rows: list[Row] = ROWS, skipped: dict[str, str] | None = None, **columns: np.ndarray) -> None:
    """What `mine` writes."""
    names = sorted({name for name, _, _ in rows})
    part = {
        'image': np.array([names.index(name) for name, _, _ in rows]),
        'y': np.array([y for _, y, _ in rows]),
        'x': np.array([x for _, _, x in rows]),
        'size': np.full(len(rows), PATCH),
        **(columns or {'grad': GRAD[: len(rows)]}),
    }
    items = [Item(f'{name}.png', *SIZES[name]) for name in names]
    write_patch_manifest('patches.parquet', items, [part], {'method': 'mine', 'skipped': skipped or {}})


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with gt/, lq/ of half the size, LMDBs of both, and the patches of gt."""
    monkeypatch.chdir(tmp_path)
    for folder, divisor in (('gt', 1), ('lq', 2)):
        write_noise(folder, {f'{name}.png': size for name, size in SIZES.items()}, divisor, seed=divisor)
        pack_lmdb(folder, [f'{name}.png' for name in SIZES])
    Path('names.txt').write_text(''.join(f'{name}.png 1\n' for name in 'dbac'))
    write_patches()
    return tmp_path


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The warnings in the log."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    get_root_logger().addHandler(handler)
    yield found
    get_root_logger().removeHandler(handler)


GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 0}
PAIRED = {
    'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}
}  # fmt: skip
INNER = {
    'folder': GAUSSIAN,
    'meta_info': {**GAUSSIAN, 'meta_info_file': 'names.txt'},
    'lmdb': {**GAUSSIAN, 'dataroot_gt': 'gt.lmdb', 'io_backend': {'type': 'lmdb'}},
    'cached': {**GAUSSIAN, 'cache': True},
    'stock': PAIRED,
    'stock meta_info': {**PAIRED, 'meta_info_file': 'names.txt'},
    'stock lmdb': {**PAIRED, 'dataroot_gt': 'gt.lmdb', 'dataroot_lq': 'lq.lmdb', 'io_backend': {'type': 'lmdb'}},
}


def mined(inner: Options, **keys: Any) -> Options:
    scale = 2 if inner['type'] == 'PairedImageDataset' else 1
    inner = {key: dict(value) if isinstance(value, dict) else value for key, value in inner.items()}
    outer = {'name': 'mined', 'type': 'MinedPatchDataset', 'phase': 'train', 'scale': scale}
    return {**outer, 'manifest': 'patches.parquet', 'keep': 1.0, 'dataset': inner, **keys}


def build(inner: Options, **keys: Any) -> Any:
    return build_dataset(mined(inner, **keys))


def inside(block: Options) -> Options:
    """A block as it stands below `dataset:`."""
    return {key: value for key, value in block.items() if key not in ('name', 'phase', 'scale')}


def moment(value: int, iteration: int = 3, position: int = 2) -> ScheduledIndex:
    return ScheduledIndex(value, 5, iteration, position)


def pixels(image: torch.Tensor) -> np.ndarray:
    """H x W x C, B, G, R as in a file."""
    return np.rint(image.permute(1, 2, 0).numpy()[..., ::-1] * 255).astype(np.uint8)


def turned(image: np.ndarray, number: int) -> np.ndarray:
    """One of the eight."""
    image = image[:, ::-1] if number & 1 else image
    image = image[::-1] if number & 2 else image
    return image.transpose(1, 0, 2) if number & 4 else image


def found_in(sample: dict[str, Any], row: Row, scale: int) -> list[int]:
    """By which of the eight transforms both images of a sample are those of a patch."""
    name, y, x = row
    ours = scale == 1
    sources = cv2.imread(f'gt/{name}.png'), cv2.imread(f'{"gt" if ours else "lq"}/{name}.png')
    gt = sources[0][y : y + PATCH, x : x + PATCH]
    lq = sources[1][y // scale : (y + PATCH) // scale, x // scale : (x + PATCH) // scale]
    assert Path(sample['gt_path']).stem == name
    assert sample['gt'].shape == (3, PATCH, PATCH) and sample['lq'].shape == (3, PATCH // scale, PATCH // scale)
    return [
        number
        for number in range(8)
        if np.array_equal(pixels(sample['gt']), turned(gt, number))
        and np.array_equal(pixels(sample['lq']), turned(lq, number))
    ]


def rows_of(dataset: Any) -> list[Row]:
    """Which patches the samples are, by their pixels."""
    scale = dataset.opt['scale']
    found = []
    for index in range(len(dataset)):
        sample = dataset[moment(index)]
        name = Path(sample['gt_path']).stem
        (row,) = [row for row in ROWS if row[0] == name and found_in(sample, row, scale)]
        found.append(row)
    return found


def best(number: int, scores: np.ndarray = GRAD) -> list[Row]:
    return [ROWS[row] for row in sorted(np.argsort(-scores)[:number])]


# ---- the patches ----


@pytest.mark.parametrize(('kind', 'phase'), [*((kind, 'train') for kind in INNER), ('folder', 'val'), ('stock', 'val')])
def test_items_are_the_mined_patches(data: Path, kind: str, phase: str) -> None:
    assert rows_of(build(INNER[kind], phase=phase)) == ROWS


@pytest.mark.parametrize('kind', INNER)
def test_without_flips_the_pixels_are_those_of_the_file(data: Path, kind: str) -> None:
    dataset = build({**INNER[kind], 'use_hflip': False, 'use_rot': False})
    for index, row in enumerate(ROWS):
        for iteration in range(3):
            assert found_in(dataset[moment(index, iteration)], row, dataset.opt['scale']) == [0]


@pytest.mark.parametrize('kind', ['folder', 'stock'])
def test_outside_training_nothing_is_flipped(data: Path, kind: str) -> None:
    dataset = build(INNER[kind], phase='val')
    assert all(found_in(dataset[index], row, dataset.opt['scale']) == [0] for index, row in enumerate(ROWS))


@pytest.mark.parametrize('kind', ['folder', 'stock'])
@pytest.mark.parametrize(
    ('flips', 'transforms'),
    [
        ({}, {0, 1, 2, 3, 4, 5, 6, 7}),
        ({'use_hflip': True, 'use_rot': False}, {0, 1}),
        ({'use_hflip': False, 'use_rot': True}, {0, 2, 4, 6}),
    ],
)
def test_flips_are_drawn_evenly(data: Path, kind: str, flips: Options, transforms: set[int]) -> None:
    dataset = build({**INNER[kind], **flips})
    times = np.zeros(8, int)
    for iteration in range(240):
        (transform,) = found_in(dataset[moment(4, iteration)], ROWS[4], dataset.opt['scale'])
        times[transform] += 1
    assert set(np.flatnonzero(times)) == transforms
    assert times[sorted(transforms)].min() > 0.5 * 240 / len(transforms)


def test_ours_and_stock_flip_alike(data: Path) -> None:
    first, second = build(GAUSSIAN), build(PAIRED)
    for index in range(len(ROWS)):
        assert torch.equal(first[moment(index)]['gt'], second[moment(index)]['gt'])


@pytest.mark.parametrize('kind', ['folder', 'stock'])
def test_a_sample_is_a_function_of_the_moment(data: Path, kind: str) -> None:
    block = {**INNER[kind], 'sigma': 25} if kind == 'folder' else INNER[kind]
    dataset, again = build(block), build(block)
    assert all(same(dataset[moment(index)], again[moment(index)]) for index in reversed(range(len(ROWS))))
    for other in ({'iteration': 4}, {'position': 3}):
        assert not all(same(dataset[moment(i)], dataset[moment(i, **other)]) for i in range(len(ROWS)))


@pytest.mark.parametrize('kind', ['folder', 'stock'])
def test_batches_do_not_depend_on_the_workers(data: Path, kind: str) -> None:
    def batches(workers: int) -> list[Any]:
        block = mined(INNER[kind], keep=0.5, batch_size_per_gpu=2, num_worker_per_gpu=workers)
        opt = {'datasets': {'train': block}, 'train': {'total_iter': 4}, 'manual_seed': 0, 'num_gpu': 0, 'dist': False,
               'rank': 0, 'world_size': 1}  # fmt: skip
        return list(build_train_loader(build_dataset(block), opt, start=0))

    assert all(same(first, second) for first, second in zip(batches(0), batches(1), strict=True))


def test_a_plain_index(data: Path) -> None:
    dataset = build({**GAUSSIAN, 'use_hflip': False, 'use_rot': False})
    assert same(dataset[-1], dataset[len(ROWS) - 1]) and len(dataset) == len(ROWS)
    with pytest.raises(IndexError):
        dataset[len(ROWS)]


def test_degraded_patches_of_super_resolution(data: Path) -> None:
    dataset = build({'type': 'BicubicSRDataset', 'dataroot_gt': 'gt', 'use_hflip': False, 'use_rot': False}, scale=2)
    for index, (name, y, x) in enumerate(ROWS):
        sample = dataset[moment(index)]
        assert np.array_equal(pixels(sample['gt']), cv2.imread(f'gt/{name}.png')[y : y + PATCH, x : x + PATCH])
        assert sample['lq'].shape == (3, PATCH // 2, PATCH // 2)


# ---- which ones ----


@pytest.mark.parametrize('kind', ['folder', 'meta_info', 'stock'])
@pytest.mark.parametrize(
    ('keys', 'rows'),
    [
        ({'keep': 0.5}, best(len(ROWS) - round(0.5 * len(ROWS)))),
        ({'keep': 5}, best(5)),
        ({'keep': [0.5, 1.0]}, best(len(ROWS) - round(0.5 * len(ROWS)))),
        ({'keep': 5, 'criterion': 'std'}, best(5, STD)),
    ],
)
def test_parts(data: Path, kind: str, keys: Options, rows: list[Row]) -> None:
    """In the order of the manifest, whatever the order of the dataset."""
    write_patches(grad=GRAD, std=STD)
    assert rows_of(build(INNER[kind], **{'criterion': 'grad', **keys})) == rows


def test_half_of_the_patches_is_the_default(data: Path) -> None:
    block = mined(GAUSSIAN)
    del block['keep']
    assert rows_of(build_dataset(block)) == best(len(ROWS) - round(0.5 * len(ROWS)))


def test_a_band_leaves_out_both_ends(data: Path) -> None:
    low, high = round(0.25 * len(ROWS)), round(0.75 * len(ROWS))
    assert rows_of(build(GAUSSIAN, keep=[0.25, 0.75])) == [ROWS[row] for row in sorted(np.argsort(GRAD)[low:high])]


@pytest.mark.parametrize('kind', ['folder', 'meta_info'])
def test_a_part_of_each_image(data: Path, kind: str) -> None:
    wanted = []
    for name in SIZES:
        own = [row for row in range(len(ROWS)) if ROWS[row][0] == name]
        wanted += [ROWS[row] for row in sorted(sorted(own, key=lambda row: -GRAD[row])[:2])]
    assert rows_of(build(INNER[kind], keep=2, per_image=True)) == wanted


def test_ties_are_broken_by_the_manifest_and_not_by_the_dataset(data: Path) -> None:
    write_patches(grad=np.zeros(len(ROWS)))
    for kind in INNER:
        assert rows_of(build(INNER[kind], keep=3)) == ROWS[:3]


def test_the_side_of_the_patches_replaces_gt_size(data: Path, warnings: list[str]) -> None:
    assert build({**GAUSSIAN, 'gt_size': 12})[moment(0)]['gt'].shape == (3, PATCH, PATCH)
    assert any('dataset mined: gt_size is 8, as mined, instead of 12.' in text for text in warnings)
    warnings.clear()
    for block in (GAUSSIAN, {**GAUSSIAN, 'gt_size': PATCH}):
        build(block)
    assert not any('gt_size' in text for text in warnings)


def test_few_patches_are_a_warning(data: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build(GAUSSIAN)
    assert any(f'dataset mined: {len(dataset)} patches are kept' in text and '30,000' in text for text in warnings)
    warnings.clear()
    monkeypatch.setattr(mined_patch_dataset, 'FEW', len(dataset))
    build(GAUSSIAN)
    assert not warnings


def test_options_of_the_user_are_left_alone(data: Path) -> None:
    block = mined({**PAIRED, 'gt_size': 12})
    before = yaml.safe_dump(block)
    build_dataset(block)
    assert yaml.safe_dump(block) == before


# ---- with other wrappers ----


def write_ranking() -> None:
    items = [Item(f'{name}.png', *size) for name, size in SIZES.items()]
    write_manifest('ranking.parquet', items, {'rank': [2, 3, 4, 1]}, {'method': 'influence'})


def subset(inner: Options, **keys: Any) -> Options:
    part = keys or {'subset': 'top', 'size': 2}
    return {'type': 'InfluenceSubsetDataset', 'manifest': 'ranking.parquet', **part, 'dataset': inner}


@pytest.mark.parametrize('kind', INNER)
def test_a_part_of_the_patches_of_chosen_images(data: Path, kind: str) -> None:
    """The manifest lists all images; half of the patches are half of those of `a` and `d`."""
    write_ranking()
    block = mined(INNER[kind])
    dataset = build_dataset({**block, 'keep': 0.5, 'dataset': subset(block['dataset'])})
    own = [row for row in range(len(ROWS)) if ROWS[row][0] in 'ad']
    kept = sorted(own, key=lambda row: -GRAD[row])[: len(own) - round(0.5 * len(own))]
    assert rows_of(dataset) == [ROWS[row] for row in sorted(kept)]


def test_patches_mined_from_the_chosen_images_alone(data: Path) -> None:
    write_ranking()
    own = [row for row in ROWS if row[0] in 'ad']
    write_patches(own)
    assert rows_of(build(subset(GAUSSIAN))) == own
    with pytest.raises(DataError, match=r'not in the manifest: [bc]\.png'):
        build(subset(GAUSSIAN, subset='top', size=3))


def blurred(inner: Options) -> Options:
    return {'type': 'MeanBlurDataset', 'kernel_size': 4, 'dataset': inner}


def test_patches_of_blurred_images_are_cut_from_the_blurred_whole(data: Path) -> None:
    """Inside and outside: our datasets blur the whole image."""
    plain = {**GAUSSIAN, 'use_hflip': False, 'use_rot': False}
    outer = {'name': 'r4', 'phase': 'train', 'scale': 1}
    datasets = build(blurred(plain)), build_dataset({**outer, **blurred(inside(mined(plain)))})
    for index, (name, y, x) in enumerate(ROWS):
        whole = cv2.blur(cv2.imread(f'gt/{name}.png').astype(np.float32) / 255, (4, 4))[..., ::-1]
        for dataset in datasets:
            gt = dataset[moment(index)]['gt'].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(gt, whole[y : y + PATCH, x : x + PATCH], atol=1e-6)


def test_patches_of_blurred_stock_images_are_blurred(data: Path) -> None:
    """In the inside of a patch blurring before and after cutting is the same."""
    plain = {**PAIRED, 'use_hflip': False, 'use_rot': False}
    outer = {'name': 'r4', 'phase': 'train', 'scale': 2}
    datasets = build(blurred(plain), scale=2), build_dataset({**outer, **blurred(inside(mined(plain)))})
    for index, (name, y, x) in enumerate(ROWS):
        whole = cv2.blur(cv2.imread(f'gt/{name}.png').astype(np.float32) / 255, (4, 4))[..., ::-1]
        for dataset in datasets:
            gt = dataset[moment(index)]['gt'].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(gt[2:-1, 2:-1], whole[y + 2 : y + PATCH - 1, x + 2 : x + PATCH - 1], atol=1e-6)


@pytest.mark.parametrize('wrap', [lambda block: block, blurred])
def test_patches_of_patches_are_refused(data: Path, wrap: Callable[[Options], Options]) -> None:
    with pytest.raises(OptionError, match='dataset mined.*expected whole images inside a MinedPatchDataset'):
        build(wrap(inside(mined(GAUSSIAN))), scale=1)


@pytest.mark.parametrize('wrap', [lambda block: block, blurred])
def test_a_part_of_a_ranking_of_patches_is_refused_with_the_reason(
    data: Path, wrap: Callable[[Options], Options]
) -> None:
    write_ranking()
    with pytest.raises(DataError, match=r'dataset part\.dataset: expected .*MinedPatchDataset'):
        build_dataset({'name': 'part', 'phase': 'train', 'scale': 1, **subset(wrap(inside(mined(GAUSSIAN))))})


# ---- images that were skipped, and others ----


@pytest.mark.parametrize('kind', ['folder', 'stock'])
@pytest.mark.parametrize('problem', ['header', 'body', 'small', 'removed'])
def test_images_that_were_skipped_are_tolerated_and_not_read(data: Path, kind: str, problem: str) -> None:
    rows = [row for row in ROWS if row[0] != 'b']
    write_patches(rows, skipped={'b.png': 'damaged'})
    content = Path('gt/b.png').read_bytes()
    if problem == 'removed':
        Path('gt/b.png').unlink(), Path('lq/b.png').unlink()
    elif problem == 'small':
        cv2.imwrite('gt/b.png', np.zeros((6, 6, 3), np.uint8))
        cv2.imwrite('lq/b.png', np.zeros((3, 3, 3), np.uint8))
    else:
        Path('gt/b.png').write_bytes(b'no image' if problem == 'header' else content[: len(content) // 2])
    dataset = build(INNER[kind])
    assert rows_of(dataset) == rows
    check_dataset(dataset, 'datasets.train')
    check_pixels(dataset, 'datasets.train')


def test_an_image_that_was_not_skipped_must_be_there(data: Path) -> None:
    Path('gt/b.png').write_bytes(b'no image')
    with pytest.raises(DataError, match=r'dataset mined\.manifest: .*1 of another size: b\.png'):
        build(GAUSSIAN)


@pytest.mark.parametrize('kind', ['folder', 'stock'])
@pytest.mark.parametrize('change', ['missing', 'added', 'resized'])
def test_other_images_are_refused_by_name(data: Path, kind: str, change: str) -> None:
    for folder, side in (('gt', 30), ('lq', 15)):
        if change == 'missing':
            Path(folder, 'b.png').unlink()
        else:
            name = {'added': 'new.png', 'resized': 'b.png'}[change]
            cv2.imwrite(f'{folder}/{name}', np.zeros((side, side, 3), np.uint8))
    problem = {
        'missing': r'1 not in the dataset: b\.png',
        'added': r'1 not in the manifest: new\.png',
        'resized': r'1 of another size: b\.png \(30 x 30 instead of 26 x 14\)',
    }
    wanted = rf'dataset mined\.manifest: expected the images that patches\.parquet was made from, got {problem[change]}'
    with pytest.raises(DataError, match=wanted):
        build(INNER[kind])


def test_images_without_a_kept_patch_are_not_decoded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    decode = ImageFiles.decode
    monkeypatch.setattr(ImageFiles, 'decode', lambda *args: decoded.append(args[0].name(args[1])) or decode(*args))
    dataset = build(GAUSSIAN, keep=3)
    assert not decoded
    rows_of(dataset)
    assert set(decoded) == {name for name, _, _ in best(3)}


# ---- what is refused ----


@pytest.mark.parametrize(
    ('keys', 'text'),
    [
        ({'keep': 0}, r'dataset mined\.keep: expected at least one patch, got 0'),
        ({'keep': 1.5}, r'dataset mined\.keep: expected a ratio above 0 and up to 1 .*got 1\.5'),
        ({'keep': [0.9, 0.1]}, r'dataset mined\.keep: expected two quantiles, 0 <= lo < hi <= 1'),
        ({'keep': [0.5, 0.501]}, r'dataset mined\.keep: expected a part with patches in it'),
        ({'keep': 'half'}, r"dataset mined\.keep: expected .*, got 'half'"),
        ({'keeps': 0.5}, r"dataset mined\.keeps: expected a known key, got 'keeps'\. Did you mean keep\?"),
        ({'criterion': None}, r'dataset mined\.criterion: expected one of grad, std of patches\.parquet, got none'),
        ({'criterion': 'freq'}, r'dataset mined\.criterion: expected one of grad, std .*, got freq\. Name it'),
        ({'criterion': 'y'}, r'dataset mined\.criterion: expected one of grad, std .*, got y'),
        ({'manifest': 'ranking.parquet'}, r'dataset mined\.manifest .*: expected patches, got a ranking of images'),
        ({'manifest': 'none'}, r'dataset mined\.manifest none: expected a file, got none'),
        ({'manifest': 'gt/a.png'}, r'dataset mined\.manifest gt/a\.png: expected a Parquet file'),
        ({'dataset': {'type': 'Gaussian'}}, r"dataset mined\.dataset\.type: expected a name in the registry 'dataset'"),
        ({'dataset': {'dataroot_gt': 'gt'}}, r'dataset mined\.dataset\.type: expected a name in the registry'),
    ],
)
def test_options_that_are_refused(data: Path, keys: Options, text: str) -> None:
    write_ranking()
    write_patches(grad=GRAD, std=STD)
    with pytest.raises((OptionError, DataError), match=text):
        build_dataset({**mined(GAUSSIAN), 'criterion': 'grad', **keys})


def test_a_ranking_is_not_asked_for_patches(data: Path) -> None:
    """The other way round: patches where a ranking belongs."""
    with pytest.raises(DataError, match=r"dataset part\.manifest .*: expected a column 'rank', got path, y, x, size"):
        block = {**subset(GAUSSIAN), 'manifest': 'patches.parquet'}
        build_dataset({'name': 'part', 'phase': 'train', 'scale': 1, **block})


@pytest.mark.parametrize('kind', ['ours', 'stock'])
def test_patches_whose_input_has_half_pixels_are_refused(data: Path, kind: str) -> None:
    """Mined at scale 1, cut from pairs of scale 2: an odd corner has no place in the input."""
    write_patches([('a', 0, 0), ('a', 3, 4)])
    for folder in ('gt', 'lq'):
        for name in 'bcd':
            Path(folder, f'{name}.png').unlink()
    if kind == 'ours':  # the input is made of the patch
        assert build({'type': 'BicubicSRDataset', 'dataroot_gt': 'gt'}, scale=2)[moment(1)]['lq'].shape == (3, 4, 4)
    else:
        with pytest.raises((DataError, OptionError), match='scale 2'):
            build(PAIRED)[moment(1)]


def test_a_dataset_without_ground_truth_is_refused(data: Path) -> None:
    block = {'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}
    with pytest.raises(DataError, match='gt'):
        build(block)[moment(0)]


# ---- the job ----


@pytest.mark.parametrize('kind', ['folder', 'stock', 'nested'])
def test_training_in_two_workers(data: Path, kind: str) -> None:
    write_ranking()
    inner = INNER['stock'] if kind == 'stock' else {**GAUSSIAN, 'sigma': 25}
    block = mined(subset(inner) if kind == 'nested' else inner, keep=0.5)
    loader = {'batch_size_per_gpu': 3, 'num_worker_per_gpu': 2}
    net = {'type': 'IRCNN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4}
    if kind == 'stock':
        net = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': 2}
    opt = {
        'name': 'tiny',
        'model_type': 'RestorationModel',
        'scale': 2 if kind == 'stock' else 1,
        'num_gpu': 0,
        'manual_seed': 0,
        'datasets': {'train': {**{key: block[key] for key in block if key not in ('phase', 'scale')}, **loader}},
        'network_g': net,
        'path': {},
        'train': {'total_iter': 2, 'optim_g': {'type': 'Adam', 'lr': 1e-4}, 'pixel_opt': {'type': 'L1Loss'}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2},
    }
    Path('train.yml').write_text(yaml.safe_dump(opt))
    assert main(['train', '-opt', 'train.yml', '--check']) == 0
    output = run(['-m', 'basicsr_ext', 'train', '-opt', 'train.yml'], data)
    assert 'patches are kept; Soh and Cho (2021)' in output
    assert Path('experiments/tiny/models/net_g_2.pth').is_file()


def test_images_that_are_reached_are_those_of_the_items_one_by_one(data: Path) -> None:
    dataset = build(GAUSSIAN, keep=0.4)
    for items in (range(len(dataset)), [0, 2, 2], []):
        ((inside_it, own),) = dataset.reached(items)
        assert inside_it is dataset.dataset
        assert own == {dataset.place(item)[1] for item in items}
