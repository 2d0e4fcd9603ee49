"""The job `inspect` on a ranking of images: its groups, its table against a plain loop, its pictures, its errors."""

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.inspect import inspect_pipeline
from basicsr_ext.metrics.mgvg_metric import calculate_mgvg
from basicsr_ext.reports import ranking_pictures
from basicsr_ext.reports.ranking_captions import extent
from basicsr_ext.reports.ranking_report import by_target, choose_groups
from basicsr_ext.reports.spectrum import hfapi, lfapi, spectrum_picture
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest
from basicsr_ext.selection.ranks import ranks_of

PICTURES = ('gallery.png', 'histogram.png', 'spectra.png')
CRITERIA = ('IQA', 'HFAPI', 'LFAPI')
GREY = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}


def write_images(folder: Path, count: int, channels: int = 3) -> list[Item]:
    """Noise of growing contrast in PNGs of two sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        height, width = (40, 56) if number % 2 else (48, 36)
        spread = 5 + 4 * number
        pixels = rng.integers(128 - spread, 128 + spread, (height, width, channels), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number:03}.png'), pixels)
        items.append(Item(f'{number:03}.png', height, width))
    return items


def write_ranking(path: Path, items: list[Item], block: dict[str, Any], **more: list[Any]) -> np.ndarray:
    """A manifest of random scores of these images; returns the rank of each."""
    scores = np.random.default_rng(1).normal(size=len(items)) * 1e-5
    dataset = {'name': 'pictures', 'phase': 'val', 'scale': 1, **block}
    header = {'method': 'influence', 'options': {'datasets': {'train': dataset}}, 'seed': 0}
    write_manifest(path, items, {'influence': scores.tolist(), 'rank': ranks_of(scores).tolist(), **more}, header)
    return ranks_of(scores)


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    """A ranking of 10 colour images read in grey."""
    items = write_images(tmp_path / 'images', 10)
    write_ranking(tmp_path / 'ranking.parquet', items, {**GREY, 'dataroot_gt': str(tmp_path / 'images')})
    return tmp_path / 'ranking.parquet'


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes most of the time."""
    for name in ('draw_gallery', 'draw_histogram', 'draw_spectra'):
        monkeypatch.setattr(f'basicsr_ext.reports.ranking_report.{name}', lambda *_: None)


def inspect(ranking: Path, *arguments: str) -> dict[str, Any]:
    """Run the job; returns table.json."""
    assert inspect_pipeline(ranking.parent, [str(ranking), *arguments]) == 0
    folder = Path(arguments[arguments.index('-o') + 1]) if '-o' in arguments else ranking.parent / 'inspect'
    found: dict[str, Any] = json.loads((folder / 'table.json').read_text())
    return found


def plain_table(folder: Path, ranks: np.ndarray, intervals: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Group -> criterion -> mean and standard deviation, one image after the other."""
    table = {}
    for name, (first, last) in intervals.items():
        rows = []
        for number, rank in enumerate(ranks):
            if first <= rank <= last:
                grey = cv2.imread(str(folder / f'{number:03}.png'), cv2.IMREAD_GRAYSCALE)
                picture = spectrum_picture(grey / 255)
                rows.append((calculate_mgvg(grey), hfapi(picture), lfapi(picture)))
        assert len(rows) == last - first + 1
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        squares = [sum(x * x for x in column) / len(rows) for column in zip(*rows, strict=True)]
        std = [abs(s - m * m) ** 0.5 for s, m in zip(squares, mean, strict=True)]
        table[name] = dict(zip(CRITERIA, zip(mean, std, strict=True), strict=True))
    return table


# ---- what it writes ----


@pytest.mark.usefixtures('no_pictures')
@pytest.mark.parametrize('size', [1, 2, 3])
def test_table_equals_a_plain_loop(tmp_path: Path, size: int) -> None:
    items = write_images(tmp_path / 'images', 10)
    ranks = write_ranking(tmp_path / 'r.parquet', items, {**GREY, 'dataroot_gt': str(tmp_path / 'images')})
    found = inspect(tmp_path / 'r.parquet', '--size', str(size))['groups']
    start = (10 - size) // 2
    intervals = {'Top': (1, size), 'Mid': (start + 1, start + size), 'Bottom': (11 - size, 10)}
    expected = plain_table(tmp_path / 'images', ranks, intervals)
    assert list(found) == list(expected)
    for name, row in found.items():
        assert tuple(row['ranks']) == intervals[name]
        for criterion in CRITERIA:
            mean, std = expected[name][criterion]
            assert row[criterion]['mean'] == pytest.approx(mean, rel=1e-5)
            assert row[criterion]['std'] == pytest.approx(std, rel=1e-4, abs=1e-6)


@pytest.mark.usefixtures('no_pictures')
def test_all_tables_say_the_same(ranking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = inspect(ranking, '--size', '3')['groups']
    with open(ranking.parent / 'inspect' / 'table.csv', encoding='utf-8') as file:
        rows = {row['group']: row for row in csv.DictReader(file)}
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert list(rows) == ['Top', 'Mid', 'Bottom']
    for name, row in groups.items():
        assert [int(rows[name]['first_rank']), int(rows[name]['last_rank'])] == row['ranks']
        for criterion, digits in zip(CRITERIA, (2, 4, 4), strict=True):
            for part in ('mean', 'std'):
                assert float(rows[name][f'{criterion}_{part}']) == row[criterion][part]
                assert f'{row[criterion][part]:.{digits}f}' in lines[name]
    assert str(ranking.parent / 'inspect') in lines['Pictures']


def test_pictures_are_there_and_have_content(ranking: Path) -> None:
    inspect(ranking, '--size', '3')
    folder = ranking.parent / 'inspect'
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        (*PICTURES, 'report.html', 'table.csv', 'table.json')
    )
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.format == 'PNG'
            pixels = np.asarray(picture.convert('RGB'))
        assert min(pixels.shape[:2]) > 200
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


@pytest.mark.usefixtures('no_pictures')
def test_output_folder(ranking: Path) -> None:
    folder = ranking.parent / 'new' / 'folder'
    elsewhere = inspect(ranking, '--size', '2', '-o', str(folder))
    assert not (ranking.parent / 'inspect').exists()
    assert inspect(ranking, '--size', '2') == elsewhere


@pytest.mark.usefixtures('no_pictures')
def test_only_the_chosen_images_are_decoded(ranking: Path) -> None:
    """The pixels of the 4 images that are in no group are damaged, their headers are not."""
    before = inspect(ranking, '--size', '2')
    ranks = ranks_of(np.random.default_rng(1).normal(size=10))
    for number in np.flatnonzero(np.isin(ranks, (3, 4, 7, 8))):
        path = ranking.parent / 'images' / f'{number:03}.png'
        path.write_bytes(path.read_bytes()[:60])
    assert inspect(ranking, '--size', '2') == before
    with pytest.raises(DataError, match='expected an image, got a damaged'):
        inspect(ranking, '--size', '3')


@pytest.mark.parametrize(
    ('rank', 'label', 'note'),
    [
        (
            {'grad_loss': {'type': 'MSELoss'}},
            'influence [units of MSELoss]',
            "predicted rise of the target's mean loss",
        ),
        ({'grad_loss': {'type': 'L1Loss'}}, 'influence [no unit]', "predicted rise of the target's mean loss"),
        ({'levels': [{'name': 'a'}, {'name': 'b'}]}, 'influence [0 to 1, no unit]', 'mean over the levels'),
        ({'features': 'encoder'}, 'influence [no unit]', "predicted fall of the target's loss"),
    ],
)
def test_pictures_say_what_the_score_is(
    ranking: Path, monkeypatch: pytest.MonkeyPatch, rank: dict[str, Any], label: str, note: str
) -> None:
    manifest = read_manifest(ranking)
    columns = {name: manifest.column(name) for name in ('influence', 'rank')}
    options = {**manifest.header['options'], 'rank': rank}
    unit = 'predicted rise of the mean MSELoss' if 'MSELoss' in label else None
    write_manifest(ranking, manifest.items(), columns, {**manifest.header, 'options': options, 'unit': unit})
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(ranking_pictures, 'save_figure', lambda figure, path: drawn.update({path.name: figure}))
    inspect(ranking, '--size', '2')
    gallery, histogram = drawn['gallery.png'], drawn['histogram.png']
    assert gallery.get_suptitle() == f'10 images ranked by {label}: groups of 2'
    assert note in gallery.get_supxlabel() and 'Whole images of 48 x 36 to 40 x 56 pixels' in gallery.get_supxlabel()
    assert [axis.get_xlabel() for axis in histogram.axes] == [label, 'rank']
    titles = [part.get_suptitle() for part in gallery.subfigs]
    ends = ('chosen first', 'chosen later', 'chosen last') if 'features' in rank else ('largest influence',)
    assert titles[0] == f'Top: ranks 1 to 2, {ends[0]}' and titles[-1].endswith(ends[-1].replace('largest', 'smallest'))
    first = min(range(10), key=lambda row: columns['rank'][row])
    name, score = manifest.items()[first].path, columns['influence'][first]
    assert gallery.subfigs[0].axes[0].get_title() == f'{name}\n#1  {score:.3g}'


def test_each_measure_of_the_table_is_explained_in_a_line(ranking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(ranking, '--size', '1')
    lines = capsys.readouterr().out.splitlines()
    for criterion in CRITERIA:
        (line,) = [line for line in lines if line.startswith(f'{criterion}: ')]
        assert 'larger means' in line and 'no unit' in line


def test_parts_of_images_are_called_crops() -> None:
    assert extent([((8, 8), (8, 8))]) == 'Whole images of 8 x 8 pixels (height x width)'
    assert extent([((8, 8), (10, 12))]).startswith('Crops of 8 x 8 pixels (height x width) out of images of 10 x 12')


# ---- any dataset ----


@pytest.mark.usefixtures('no_pictures')
@pytest.mark.parametrize(
    'block',
    [
        {'type': 'GaussianDenoisingDataset', 'sigma': 25, 'dataroot_gt': 'images'},
        {
            'type': 'PairedImageDataset',
            'dataroot_gt': 'images',
            'dataroot_lq': 'images',
            'io_backend': {'type': 'disk'},
        },
        {
            'type': 'MeanBlurDataset',
            'kernel_size': 1,
            'dataset': {'type': 'JPEGCompressionDataset', 'dataroot_gt': 'images'},
        },
    ],
    ids=lambda block: block['type'],
)
def test_colour_is_measured_on_its_luma(block: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    items = write_images(Path('images'), 7)
    ranks = write_ranking(tmp_path / 'r.parquet', items, block)
    values = [[], [], []]
    for number in np.flatnonzero(ranks <= 2):
        image = cv2.imread(f'images/{number:03}.png').astype(np.float32)
        picture = spectrum_picture(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) / 255)
        for column, value in zip(values, (calculate_mgvg(image), hfapi(picture), lfapi(picture)), strict=True):
            column.append(value)
    row = inspect(tmp_path / 'r.parquet', '--size', '2')['groups']['Top']
    assert [row[criterion]['mean'] for criterion in CRITERIA] == pytest.approx([np.mean(v) for v in values], rel=1e-4)


@pytest.mark.usefixtures('no_pictures')
@pytest.mark.parametrize('wrapped', [False, True])
def test_dataroot_replaces_that_of_the_innermost_block(tmp_path: Path, wrapped: bool) -> None:
    block: dict[str, Any] = {**GREY, 'dataroot_gt': str(tmp_path / 'images')}
    if wrapped:
        block = {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': block}
    write_ranking(tmp_path / 'r.parquet', write_images(tmp_path / 'images', 6), block)
    before = inspect(tmp_path / 'r.parquet', '--size', '2')
    (tmp_path / 'images').rename(tmp_path / 'moved')
    with pytest.raises(
        DataError, match=r'datasets\.train.*\.dataroot_gt: expected a folder, got .*images.*\. Say with --dataroot'
    ):
        inspect(tmp_path / 'r.parquet')
    assert inspect(tmp_path / 'r.parquet', '--size', '2', '--dataroot', str(tmp_path / 'moved')) == before


# ---- groups ----


@pytest.mark.parametrize('size', [4, 20])
def test_groups_are_made_smaller_rather_than_overlap(size: int, caplog: pytest.LogCaptureFixture) -> None:
    groups = choose_groups(list(range(10, 0, -1)), size)
    assert groups == {'Top': [9, 8, 7], 'Mid': [6, 5, 4], 'Bottom': [2, 1, 0]}
    assert f'Groups of 3 images instead of {size}: the ranking has 10.' in caplog.text


def test_groups_that_fit_are_not_announced(caplog: pytest.LogCaptureFixture) -> None:
    assert [len(rows) for rows in choose_groups(list(range(1, 10)), 3).values()] == [3, 3, 3]
    assert not caplog.text


@pytest.mark.usefixtures('no_pictures')
def test_another_column_of_ranks(tmp_path: Path) -> None:
    items = write_images(tmp_path / 'images', 6)
    block = {**GREY, 'dataroot_gt': str(tmp_path / 'images')}
    more = {'influence_high': [float(-n) for n in range(6)], 'rank_high': list(range(1, 7))}
    write_ranking(tmp_path / 'r.parquet', items, block, **more)
    table = inspect(tmp_path / 'r.parquet', '--size', '1', '--column', 'rank_high')
    first = cv2.imread(str(tmp_path / 'images' / '000.png'), cv2.IMREAD_GRAYSCALE)
    assert table['column'] == 'rank_high'
    assert table['groups']['Top']['IQA']['mean'] == pytest.approx(calculate_mgvg(first), rel=1e-5)


# ---- errors ----


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['--size', '0'], r'--size: expected at least 1, got 0'),
        (['--column', 'nothing'], r"expected a column 'nothing', got path, height, width, influence, rank\. Name"),
        (['--column', 'influence'], r'--column: expected the ranks 1 to 10, each once, got .* Name a column of ranks'),
        (['--dataroot', 'nowhere'], r"--dataroot: expected a folder, got 'nowhere'"),
    ],
)
def test_wrong_arguments(ranking: Path, arguments: list[str], text: str) -> None:
    with pytest.raises((OptionError, DataError), match=text):
        inspect(ranking, *arguments)


def test_another_dataset_is_refused(ranking: Path) -> None:
    write_images(ranking.parent / 'other', 9)
    with pytest.raises(DataError, match=r'--dataroot: expected the images that .* 1 not in the dataset: 009\.png'):
        inspect(ranking, '--dataroot', str(ranking.parent / 'other'))
    assert not (ranking.parent / 'inspect').exists()


def test_two_images_are_no_ranking(tmp_path: Path) -> None:
    items = write_images(tmp_path / 'images', 2)
    write_ranking(tmp_path / 'r.parquet', items, {**GREY, 'dataroot_gt': str(tmp_path / 'images')})
    with pytest.raises(DataError, match='^manifest: expected at least 3 images, got 2'):
        inspect(tmp_path / 'r.parquet')


def test_header_without_the_dataset(tmp_path: Path) -> None:
    items = write_images(tmp_path / 'images', 3)
    columns = {'influence': [3.0, 2.0, 1.0], 'rank': [1, 2, 3]}
    write_manifest(tmp_path / 'r.parquet', items, columns, {'method': 'influence', 'options': {}, 'seed': 0})
    with pytest.raises(DataError, match='expected the options of the dataset in its header, got none'):
        inspect(tmp_path / 'r.parquet')


@pytest.mark.parametrize('wrapped', [False, True])
def test_dataset_of_an_unknown_type(tmp_path: Path, wrapped: bool) -> None:
    block: dict[str, Any] = {'type': 'MyDataset'}
    if wrapped:
        block = {'type': 'MeanBlurDataset', 'kernel_size': 3, 'dataset': block}
    write_ranking(tmp_path / 'r.parquet', write_images(tmp_path / 'images', 3), block)
    where = rf'datasets\.train{r".dataset" if wrapped else ""}\.type'
    with pytest.raises(OptionError, match=rf"{where}: expected a name in the registry .* 'MyDataset'"):
        inspect(tmp_path / 'r.parquet')


def test_dataroot_of_a_dataset_without_one(tmp_path: Path) -> None:
    block = {'type': 'SingleImageDataset', 'dataroot_lq': str(tmp_path / 'images'), 'io_backend': {'type': 'disk'}}
    write_ranking(tmp_path / 'r.parquet', write_images(tmp_path / 'images', 3), block)
    with pytest.raises(OptionError, match='--dataroot: expected a manifest of a dataset with dataroot_gt, got Single'):
        inspect(tmp_path / 'r.parquet', '--dataroot', str(tmp_path / 'images'))
    with pytest.raises(DataError, match='expected gt of 1 or 3 channels .*, got None'):
        inspect(tmp_path / 'r.parquet')


def test_mistakes_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['inspect', str(tmp_path / 'none.parquet')]) == 2
    assert 'basicsr-ext inspect: manifest' in capsys.readouterr().err


# ---- what teaches one image of the target ----


@pytest.fixture
def with_targets(tmp_path: Path, ranking: Path) -> Path:
    """The ranking, and beside it the influence on two images of a target."""
    targets = write_images(tmp_path / 'target', 2)
    items = write_images(tmp_path / 'images', 10)
    images = {'name': 'a', 'phase': 'val', 'scale': 1, **GREY}
    folders = {'train': 'images', 'test': 'target'}
    blocks = {key: {**images, 'dataroot_gt': str(tmp_path / name)} for key, name in folders.items()}
    columns = {
        f'influence of {item.path}': [float(sign * row) for row in range(10)]
        for item, sign in zip(targets, (1, -1), strict=True)
    }
    header = {'method': 'influence', 'options': {'datasets': blocks}}
    write_manifest(tmp_path / 'per_target.parquet', items, columns, header)
    return ranking


def test_a_target_image_has_a_gallery_of_its_own(with_targets: Path) -> None:
    for name in ('000.png', '001'):
        assert inspect_pipeline('.', [str(with_targets), '--target', name, '--size', '2']) == 0
        folder = with_targets.parent / 'inspect' / name.removesuffix('.png')
        table = json.loads((folder / 'table.json').read_text())
        assert table['column'] == f'influence of {name.removesuffix(".png")}.png'
        assert table['groups']['Top']['ranks'] == [1, 2]
        plain = with_targets.parent / 'plain'
        inspect_pipeline('.', [str(with_targets), '--size', '2', '-o', str(plain)])
        heights = [cv2.imread(str(each / 'gallery.png')).shape[0] for each in (folder, plain)]
        assert heights[0] == pytest.approx(heights[1] * 4 / 3, rel=0.05)  # a row more


def test_the_largest_influence_on_it_has_rank_1(with_targets: Path) -> None:
    matrix = read_manifest(with_targets.parent / 'per_target.parquet')
    for name, ranks in (('000.png', list(range(10, 0, -1))), ('001', list(range(1, 11)))):
        assert by_target(matrix, name)[1].ranks == ranks


def test_an_unknown_target_image_is_named(with_targets: Path) -> None:
    with pytest.raises(OptionError, match=r"--target: expected an image of the target, got '00x'"):
        inspect_pipeline('.', [str(with_targets), '--target', '00x'])
    with pytest.raises(OptionError, match='--column: expected --target without it'):
        inspect_pipeline('.', [str(with_targets), '--target', '000', '--column', 'rank'])
