"""Every image is decoded, by several processes as by one."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from basicsr.data import build_dataset

from basicsr_ext.data import decoded_files, sound_files
from basicsr_ext.data.decoded_files import UNIT, check_pixels
from basicsr_ext.data.stock_files import Files
from basicsr_ext.errors import DataError, first_few
from basicsr_ext.images.image_files import Kind
from basicsr_ext.runtime import interrupt
from basicsr_ext.schedule.sample import SampleDataset
from tests.helpers.images import pack_lmdb, write_noise

NUMBER = 3 * UNIT + 5


def paired(gt: Path, lq: Path) -> SampleDataset:
    roots = {'dataroot_gt': str(gt), 'dataroot_lq': str(lq)}
    return build_dataset({'name': 'x', 'phase': 'val', 'scale': 1, 'type': 'PairsDataset', **roots})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ('gt', 'lq'):
        write_noise(tmp_path / name, {f'{number:03d}.png': (6, 8) for number in range(NUMBER)})
    return tmp_path / 'gt', tmp_path / 'lq'


def damage(paths: Iterable[Path]) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:60])


def error(dataset: SampleDataset, workers: int) -> str:
    with pytest.raises(DataError) as caught:
        check_pixels(dataset, 'datasets.val', workers)
    return str(caught.value)


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_sound_images_pass(folders: tuple[Path, Path], workers: int) -> None:
    check_pixels(paired(*folders), 'datasets.val', workers)


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_damaged_images_are_named_in_the_order_of_the_items(folders: tuple[Path, Path], workers: int) -> None:
    gt, lq = folders
    damaged = [lq / '001.png', gt / '016.png', gt / '017.png', lq / '017.png', gt / f'{NUMBER - 1:03d}.png']
    damage(damaged)
    found = error(paired(gt, lq), workers)
    assert (
        found
        == f'datasets.val: expected images that decode, got {first_few([str(path) for path in damaged], "; ")}. '
        + ('Replace or remove them.')
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_missing_images_are_told_apart(folders: tuple[Path, Path], workers: int) -> None:
    gt, lq = folders
    dataset = paired(gt, lq)
    damage([gt / '000.png'])
    (gt / '020.png').unlink()
    assert error(dataset, workers).startswith(f'datasets.val: expected files that exist, missing, got {gt}/020.png.')


def test_workers_read_lmdbs(folders: tuple[Path, Path]) -> None:
    block = {'name': 'x', 'phase': 'val', 'scale': 1, 'type': 'GaussianDenoisingDataset', 'sigma': 5}
    dataset = build_dataset({**block, 'dataroot_gt': str(pack_lmdb(folders[0])), 'io_backend': {'type': 'lmdb'}})
    check_pixels(dataset, 'datasets.val', 2)


# ---- a check that goes on where it was stopped ----


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were decoded."""
    names: list[str] = []
    real = decoded_files._decodes

    def noted(files: Files, index: int, kind: Kind) -> bool:
        names.append(files.listed(index)[kind])
        return real(files, index, kind)

    monkeypatch.setattr(decoded_files, '_decodes', noted)
    return names


def test_a_stopped_check_goes_on(
    folders: tuple[Path, Path], decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([False, True])
    monkeypatch.setattr(interrupt, 'requested', lambda: next(stops))
    with pytest.raises(interrupt.Interrupted):
        check_pixels(paired(*folders), 'datasets.val', 0)
    first = set(decoded)
    assert len(first) == len(decoded) == 4 * UNIT  # two units of pairs
    decoded.clear()
    monkeypatch.setattr(interrupt, 'requested', lambda: False)
    check_pixels(paired(*folders), 'datasets.val', 0)
    assert len(decoded) == 2 * NUMBER - 4 * UNIT and not first & set(decoded)
    decoded.clear()
    check_pixels(paired(*folders), 'datasets.val', 0)  # nothing is kept of one that has ended
    assert len(decoded) == 2 * NUMBER


def test_what_was_replaced_is_decoded_again_and_the_rest_is_not(folders: tuple[Path, Path], decoded: list[str]) -> None:
    gt, lq = folders
    sound = (gt / '001.png').read_bytes()
    damage([gt / '001.png'])
    error(paired(gt, lq), 0)
    decoded.clear()
    (gt / '001.png').write_bytes(sound)
    damage([gt / '020.png'])  # found sound before
    assert '020.png' in error(paired(gt, lq), 0)
    assert len(decoded) == 4 * UNIT  # the units of both files


def test_without_a_cache_a_check_runs_all_the_same(
    folders: tuple[Path, Path], decoded: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sound_files, 'cache', lambda: folders[1].parent / 'file')
    (folders[1].parent / 'file').write_text('')
    check_pixels(paired(*folders), 'datasets.val', 0)
    assert len(decoded) == 2 * NUMBER and caplog.text.count('it begins anew') == 1
