"""The job export: what it writes, that a plain BasicSR reads exactly the chosen images, what it refuses."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.export import export_pipeline
from basicsr_ext.schedule.sampling import ScheduledSampler
from basicsr_ext.selection.manifest import Item, read_manifest, write_manifest

NAMES = 'abcdefg'
RANKS = [4, 7, 1, 3, 6, 2, 5]  # of a to g
SCORES = [-rank / 3 for rank in RANKS]


def write_ranking(paths: Sequence[str]) -> None:
    items = [Item(path, 20 + number, 24) for number, path in enumerate(paths)]
    columns = {'influence': SCORES, 'rank': RANKS, 'rank_sigma15': [8 - rank for rank in RANKS]}
    write_manifest('results/x/ranking.parquet', items, columns, {'method': 'influence'})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with results/x/ranking.parquet of a.png to g.png."""
    monkeypatch.chdir(tmp_path)
    write_ranking([f'{name}.png' for name in NAMES])
    return tmp_path


def export(folder: Path, *words: str, output: str = 'chosen.txt') -> Path:
    assert export_pipeline(folder, ['results/x/ranking.parquet', *words, '-o', output, '--overwrite']) == 0
    return folder / output


@pytest.mark.parametrize(
    ('words', 'names'),
    [
        ('', NAMES),
        ('--subset mid --size 3', 'adg'),
        ('--subset top --ratio 0.28', 'cf'),
        ('--subset bottom --size 2', 'be'),
        ('--range 2 3', 'df'),
        ('--subset top --size 2 --column rank_sigma15', 'be'),
    ],
)
def test_meta_info(folder: Path, words: str, names: str) -> None:
    lines = [f'{name}.png ({20 + NAMES.index(name)},24)\n' for name in names]
    assert export(folder, *words.split()).read_text() == ''.join(lines)


def test_a_plain_basicsr_reads_the_chosen_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = {}
    for kind in ('gt', 'lq'):
        Path(kind).mkdir()
        for number, name in enumerate(NAMES):
            pixels[kind, name] = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
            cv2.imwrite(f'{kind}/{name}.png', pixels[kind, name])
    block = {'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'meta_info_file': 'chosen.txt', 'phase': 'val', 'scale': 1}
    export(folder, '--subset', 'mid', '--size', '3')
    dataset = PairedImageDataset({**block, 'io_backend': {'type': 'disk'}})
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample['gt_path'] for sample in samples] == ['gt/a.png', 'gt/d.png', 'gt/g.png']
    for name, sample in zip('adg', samples, strict=True):
        for kind in ('gt', 'lq'):
            found = np.rint(sample[kind].numpy().transpose(1, 2, 0)[..., ::-1] * 255)
            np.testing.assert_array_equal(found, pixels[kind, name])


def test_training_on_the_file_equals_training_on_the_subset(folder: Path) -> None:
    Path('gt').mkdir()
    for number, name in enumerate(NAMES):
        cv2.imwrite(f'gt/{name}.png', np.random.default_rng(number).integers(0, 256, (20 + number, 24, 3), np.uint8))
    export(folder, '--subset', 'mid', '--size', '3')
    reader = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'gt_size': 8}
    part = {'manifest': 'results/x/ranking.parquet', 'subset': 'mid', 'size': 3, 'dataset': reader}
    subset = build_dataset({'name': 'x', 'type': 'InfluenceSubsetDataset', **part})
    listed = build_dataset({'name': 'x', 'meta_info_file': 'chosen.txt', **reader})
    assert len(subset) == len(listed) == 3
    for index in ScheduledSampler(3, batch_size=2, seed=0, start=0, stop=3):
        first, second = subset[index], listed[index]
        assert first['gt_path'] == second['gt_path']
        assert torch.equal(first['lq'], second['lq']) and torch.equal(first['gt'], second['gt'])


@pytest.mark.parametrize(('words', 'names'), [('', 'cfdageb'), ('--subset mid --size 3', 'dag')])
def test_csv_has_all_columns_in_the_order_of_the_ranks(folder: Path, words: str, names: str) -> None:
    with open(export(folder, *words.split(), output='new/chosen.CSV'), encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ['path', 'height', 'width', 'influence', 'rank', 'rank_sigma15']
    assert [row['path'] for row in rows] == [f'{name}.png' for name in names]
    for row in rows:
        number = NAMES.index(row['path'][0])
        assert (int(row['height']), int(row['width']), int(row['rank'])) == (20 + number, 24, RANKS[number])
        assert float(row['influence']) == SCORES[number]


def test_csv_follows_the_named_column(folder: Path) -> None:
    path = export(folder, '--column', 'rank_sigma15', output='chosen.csv')
    assert [line[0] for line in path.read_text().splitlines()[1:]] == list('begadfc')


def test_csv_quotes_names(folder: Path) -> None:
    write_ranking([f'{name}, "1".png' for name in NAMES])
    with open(export(folder, output='all.csv'), encoding='utf-8', newline='') as file:
        assert [row['path'] for row in csv.DictReader(file)][0] == 'c, "1".png'


def test_keys_of_an_lmdb_and_folders_below(folder: Path) -> None:
    write_ranking([f'below/{name}' for name in NAMES])
    assert export(folder, '--range', '1', '1').read_text() == 'below/c (22,24)\n'


def test_random_follows_the_seed(folder: Path) -> None:
    words = ('--subset', 'random', '--size', '3', '--seed')
    parts = [export(folder, *words, seed).read_text() for seed in ('0', '0', '1', '2', '3')]
    assert parts[0] == parts[1]
    assert len(set(parts)) > 1
    assert all(len(part.splitlines()) == 3 for part in parts)


def test_one_line_tells_how_many_went_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ['results/x/ranking.parquet', '--subset', 'mid', '--size', '3', '-o', 'mid3.txt']
    assert main(['export', *words]) == 0
    assert capsys.readouterr().out == '3 of 7 images of results/x/ranking.parquet: mid3.txt\n'


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        ('--size 3', r'^--subset: expected top, mid, bottom or random, got None'),
        ('--subset mid', r'^--size: expected exactly one of size, ratio and range, got none'),
        ('--subset mid --size 8', r'^--size: expected at most the 7 images'),
        ('--subset mid --size 3 --range 1 2', r'^--size: expected exactly one of .*, got size and range'),
        ('--subset top --size 3 --column influence', r'^--column: expected the ranks 1 to 7'),
        ('--column sigma', r"ranking\.parquet: expected a column 'sigma', got path, height, width, influence, rank"),
        ('-o chosen.parquet', r'^-o chosen\.parquet: expected a name in \.txt or \.csv, got another ending'),
        (
            '-o results/x/ranking.parquet/a.txt',
            r'^-o results/x/ranking\.parquet/a\.txt: expected a file to write, got ',
        ),
    ],
)
def test_what_is_refused(folder: Path, words: str, text: str) -> None:
    argv = ['results/x/ranking.parquet', '-o', 'chosen.txt', *words.split()]
    with pytest.raises((OptionError, DataError), match=text):
        export_pipeline(folder, argv)
    assert [path.name for path in folder.iterdir()] == ['results']
    assert len(read_manifest('results/x/ranking.parquet').items()) == 7


@pytest.mark.parametrize('name', ['c 1.png', 'c\n/etc/passwd', 'c\t.png', ''])
def test_a_name_that_basicsr_would_cut_is_refused(folder: Path, name: str) -> None:
    """And leaves the file of before; not chosen, it does no harm."""
    before = export(folder, '--subset', 'top', '--size', '2').read_text()
    write_ranking([name if letter == 'c' else f'{letter}.png' for letter in NAMES])
    with pytest.raises(DataError, match='expected paths without blanks, where BasicSR ends a name, got 1 with: '):
        export(folder, '--subset', 'top', '--size', '2')
    assert Path('chosen.txt').read_text() == before
    assert export(folder, '--subset', 'bottom', '--size', '1').read_text() == 'b.png (21,24)\n'


def test_a_path_outside_the_dataroot_is_refused(folder: Path) -> None:
    write_ranking(['../secret.png', *(f'{name}.png' for name in NAMES[1:])])
    with pytest.raises(DataError, match=r'expected paths inside the dataroot, got \.\./secret\.png'):
        export(folder)
    assert not Path('chosen.txt').exists()


def test_a_file_that_is_there_is_kept_unless_it_may_be_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ['export', 'results/x/ranking.parquet', '-o', 'chosen.txt', '--subset', 'top', '--size']
    assert main([*job, '2']) == main([*job, '2']) == 0  # the same content is no matter
    first = (folder / 'chosen.txt').read_bytes()
    assert main([*job, '3']) == 2
    assert 'Add --overwrite to replace it' in capsys.readouterr().err
    assert (folder / 'chosen.txt').read_bytes() == first
    assert main([*job, '3', '--overwrite']) == 0
    assert (folder / 'chosen.txt').read_bytes() != first
    shutil.copy('results/x/ranking.parquet', 'ranking.csv')
    for more in ([], ['--overwrite']):
        assert main(['export', 'ranking.csv', '-o', './ranking.csv', *more]) == 2
        assert 'expected another file than what is exported' in capsys.readouterr().err
    assert Path('ranking.csv').read_bytes() == Path('results/x/ranking.parquet').read_bytes()
    assert not list(folder.glob('.*'))


def test_mistakes_end_in_one_line_and_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['export', 'none.parquet', '-o', 'chosen.txt']) == 2
    error = capsys.readouterr().err
    assert error.startswith('basicsr-ext export: manifest ') and error.count('\n') == 1
