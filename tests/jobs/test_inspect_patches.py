"""The job `inspect` on mined patches: its numbers, which patches it shows and in which colours, what it refuses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from basicsr.data import build_dataset
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.inspect import inspect_pipeline
from basicsr_ext.reports import patch_pictures as pictures
from basicsr_ext.reports.patch_captions import kept_in_words
from basicsr_ext.reports.patch_report import PatchReader, choose_groups, half_kept
from basicsr_ext.selection.correlation import rank_correlations
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest, write_patch_manifest
from basicsr_ext.selection.patches.criteria import PatchGrid
from basicsr_ext.selection.patches.matching import rows_in_other

SIZES = {'a.png': (24, 40), 'b.png': (40, 24), 'c.png': (16, 16)}
ITEMS = [Item(name, *size) for name, size in SIZES.items()]
PATCH = 8
NUMBER = 15 + 15 + 4  # patches of the three images
GAUSSIAN = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'images', 'sigma': 25}
PAIRED = {
    'type': 'PairedImageDataset', 'dataroot_gt': 'images', 'dataroot_lq': 'images', 'io_backend': {'type': 'disk'}
}  # fmt: skip
ALWAYS = {'histograms.png', 'kept.png', 'contact_sheet.png', 'summary.json'}
RED = (0, 0, 255)  # OpenCV's order

Options = dict[str, Any]


def scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1.0, size=NUMBER)


def grid_columns(items: list[Item] = ITEMS, size: int = PATCH) -> dict[str, np.ndarray]:
    """image, y, x and size of the patches side by side."""
    parts = []
    for number, item in enumerate(items):
        y, x = PatchGrid(item.height, item.width, size, PATCH).corners()
        parts.append({'image': np.full(len(y), number), 'y': y, 'x': x, 'size': np.full(len(y), size)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_patches(
    path: Path,
    criteria: Mapping[str, np.ndarray],
    block: Options = GAUSSIAN,
    order: np.ndarray | None = None,
    items: list[Item] = ITEMS,
    skipped: Mapping[str, str] | None = None,
) -> Path:
    """A manifest of the patches side by side, their rows in another order if one is given."""
    columns = {**grid_columns(items), **criteria}
    part = {name: values if order is None else values[order] for name, values in columns.items()}
    train = {'name': 'pictures', 'phase': 'val', 'scale': 1, **block}
    header = {'method': 'mine', 'options': {'datasets': {'train': train}}, 'seed': 0, 'skipped': skipped or {}}
    write_patch_manifest(path, items, [part], header)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with noise of three sizes in images/."""
    monkeypatch.chdir(tmp_path)
    Path('images').mkdir()
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        cv2.imwrite(f'images/{name}', rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return tmp_path


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Name of the file -> the figure, which is not drawn: that takes most of the time."""
    found: dict[str, Figure] = {}
    monkeypatch.setattr(pictures, 'save_figure', lambda figure, path: found.update({Path(path).name: figure}))
    return found


def inspect(manifest: Path, *arguments: str) -> Options:
    """Run the job; returns summary.json."""
    assert inspect_pipeline('.', [str(manifest), *arguments]) == 0
    place = Path(arguments[arguments.index('-o') + 1]) if '-o' in arguments else manifest.parent / 'inspect'
    found: Options = json.loads((place / 'summary.json').read_text())
    return found


# ---- numbers ----


def test_correlations_of_ranks_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 6, 50).astype(float), rng.normal(size=50), rng.integers(0, 2, 50).astype(float)]
    np.testing.assert_allclose(rank_correlations(columns), spearmanr(np.stack(columns, 1)).statistic, atol=1e-12)


@pytest.mark.usefixtures('figures')
def test_summary_of_known_columns(capsys: pytest.CaptureFixture[str]) -> None:
    up = np.arange(NUMBER, dtype=float)
    columns = {'grad': up, 'freq': np.exp(up), 'std': -(up**3), 'random': np.ones(NUMBER)}
    found = inspect(write_patches(Path('m/patches.parquet'), columns))
    assert (found['patches'], found['images'], found['patch_size']) == (NUMBER, 3, PATCH)
    assert found['criteria']['grad'] == {'min': 0, 'median': 16.5, 'mean': 16.5, 'max': 33}
    assert found['spearman']['grad'] == pytest.approx({'grad': 1, 'freq': 1, 'std': -1, 'random': None})
    assert found['spearman']['std'] == pytest.approx({'grad': -1, 'freq': -1, 'std': 1, 'random': None})
    assert set(found['spearman']['random'].values()) == {None}
    assert (found['criterion'], found['keep'], found['kept']) == ('grad', 0.5, NUMBER // 2)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'{NUMBER} patches of 8 x 8 pixels in 3 images'
    assert ['grad', '0', '16.5', '16.5', '33'] in [line.split() for line in lines]
    assert ['std', '-1.0000', '-1.0000', '1.0000', '-'] in [line.split() for line in lines]
    assert lines[-1] == f'Pictures and numbers: {Path("m/inspect")}'


@pytest.mark.usefixtures('figures')
def test_skipped_images_are_told_and_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path('images/broken.png').write_bytes(b'no image')
    skipped = {'broken.png': 'damaged'}
    found = inspect(write_patches(Path('patches.parquet'), {'grad': scores()}, skipped=skipped))
    assert found['skipped'] == skipped
    assert '1 of 4 images skipped: broken.png (damaged)' in capsys.readouterr().out


# ---- which patches ----


@pytest.mark.parametrize('size', [1, 2, 5])
def test_groups_equal_a_sorted_list(size: int) -> None:
    values = np.random.default_rng(0).integers(0, 9, 20).astype(float)  # ties: the first one is the larger
    order = sorted(range(20), key=lambda row: (-values[row], row))
    middle = (20 - size) // 2
    expected = {'Top': order[:size], 'Mid': order[middle : middle + size], 'Bottom': order[20 - size :]}
    assert {name: rows.tolist() for name, rows in choose_groups(values, size).items()} == expected


def test_groups_are_made_smaller_rather_than_overlap(caplog: pytest.LogCaptureFixture) -> None:
    groups = choose_groups(np.arange(10.0), 20)
    assert {name: rows.tolist() for name, rows in groups.items()} == {
        'Top': [9, 8, 7], 'Mid': [6, 5, 4], 'Bottom': [2, 1, 0]
    }  # fmt: skip
    assert 'Groups of 3 patches instead of 20: the manifest has 10.' in caplog.text


@pytest.mark.usefixtures('figures')
def test_groups_of_the_sheet_are_listed() -> None:
    values = scores()
    groups = inspect(write_patches(Path('patches.parquet'), {'grad': values}), '--size', '3')['groups']
    columns, order = grid_columns(), np.argsort(-values)
    for name, rows in {'Top': order[:3], 'Mid': order[15:18], 'Bottom': order[-3:]}.items():
        assert groups[name] == [
            {
                'path': ITEMS[columns['image'][row]].path,
                'y': columns['y'][row],
                'x': columns['x'][row],
                'grad': values[row],
            }
            for row in rows
        ]


def test_the_image_that_is_half_kept() -> None:
    images = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    kept = np.array([1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0], bool)
    assert half_kept(images, kept) == 1  # shares 1, 0.4, 0.25
    assert half_kept(images[::-1], ~kept[::-1]) == 1
    assert half_kept(images, np.ones(12, bool)) == 0


@pytest.mark.parametrize(('keep', 'number'), [('0.5', 17), ('0.1', 3), ('1.0', NUMBER)])
def test_kept_patches_are_drawn(figures: dict[str, Figure], keep: str, number: int) -> None:
    values = scores()
    found = inspect(write_patches(Path('patches.parquet'), {'grad': values}), '--keep', keep)
    assert found['kept'] == number
    columns = grid_columns()
    rows = np.flatnonzero(columns['image'] == list(SIZES).index(found['kept_image']))
    kept = np.isin(rows, np.argsort(-values)[:number])
    drawn = figures['kept.png'].axes[1].collections
    centres = {
        tuple(collection.get_edgecolor()[0]): [path.vertices[:4].mean(0) for path in collection.get_paths()]
        for collection in drawn
        if collection.get_paths()
    }
    expected = {}
    for chosen, colour in ((~kept, pictures.DISCARDED), (kept, pictures.KEPT)):
        if chosen.any():
            rgb = tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
            expected[(*rgb, 1.0)] = np.stack([columns['x'][rows[chosen]], columns['y'][rows[chosen]]], 1) + 3.5
    assert centres.keys() == expected.keys()
    for colour, places in expected.items():
        np.testing.assert_allclose(centres[colour], places)
    legend = [text.get_text() for text in figures['kept.png'].axes[1].get_legend().get_texts()]
    assert legend == [f'kept: {kept.sum()}', f'discarded: {(~kept).sum()}']


@pytest.mark.parametrize(('stride', 'side'), [(5, 4.5), (8, 7.2), (12, 8)])
def test_rectangles_do_not_overlap(figures: dict[str, Figure], stride: int, side: float) -> None:
    y, x = PatchGrid(40, 50, 8, stride, edge=True).corners()  # those at the edge are nearer to their neighbours
    image = pictures.KeptImage('a.png', np.zeros((40, 50)), y, x, 8, y > 10)
    pictures.draw_kept(image, 'grad', 'kept.png')
    for collection in figures['kept.png'].axes[1].collections:
        for path in collection.get_paths():
            np.testing.assert_allclose(np.ptp(path.vertices, axis=0), side)
    note = figures['kept.png'].axes[1].get_legend().get_title().get_text()
    assert note == 'patches of 8 x 8 pixels' + (', drawn smaller' if side < 8 else '')


# ---- pixels ----


@pytest.mark.parametrize(
    'block',
    [GAUSSIAN, PAIRED, {'type': 'MeanBlurDataset', 'kernel_size': 1, 'dataset': GAUSSIAN}],
    ids=lambda block: block['type'],
)
def test_patches_are_those_of_the_files_in_rgb(block: Options) -> None:
    manifest = read_manifest(write_patches(Path('patches.parquet'), {'grad': scores()}, block))
    reader = PatchReader(manifest, scheduled(build_dataset(manifest.header['options']['datasets']['train'])), '')
    rows = np.array([30, 2, 17, 3, 33])
    expected = []
    for row in rows:
        part = manifest.table.slice(row, 1).to_pylist()[0]
        with Image.open(f'images/{part["path"]}') as image:
            expected.append(np.asarray(image)[part['y'] :, part['x'] :][:PATCH, :PATCH])
    np.testing.assert_allclose(reader.patches(rows), np.stack(expected) / 255, atol=1e-6)


def test_grey_patches() -> None:
    manifest = read_manifest(write_patches(Path('patches.parquet'), {'grad': scores()}, {**GAUSSIAN, 'color': 'gray'}))
    reader = PatchReader(manifest, scheduled(build_dataset(manifest.header['options']['datasets']['train'])), '')
    expected = cv2.imread('images/a.png', cv2.IMREAD_GRAYSCALE)[:PATCH, 8:16] / 255
    np.testing.assert_allclose(reader.patches(np.array([1]))[0], expected, atol=1e-6)


@pytest.mark.usefixtures('figures')
def test_patches_outside_of_the_image() -> None:
    x = grid_columns()['x']
    x[3] += 16  # of a.png, which is 40 wide
    with pytest.raises(DataError, match=r'a\.png: expected a patch of 8 x 8 .* x = 40, got an image of 24 x 40'):
        inspect(write_patches(Path('patches.parquet'), {'grad': -np.abs(np.arange(NUMBER) - 3.0), 'x': x}))


@pytest.mark.parametrize(
    'block', [GAUSSIAN, {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': GAUSSIAN}], ids=['file', 'filter']
)
def test_red_images_are_shown_red(block: Options) -> None:
    for name, size in SIZES.items():
        cv2.imwrite(f'images/{name}', np.full((*size, 3), RED, np.uint8))
    inspect(write_patches(Path('patches.parquet'), {'grad': scores()}, block))
    for name in ('contact_sheet.png', 'kept.png'):
        with Image.open(f'inspect/{name}') as picture:
            pixels = np.asarray(picture.convert('RGB'))
        assert (pixels == (255, 0, 0)).all(2).mean() > 0.2
        assert not (pixels == (0, 0, 255)).all(2).any()


# ---- pictures ----


def test_pictures_are_there_and_have_content() -> None:
    columns = {'grad': scores(0), 'loss': scores(1)}
    other = write_patches(Path('o.parquet'), columns)
    inspect(write_patches(Path('m/patches.parquet'), columns), '--other', str(other))
    files = {path.name for path in Path('m/inspect').iterdir()}
    assert files == ALWAYS | {'correlations.png', 'losses.png', 'report.html'}
    for name in files - {'summary.json', 'report.html'}:
        with Image.open(f'm/inspect/{name}') as picture:
            assert picture.format == 'PNG'
            pixels = np.asarray(picture.convert('RGB'))
        assert min(pixels.shape[:2]) > 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_one_criterion_correlates_with_nothing(capsys: pytest.CaptureFixture[str], figures: dict[str, Figure]) -> None:
    inspect(write_patches(Path('patches.parquet'), {'std': scores()}))
    assert set(figures) == ALWAYS - {'summary.json'}
    assert 'Spearman' not in capsys.readouterr().out


def test_histograms_count_every_patch_that_is_shown(figures: dict[str, Figure]) -> None:
    tail = np.concatenate([np.random.default_rng(0).random(9_970), np.full(30, 50.0)])
    pictures.draw_histograms({'loss': tail, 'grad': tail[:9_970], 'std': np.ones(10)}, 'h.png')
    counts = {}
    for axis in figures['h.png'].axes:
        if axis.get_visible():
            legend = [text.get_text() for text in axis.get_legend().get_texts()]
            counts[axis.get_title()] = (axis.patches[0].get_data().values.sum(), *legend[1:])
    assert counts == {
        'loss': (9_950, '50 up to 50 not shown'),
        'grad': (9_970,),
        'std': (10,),
        'square root of loss': (9_950, '50 up to 7.07 not shown'),
    }


def test_the_heat_map_has_the_numbers_in_it(figures: dict[str, Figure]) -> None:
    pictures.draw_correlations(['a', 'b'], np.array([[1, -0.004], [-0.5, np.nan]]), 'c.png')
    assert [text.get_text() for text in figures['c.png'].axes[0].texts] == ['1.00', '0.00', '-0.50', '']


@pytest.mark.parametrize(('number', 'shown'), [(50, 50), (30_000, pictures.POINTS)])
def test_a_scatter_plot_shows_so_many_pairs(figures: dict[str, Figure], number: int, shown: int) -> None:
    values = np.random.default_rng(0).random(number)
    pictures.draw_losses(values, 2 * values, 'loss', ['x2', 'x3'], '', 'losses.png')
    axis = figures['losses.png'].axes[0]
    points = np.asarray(axis.collections[0].get_offsets())
    assert len(np.unique(points[:, 0])) == shown
    np.testing.assert_array_equal(points[:, 1], 2 * points[:, 0])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ('loss, x2', 'loss, x3')


def test_the_sheet_names_the_file_the_place_and_the_value_of_each_patch(figures: dict[str, Figure]) -> None:
    values = np.linspace(2, 1, 12)
    sources = [(f'{number}.png', number, 2 * number) for number in range(12)]
    group = pictures.PatchGroup('Mid', values, np.zeros((12, 20, 20)), sources)
    pictures.draw_contact_sheet([group], 'freq', 'sheet.png')
    axis = figures['sheet.png'].axes[0]
    assert [text.get_text() for text in axis.texts] == [
        f'{number}.png\ny {number}, x {2 * number}\n{value:.3g}' for number, value in enumerate(values)
    ]
    assert axis.get_title(loc='left') == 'Mid: middle freq, 2 to 1'
    sheet = axis.images[0].get_array()
    assert sheet.shape == (2 * (22 + 8), 10 * 22)
    assert (sheet == 0).sum() == 12 * 400 and (sheet[30:, 44:] == 1).all()


def test_pictures_say_what_is_shown_of_what_and_in_which_unit(figures: dict[str, Figure]) -> None:
    manifest = write_patches(Path('patches.parquet'), {'grad': scores(), 'own': scores(1)})
    inspect(manifest, '--keep', '0.25')
    notes = {name: figure.get_supxlabel() for name, figure in figures.items()}
    assert (
        'crop of 8 x 8 pixels of an image of 16 x 16 to 40 x 24 pixels (height x width)' in notes['contact_sheet.png']
    )
    assert figures['contact_sheet.png'].get_suptitle() == '34 patches of 3 images, sorted by grad [0 to 2, no unit]'
    assert 'Kept: 0.25 of the patches of all images, those with the largest values, 8 in all.' in notes['kept.png']
    labels = [axis.get_xlabel() for axis in figures['histograms.png'].axes if axis.get_visible()]
    assert labels == ['grad [0 to 2, no unit]', 'own']  # a criterion of a user's own has no known unit
    assert all('grad: mean squared difference' in notes[name] for name in ('contact_sheet.png', 'histograms.png'))


@pytest.mark.parametrize(
    ('keep', 'per_image', 'text'),
    [
        (0.5, True, 'Kept: 0.5 of the patches of each image, those with the largest values, 7 in all.'),
        (8000, False, 'Kept: 8,000 patches of all images, those with the largest values, 7 in all.'),
        ([0.25, 0.5], False, 'Kept: patches of all images from the quantile 0.25 to 0.5 of the values, 7 in all.'),
    ],
)
def test_the_rule_of_what_is_kept_in_words(keep: Any, per_image: bool, text: str) -> None:
    assert kept_in_words(keep, per_image, 7) == text


# ---- another manifest ----


@pytest.mark.parametrize('criterion', [None, 'std'])
def test_other_is_matched_after_shuffling(
    criterion: str | None, figures: dict[str, Figure], capsys: pytest.CaptureFixture[str]
) -> None:
    name = criterion or 'loss'
    own, theirs = scores(0), scores(0) + 0.3 * scores(1)
    order = np.random.default_rng(2).permutation(NUMBER)
    manifest = write_patches(Path('x2/patches.parquet'), {name: own, 'grad': scores(3)})
    other = write_patches(Path('x3/patches.parquet'), {name: theirs}, order=order)
    arguments = ['--criterion', criterion] if criterion else []
    found = inspect(manifest, '--other', str(other), *arguments)['other']
    pearson, spearman = np.corrcoef(own, theirs)[0, 1], spearmanr(own, theirs).statistic
    assert found == {
        'manifest': str(other),
        'criterion': name,
        'pearson': pytest.approx(pearson),
        'spearman': pytest.approx(spearman),
    }
    title = f'Pearson {pearson:.4f}, Spearman {spearman:.4f}'
    assert figures['losses.png'].axes[0].get_title() == title
    assert figures['losses.png'].axes[0].get_xlabel() == f'{name}, x2'
    assert f'{name} here and in {other}: {title}' in capsys.readouterr().out


def test_rows_of_other_by_a_plain_loop() -> None:
    order = np.random.default_rng(0).permutation(NUMBER)
    renamed = [Item(f'{item.name}.jpg', item.height, item.width) for item in ITEMS]
    one = read_manifest(write_patches(Path('one.parquet'), {'loss': scores()}))
    other = read_manifest(write_patches(Path('other.parquet'), {'loss': scores()}, order=order, items=renamed))
    places = {(Item(row['path'], 0, 0).name, row['y'], row['x']): n for n, row in enumerate(other.table.to_pylist())}
    expected = [places[Item(row['path'], 0, 0).name, row['y'], row['x']] for row in one.table.to_pylist()]
    assert rows_in_other(one, other).tolist() == expected


@pytest.mark.parametrize('swapped', [False, True])
def test_missing_patches_of_other_are_told(swapped: bool) -> None:
    one = read_manifest(write_patches(Path('one.parquet'), {'loss': scores()}))
    rest = np.delete(np.arange(NUMBER), [3, 20])
    other = read_manifest(write_patches(Path('other.parquet'), {'loss': scores()}, order=rest))
    text = r'2 patches not in other.parquet, the first one of a at y = 0, x = 24\. Mine the same'
    with pytest.raises(DataError, match=rf'--other: expected the patches of .*, got {text}'):
        rows_in_other(*((other, one) if swapped else (one, other)))


def test_other_images_and_sides_are_told() -> None:
    one = read_manifest(write_patches(Path('one.parquet'), {'loss': scores()}))
    items = [Item('a.png', 24, 40), Item('d.png', 40, 24)]
    columns = {**grid_columns(items), 'loss': scores()[:30]}
    columns['size'] = columns['size'] * 2
    write_patch_manifest('other.parquet', items, [columns], {'method': 'mine'})
    text = (
        r'2 images not in other.parquet: b, c; 1 images not in one.parquet: d; sides of \[16\] instead of \[8\] pixels'
    )
    with pytest.raises(DataError, match=text):
        rows_in_other(one, read_manifest('other.parquet'))


def test_a_ranking_is_no_other(figures: dict[str, Figure]) -> None:
    write_manifest('r.parquet', ITEMS, {'influence': [3.0, 2, 1], 'rank': [1, 2, 3]}, {'method': 'influence'})
    manifest = write_patches(Path('patches.parquet'), {'loss': scores()})
    with pytest.raises(DataError, match=r'--other: expected a manifest of patches, got the ranking of images r\.par'):
        inspect(manifest, '--other', 'r.parquet')
    assert not figures


# ---- options ----


@pytest.mark.usefixtures('figures')
def test_criterion() -> None:
    columns = {'std': scores(0), 'grad': scores(1)}
    manifest = write_patches(Path('patches.parquet'), columns)
    for arguments, name in (([], 'grad'), (['--criterion', 'std'], 'std')):
        found = inspect(manifest, *arguments)
        assert found['criterion'] == name
        assert found['groups']['Top'][0][name] == columns[name].max()
    assert inspect(write_patches(Path('patches.parquet'), {'freq': scores()}))['criterion'] == 'freq'


@pytest.mark.usefixtures('figures')
def test_output_folder_and_dataroot() -> None:
    manifest = write_patches(Path('m/patches.parquet'), {'grad': scores()})
    before = inspect(manifest)
    Path('images').rename('moved')
    with pytest.raises(
        DataError, match=r"datasets\.train\.dataroot_gt: expected a folder, got 'images'\. Say with --dataroot"
    ):
        inspect(manifest)
    assert inspect(manifest, '--dataroot', 'moved', '-o', 'else/where') == before
    cv2.imwrite('moved/more.png', np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r'--dataroot: expected the images that .* 1 not in the manifest: more\.png'):
        inspect(manifest, '--dataroot', 'moved')


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--criterion', 'std', '--size', '0'], r'^--size: expected at least 1, got 0'),
        (['--criterion', 'std', '--keep', '1.5'], r'^--keep: expected a ratio above 0 and up to 1 .*, got 1\.5'),
        (['--criterion', 'std', '--keep', '0.001'], r'^--keep: expected a part with patches in it'),
        (['--criterion', 'path'], r'^--criterion: expected one of std, freq of .*, got path'),
        ([], r'^--criterion: expected one of std, freq of .*, got none\. Name it'),
        (
            ['--criterion', 'std', '--column', 'rank'],
            r'^--column: expected a ranking of images, got a manifest of patches',
        ),
        (['--criterion', 'std', '--other', 'none.parquet'], r'^manifest none\.parquet: expected a file, got none'),
        (['--criterion', 'std', '--other', 'o.parquet'], r'^--criterion: expected one of loss of o\.parquet, got std'),
    ],
)
def test_wrong_arguments(arguments: list[str], text: str, figures: dict[str, Figure]) -> None:
    write_patches(Path('o.parquet'), {'loss': scores()})
    with pytest.raises((OptionError, DataError), match=text):
        inspect(write_patches(Path('patches.parquet'), {'std': scores(0), 'freq': scores(1)}), *arguments)
    assert not figures and not Path('inspect').exists()


@pytest.mark.parametrize('arguments', [['--keep', '0.5'], ['--criterion', 'grad'], ['--other', 'o.parquet']])
def test_options_of_patches_are_refused_for_a_ranking(arguments: list[str]) -> None:
    write_manifest('r.parquet', ITEMS, {'influence': [3.0, 2, 1], 'rank': [1, 2, 3]}, {'method': 'influence'})
    with pytest.raises(OptionError, match=f'^{arguments[0]}: expected a manifest of patches, got a ranking of images'):
        inspect(Path('r.parquet'), *arguments)


def test_two_patches_are_too_few() -> None:
    items = [Item('c.png', 16, 16)]
    part = {name: values[:2] for name, values in grid_columns(items).items()}
    header = {'options': {'datasets': {'train': {'name': 'c', 'phase': 'val', **GAUSSIAN}}}}
    write_patch_manifest('patches.parquet', items, [{**part, 'grad': np.ones(2)}], header)
    with pytest.raises(DataError, match='^manifest: expected at least 3 patches, got 2'):
        inspect(Path('patches.parquet'))


def test_the_manifest_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        inspect_pipeline('.', ['--manifest', 'patches.parquet'])
    assert 'MANIFEST' in capsys.readouterr().err
