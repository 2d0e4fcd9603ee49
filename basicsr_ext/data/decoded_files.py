"""Whether the images of a dataset decode: all of them, before work starts."""

import os
from collections.abc import Collection, Iterable, Sequence

from torch.utils.data import Dataset

from basicsr_ext.data.nesting import used_items
from basicsr_ext.data.sound_files import SoundFiles, digest_of
from basicsr_ext.data.stock_files import Files, files_of
from basicsr_ext.errors import DataError, refuse_if_any
from basicsr_ext.images.image_files import Kind
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.unit_files import in_units
from basicsr_ext.runtime.workers import loader
from basicsr_ext.schedule.sample import SampleDataset

UNIT = 16  # items that a worker decodes at a time
MOST = 16  # workers, where nobody says how many


class DecodedFiles(Dataset[tuple[list[str], str]]):
    """Decodes the files of a unit of items, and gives the paths of those that are damaged, and the digest of all.

    Args:
        dataset: any; of the items that are used at any time, those whose files it tells are decoded.
        sound: digests of units that are not decoded again.
    """

    def __init__(self, dataset: SampleDataset, sound: Collection[str] = ()) -> None:
        self.sound = sound
        self.units: list[tuple[Files, Sequence[int]]] = []
        for reader, used in used_items(dataset):
            files = files_of(reader)
            self.units += [(files, used[places.start : places.stop]) for places in in_units(len(used), UNIT)]

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> tuple[list[str], str]:
        files, indices = self.units[unit]
        listed = [(index, kind, path) for index in indices for kind, path in files.listed(index).items()]
        digest = digest_of(path for _, _, path in listed)
        if digest in self.sound:
            return [], digest
        return [path for index, kind, path in listed if not _decodes(files, index, kind)], digest


def check_pixels(dataset: SampleDataset, where: str, workers: int | None = None) -> None:
    """Decode every image that is used.

    What an earlier check has found sound, one that was stopped or found others damaged, is not decoded again.

    Args:
        dataset: any.
        where: its path in the option file.
        workers: processes that decode; 0 decodes in this one, None takes one for each core, up to 16. The errors are
            the same, in the same order.

    Raises:
        DataError: damaged images; names them.
        Interrupted: a stop was asked for.
    """
    sound, damaged = SoundFiles(where), []
    decoded = DecodedFiles(dataset, sound.known)
    is_sound = False
    try:
        with Progress(f'Decoding {where}', sum(len(indices) for _, indices in decoded.units)) as progress:
            for (_, indices), (found, digest) in zip(decoded.units, _read(decoded, workers), strict=True):
                damaged += found
                if digest and not found and digest not in sound.known:
                    sound.add(digest)
                progress.update(len(indices))
                if interrupt.requested():
                    raise interrupt.Interrupted
        is_sound = not damaged
    finally:
        sound.close(is_sound)
    missing = [path for path in damaged if os.sep in path and not os.path.exists(path)]
    refuse_if_any(missing, 'files that exist, missing', 'Correct the list or add them.', where)
    refuse_if_any(damaged, 'images that decode', 'Replace or remove them.', where)


def _read(decoded: DecodedFiles, workers: int | None) -> Iterable[tuple[list[str], str]]:
    workers = min(os.cpu_count() or 1, MOST) if workers is None else workers
    workers = min(workers, len(decoded) - 1)  # few images do not pay for a process
    return loader(decoded, workers, batch_size=None) if workers > 0 else map(decoded.__getitem__, range(len(decoded)))


def _decodes(files: Files, index: int, kind: Kind) -> bool:
    try:
        files.original(index, kind)
    except DataError:
        return False
    return True
