"""The job export on patches: a plain BasicSR reads exactly the kept pixels; names, refusals, nothing half-done."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from basicsr.data import build_dataset

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.images import writers
from basicsr_ext.jobs.export import export_pipeline
from basicsr_ext.jobs.export.patches import patch_numbers
from basicsr_ext.jobs.mine import mine_pipeline
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest, write_patch_manifest
from tests.helpers.images import pack_lmdb, write_noise

Options = dict[str, Any]
Pixels = dict[str, np.ndarray]

SIZES = {'a.png': (20, 28), 'b.png': (24, 20), 'c.png': (20, 20)}
SIDE, STRIDE = 8, 6
MANIFEST = 'results/x/patches.parquet'
OURS = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25}
STOCK = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'io_backend': {'type': 'disk'}}


def write_images(folder: str, sizes: dict[str, tuple[int, int]] = SIZES, divisor: int = 1, seed: int = 0) -> Pixels:
    return write_noise(folder, sizes, divisor, seed)


def grid(height: int, width: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, height - SIDE + 1, STRIDE) for x in range(0, width - SIDE + 1, STRIDE)]


def mined(
    block: Options, sizes: dict[str, tuple[int, int]] = SIZES, scale: int = 1, **header: Any
) -> list[tuple[str, int, int, float]]:
    """Write a manifest of random scores; returns name of the image, y, x and score `grad` of its rows."""
    items = [Item(name, *size) for name, size in sizes.items()]
    rows = [(image, y, x) for image, item in enumerate(items) for y, x in grid(item.height, item.width)]
    image, y, x = np.array(rows).T
    grad, std = np.random.default_rng(7).random((2, len(rows)))
    columns = {'image': image, 'y': y, 'x': x, 'size': np.full(len(rows), SIDE), 'grad': grad, 'std': std}
    options = {'datasets': {'train': {'name': 'x', 'phase': 'val', 'scale': scale, **block}}}
    write_patch_manifest(MANIFEST, items, [columns], {'method': 'mine', 'options': options, **header})
    return [(items[i].path, y, x, score) for (i, y, x), score in zip(rows, grad.tolist(), strict=True)]


def export(*words: str, output: str = 'out') -> Path:
    assert export_pipeline(os.getcwd(), [MANIFEST, *words, '-o', output]) == 0
    return Path(output)


def expected_names(rows: list[tuple[str, int, int, float]]) -> list[str]:
    """`NAME_sNNN` of every row, by a plain count."""
    names = []
    for number, (path, *_) in enumerate(rows):
        place = sum(other == path for other, *_ in rows[:number]) + 1
        names.append(f'{path.removesuffix(".png")}_s{place:03d}')
    return names


def read_folder(folder: Path) -> Pixels:
    return {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())}


def as_pixels(tensor: Any) -> np.ndarray:
    """(C, H, W), RGB, [0, 1], as (H, W, C) in OpenCV's order."""
    return np.rint(tensor.numpy().transpose(1, 2, 0)[..., ::-1] * 255).clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- what is written ----


def test_all_patches_are_the_pixels_of_the_image() -> None:
    images, rows = write_images('gt'), mined(OURS)
    found = read_folder(export())
    assert sorted(found) == sorted(f'{name}.png' for name in expected_names(rows))
    for name, (path, y, x, _) in zip(expected_names(rows), rows, strict=True):
        np.testing.assert_array_equal(found[f'{name}.png'], images[path][y : y + SIDE, x : x + SIDE])


@pytest.mark.parametrize('lmdb', [False, True])
@pytest.mark.parametrize('source', ['disk', 'lmdb'])
def test_a_stock_dataset_trains_on_the_exact_pairs(lmdb: bool, source: str) -> None:
    gt, lq = write_images('gt'), write_images('lq', divisor=2, seed=1)
    rows = mined(STOCK, scale=2)
    if source == 'lmdb':
        for kind in ('gt', 'lq'):
            pack_lmdb(kind)
        block = {**STOCK, 'dataroot_gt': 'gt.lmdb', 'dataroot_lq': 'lq.lmdb', 'io_backend': {'type': 'lmdb'}}
        rows = mined(block, scale=2)
    export('--keep', '0.5', '--criterion', 'grad', output='new/x.lmdb' if lmdb else 'new/x')
    roots = {f'dataroot_{kind.lower()}': f'new/x_{kind}.lmdb' if lmdb else f'new/x/{kind}' for kind in ('GT', 'LQ')}
    block = {'name': 'x', 'type': 'PairedImageDataset', 'phase': 'train', 'scale': 2, 'gt_size': SIDE, **roots}
    backend = {'type': 'lmdb' if lmdb else 'disk'}
    dataset = build_dataset({**block, 'use_hflip': False, 'use_rot': False, 'io_backend': backend})
    best = sorted(range(len(rows)), key=lambda row: -rows[row][3])[: round(len(rows) / 2)]
    place = {name: row for row, name in enumerate(expected_names(rows)) if row in best}
    samples = [dataset[index] for index in range(len(dataset))]
    assert sorted(Path(sample['gt_path']).stem for sample in samples) == sorted(place)
    for sample in samples:
        path, y, x, _ = rows[place[Path(sample['gt_path']).stem]]
        np.testing.assert_array_equal(as_pixels(sample['gt']), gt[path][y : y + 8, x : x + 8])
        np.testing.assert_array_equal(as_pixels(sample['lq']), lq[path][y // 2 : y // 2 + 4, x // 2 : x // 2 + 4])


@pytest.mark.parametrize('words', ['0.25 --per_image', '5', '0.45 0.95', '1.0'])
@pytest.mark.parametrize('output', ['out', 'out.lmdb'])
def test_our_datasets_read_what_mined_patch_dataset_gives(words: str, output: str) -> None:
    write_images('gt')
    mined(OURS)
    keep = [float(word) if '.' in word else int(word) for word in words.split() if word[0].isdigit()]
    mine = {'manifest': MANIFEST, 'criterion': 'grad', 'keep': keep if len(keep) > 1 else keep[0]}
    block = {'name': 'x', 'type': 'MinedPatchDataset', 'phase': 'val', 'per_image': '--per_image' in words, **mine}
    patches = build_dataset({**block, 'dataset': OURS})
    export('--keep', *words.split(), '--criterion', 'grad', output=output)
    backend = {'type': 'lmdb' if output.endswith('.lmdb') else 'disk'}
    exported = build_dataset({**OURS, 'name': 'x', 'phase': 'val', 'dataroot_gt': output, 'io_backend': backend})
    assert len(exported) == len(patches)
    for index in range(len(patches)):  # both in the order of images and patches
        assert (exported[index]['gt'] == patches[index]['gt']).all()


def test_an_lmdb_has_the_three_files_of_basicsr() -> None:
    write_images('gt')
    rows = mined(OURS)
    made = export(output='out.lmdb')
    assert sorted(path.name for path in made.iterdir()) == ['data.mdb', 'lock.mdb', 'meta_info.txt']
    lines = made.joinpath('meta_info.txt').read_text().splitlines()
    assert lines == [f'{name}.png (8,8,3) 1' for name in expected_names(rows)]


def test_many_images_of_noise_fit_into_an_lmdb(tmp_path: Path) -> None:
    """PNGs of noise are larger than their pixels, and fill whole pages."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    with writers.new_images(tmp_path / 'x.lmdb', ('GT',), 5000, noise.size) as new:
        for number in range(5000):
            new['GT'].put(f'{number:05}', noise)
    assert len(Path('x.lmdb/meta_info.txt').read_text().splitlines()) == 5000
    assert Path('x.lmdb/data.mdb').stat().st_size > 5000 * noise.size


def test_grey_patches_have_one_channel() -> None:
    images = write_images('gt')
    path, y, x, _ = mined({**OURS, 'color': 'gray'})[0]
    made = export(output='out.lmdb')
    assert made.joinpath('meta_info.txt').read_text().startswith('a_s001.png (8,8,1) 1\n')
    block = {**OURS, 'name': 'x', 'color': 'gray', 'dataroot_gt': 'out.lmdb', 'io_backend': {'type': 'lmdb'}}
    found = as_pixels(build_dataset({**block, 'phase': 'val'})[0]['gt'])[..., 0]
    grey = cv2.imread('gt/a.png', cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(found, grey[y : y + 8, x : x + 8])
    assert path in images


def test_pairs_of_luminance_keep_their_colours() -> None:
    """BasicSR takes the luminance of what it reads: of grey patches it would be that of luminance."""
    images = write_images('gt')
    write_images('lq', divisor=2)
    mined({**STOCK, 'color': 'y'}, scale=2)
    np.testing.assert_array_equal(read_folder(export() / 'GT')['a_s001.png'], images['a.png'][:8, :8])


@pytest.mark.parametrize(('kind', 'scale'), [('GaussianDenoisingDataset', 1), ('BicubicSRDataset', 2)])
def test_lq_is_cut_from_what_validation_sees(kind: str, scale: int) -> None:
    images = write_images('gt')
    block = {**OURS, 'type': kind} if scale == 1 else {'type': kind, 'dataroot_gt': 'gt'}
    rows = mined(block, scale=scale)
    made = export('--lq')
    gt, lq = read_folder(made / 'GT'), read_folder(made / 'LQ')
    assert list(gt) == list(lq) and len(gt) == len(rows)
    dataset = build_dataset({'name': 'x', 'phase': 'val', 'scale': scale, **block})
    whole = {f'{name}.png': as_pixels(dataset[index]['lq']) for index, name in enumerate('abc')}
    for name, (path, y, x, _) in zip(expected_names(rows), rows, strict=True):
        top, left, side = y // scale, x // scale, SIDE // scale
        np.testing.assert_array_equal(gt[f'{name}.png'], images[path][y : y + SIDE, x : x + SIDE])
        np.testing.assert_array_equal(lq[f'{name}.png'], whole[path][top : top + side, left : left + side])


@pytest.mark.parametrize('inner', [OURS, STOCK])
def test_patches_of_blurred_images_are_blurred(inner: Options) -> None:
    images = write_images('gt')
    write_images('lq')
    rows = mined({'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': inner})
    made = export('--keep', '4', '--criterion', 'std')
    found = read_folder(made / 'GT' if inner is STOCK else made)
    assert len(found) == 4
    place = dict(zip(expected_names(rows), rows, strict=True))
    for name, pixels in found.items():
        path, y, x, _ = place[name.removesuffix('.png')]
        blurred = cv2.blur(images[path].astype(np.float64), (3, 3))[y : y + 8, x : x + 8]
        assert np.abs(pixels - blurred).max() < 0.501


def test_numbers_count_the_patches_of_each_image() -> None:
    assert patch_numbers(np.array([0, 0, 2, 1, 0, 1])).tolist() == [1, 2, 1, 1, 3, 2]


def test_folders_of_images_become_part_of_the_name() -> None:
    sizes = {'p/q/b.png': (8, 8), 'x/a.png': (8, 14)}
    images = write_images('gt', sizes)
    Path('names.txt').write_text('\n'.join(sizes))
    mined({**OURS, 'meta_info_file': 'names.txt'}, sizes)
    found = read_folder(export())
    assert list(found) == ['p_q_b_s001.png', 'x_a_s001.png', 'x_a_s002.png']
    np.testing.assert_array_equal(found['x_a_s002.png'], images['x/a.png'][:, 6:])


def test_skipped_images_may_still_be_there() -> None:
    write_images('gt')
    Path('gt/broken.png').write_bytes(b'no image')
    write_images('gt', {'small.png': (4, 4)})
    rows = mined(OURS, skipped={'broken.png': 'damaged', 'small.png': '4 x 4, smaller than a patch'})
    assert len(read_folder(export())) == len(rows)


def test_after_mining(folder: Path) -> None:
    """The option file of `mine` in, the images of the kept half out."""
    images = write_images('gt')
    block = {'name': 'x', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': str(folder / 'gt'), 'sigma': 25}
    options = {'name': 'x', 'mine': {'patch_size': SIDE, 'stride': STRIDE}, 'datasets': {'train': block}}
    Path('mine.yml').write_text(yaml.safe_dump(options))
    assert mine_pipeline(folder, ['-opt', 'mine.yml']) == 0
    found = read_folder(export('--keep', '0.5'))
    manifest = read_manifest(MANIFEST)
    assert len(found) == round(len(manifest.table) / 2)
    rows = list(zip(*(manifest.column(name) for name in ('path', 'y', 'x', 'grad')), strict=True))
    median = np.median(manifest.array('grad'))
    for name, (path, y, x, grad) in zip(expected_names(rows), rows, strict=True):
        assert (grad > median) == (f'{name}.png' in found)
        if grad > median:
            np.testing.assert_array_equal(found[f'{name}.png'], images[path][y : y + SIDE, x : x + SIDE])


@pytest.mark.parametrize('words', ['', '--keep 0.2 --criterion std'])
def test_csv_has_the_kept_rows(words: str) -> None:
    mined(OURS)  # no images: the table is enough
    with open(export(*words.split(), output='rows.CSV'), encoding='utf-8', newline='') as file:
        found = list(csv.DictReader(file))
    manifest = read_manifest(MANIFEST)
    std = manifest.array('std')
    number = round(0.2 * len(std)) if words else len(std)
    kept = sorted(np.argsort(-std)[:number].tolist())
    assert list(found[0]) == ['path', 'y', 'x', 'size', 'grad', 'std']
    for name in ('y', 'x', 'size', 'grad', 'std'):
        assert [float(row[name]) for row in found] == [manifest.column(name)[row] for row in kept]


def test_images_that_moved() -> None:
    gt, lq = write_images('gt'), write_images('lq', divisor=2, seed=1)
    mined(STOCK, scale=2)
    os.rename('gt', 'there')
    with pytest.raises(DataError, match=r"^datasets\.train\.dataroot_gt: expected a folder, got 'gt'\. .* --dataroot "):
        export()
    os.rename('lq', 'too')
    with pytest.raises(DataError, match=r"^datasets\.train\.dataroot_lq: expected .* 'lq'\. .* --dataroot_lq "):
        export('--dataroot', 'there')
    made = export('--dataroot', 'there', '--dataroot_lq', 'too')
    np.testing.assert_array_equal(read_folder(made / 'GT')['c_s001.png'], gt['c.png'][:8, :8])
    np.testing.assert_array_equal(read_folder(made / 'LQ')['c_s001.png'], lq['c.png'][:4, :4])


def test_one_line_tells_how_many_went_where(capsys: pytest.CaptureFixture[str]) -> None:
    write_images('gt')
    number = len(mined(OURS))
    export('--keep', '3', '--criterion', 'grad', '--lq', output='new/x.lmdb')
    line = f'3 of {number} patches of {MANIFEST}: new/x_GT.lmdb, new/x_LQ.lmdb\n'
    assert capsys.readouterr().out == line


# ---- what is refused, and what is left then ----


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        ('-o x.txt', r'^-o x\.txt: expected a folder, or a name in \.lmdb or \.csv, got \.txt'),
        ('--subset mid --size 3', r'^--subset: expected options of patches, .*, got --subset, --size\. Remove'),
        ('--column grad', r'^--column: expected options of patches'),
        ('--seed 0', r'^--seed: expected options of patches'),
        ('--criterion grad', r'^--criterion: expected them with --keep, got --criterion'),
        ('--per_image', r'^--per_image: expected them with --keep'),
        ('--keep 0.5', r'^--criterion: expected one of grad, std of '),
        ('--keep 0.5 --criterion freq', r'^--criterion: expected one of grad, std of .*, got freq'),
        ('--keep 1.5 --criterion grad', r'^--keep: expected a ratio above 0'),
        ('--keep 0.9 0.1 --criterion grad', r'^--keep: expected two quantiles'),
        ('--keep 0.1 0.2 0.3 --criterion grad', r'^--keep: expected two quantiles'),
        ('--keep 0 --criterion grad', r'^--keep: expected at least one patch'),
        ('--keep 0.001 --criterion grad', r'^--keep: expected a part with patches in it'),
        ('--lq --dataroot gt -o x.csv', r'^--lq: expected options of a table, got --lq, --dataroot\.'),
        ('--dataroot none', r"^--dataroot: expected a folder, got 'none'"),
        (
            '--dataroot_lq gt',
            r'^--dataroot_lq: expected a manifest of a dataset with dataroot_lq, got GaussianDenoisingDataset',
        ),
        (
            '--dataroot other',
            r'^--dataroot: expected the images that .* was made from, got 2 not in the dataset: b\.png',
        ),
        ('-o gt', r'^-o .*gt: expected a new name, got one that is there\. Remove it'),
        ('-o gt/a.png/x', r'^-o .*: expected room and the right to write there, got '),
        ('-o there.lmdb --lq', r'^-o .*there_LQ\.lmdb: expected a new name'),
    ],
)
def test_what_is_refused(folder: Path, words: str, text: str) -> None:
    write_images('gt')
    write_images('other', {'a.png': SIZES['a.png']})
    Path('there_LQ.lmdb').mkdir()
    mined(OURS)
    before = sorted(path for path in folder.rglob('*'))
    with pytest.raises((OptionError, DataError), match=text):
        export_pipeline(folder, [MANIFEST, '-o', 'out', *words.split()])
    assert sorted(path for path in folder.rglob('*')) == before


@pytest.mark.parametrize('words', ['--keep 0.5', '--criterion rank', '--per_image', '--lq', '--dataroot gt'])
def test_options_of_patches_do_not_belong_to_a_ranking(folder: Path, words: str) -> None:
    write_manifest('ranking.parquet', [Item('a.png', 8, 8)], {'rank': [1]}, {'method': 'influence'})
    text = f'^{words.split()[0]}: expected options of a ranking of images'
    with pytest.raises(OptionError, match=text):
        export_pipeline(folder, ['ranking.parquet', '-o', 'x.csv', *words.split()])


@pytest.mark.parametrize(
    ('name', 'output', 'text'),
    [
        ('x_a.png', 'out', r'expected names that differ where / becomes _, got x_a\.png; x/a\.png\. Rename'),
        ('v1.2.png', 'out.lmdb', r'expected names of images in ASCII without dots and blanks, .*, got v1\.2\. '),
        ('my cat.png', 'out.lmdb', r'got my cat\. Rename the images, or write a folder'),
        ('é.png', 'out.lmdb', 'got é'),
        ('.a.png', 'out', r'expected images that are not hidden, got \.a\. '),
    ],
)
def test_names_that_would_be_lost(folder: Path, name: str, output: str, text: str) -> None:
    mined(OURS, {name: (8, 8), 'x/a.png': (8, 8)})
    with pytest.raises(DataError, match=text):
        export(output=output)
    assert [path.name for path in folder.iterdir()] == ['results']


def test_names_with_dots_and_blanks_in_a_folder() -> None:
    sizes = {'my cat v1.2.png': (8, 8), 'é.png': (8, 8)}
    images = write_images('gt', sizes)
    mined(OURS, sizes)
    export()
    dataset = build_dataset({**OURS, 'name': 'x', 'phase': 'val', 'dataroot_gt': 'out'})
    for sample, pixels in zip(dataset, images.values(), strict=True):
        np.testing.assert_array_equal(as_pixels(sample['gt']), pixels)


@pytest.mark.parametrize('output', ['out', 'out.lmdb'])
@pytest.mark.parametrize('damage', ['file', 'disk', 'short'])
def test_nothing_is_left_after_an_error_in_the_middle(
    folder: Path, output: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images('gt')
    write_images('lq', divisor=2)
    mined(STOCK, scale=2)
    text = {
        'file': r'lq/c\.png: expected an image',
        'disk': 'got .*No space left',
        'short': r'gt/c\.png: expected GT 2 times',
    }
    if damage == 'file':
        Path('lq/c.png').write_bytes(Path('lq/c.png').read_bytes()[:40])
    elif damage == 'short':
        write_images('lq', {'c.png': (8, 8)})
    else:
        encode, calls = writers._png, iter(range(40))

        def fail(image: np.ndarray) -> bytes:
            if next(calls) == 30:
                raise OSError(28, 'No space left on device')
            return encode(image)

        monkeypatch.setattr(writers, '_png', fail)
    with pytest.raises((OptionError, DataError), match=text[damage]):
        export(output=output)
    assert sorted(path.name for path in folder.iterdir()) == ['gt', 'lq', 'results']


def test_a_stop_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images('gt')
    rows, written = mined(OURS), []

    def stop(self: writers.FolderWriter, name: str, image: np.ndarray) -> None:
        if not written:
            os.kill(os.getpid(), signal.SIGTERM)
        written.append(name)

    monkeypatch.setattr(writers.FolderWriter, 'put', stop)
    assert export_pipeline(folder, [MANIFEST, '-o', 'out']) == 128 + signal.SIGTERM
    assert written == [name for name in expected_names(rows) if name.startswith('a_')]  # to the end of the image
    assert sorted(path.name for path in folder.iterdir()) == ['gt', 'results']
