"""The images of a distilled dataset, real and synthetic, and the folder that they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from basicsr_ext.distillation.degradation import Degrade
from basicsr_ext.distillation.engine import Distillation
from basicsr_ext.images.names import flat_names
from basicsr_ext.images.new_folder import new_image_folder
from basicsr_ext.images.pixels import as_array, swap_order, to_8bit, to_unit
from basicsr_ext.jobs.distill.parts import DistillData
from basicsr_ext.runtime.distributed import rank_and_world
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.schedule.sampling import name_rng
from basicsr_ext.selection.manifest import Item, write_manifest

MANIFEST = 'manifest.parquet'


@dataclass(frozen=True)
class MadeImage:
    """An image of the result.

    Attributes:
        name: without ending.
        gt: clean, H x W x C, uint8, RGB or grey.
        lq: input, h x w x C, likewise.
        synthetic: whether it was optimised; else it is real.
        source: path of the real image that it is, or started from; '' for none.
        group: of that image.
    """

    name: str
    gt: np.ndarray
    lq: np.ndarray
    synthetic: bool
    source: str
    group: str


class MadeImages(Sequence[MadeImage]):
    """The kept images, read when they are asked for, and then the synthetic ones, decoded when they are asked for.

    A known degradation makes the input of both. Its randomness is fixed by the name of the image, as in validation, and
    the input is rounded to 8 bits.

    Args:
        data: which images are kept.
        distillation: made the synthetic ones; None if there are none.

    Raises:
        DataError: images that would get one name.
    """

    def __init__(self, data: DistillData, distillation: Distillation | None) -> None:
        self.data, self.distillation = data, distillation
        kept, made = [data.items[index] for index in data.kept], range(1, len(data.started) + 1)
        synthetic = [f'synthetic_{number:04d}' for number in made]
        names, paths = [item.name for item in kept], [item.path for item in kept]
        self.names = flat_names([*names, *synthetic], [*paths, *synthetic], 'datasets.train')

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> MadeImage: ...

    @overload
    def __getitem__(self, place: slice) -> list[MadeImage]: ...

    def __getitem__(self, place: int | slice) -> MadeImage | list[MadeImage]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = place - len(self.data.kept)
        index = self.data.kept[place] if number < 0 else self.data.started[number]
        images = self._real(index) if number < 0 else self._synthetic(number)
        if self.data.degrades is not None:
            images['lq'] = _degraded(images['gt'], self.data.degrades[index], self.names[place])
        item, is_noise = self.data.items[index], number >= 0 and self.data.settings.start == 'noise'
        source, group = ('', '') if is_noise else (item.path, item.group)
        return MadeImage(self.names[place], images['gt'], images['lq'], number >= 0, source, group)

    def _real(self, index: int) -> dict[str, np.ndarray]:
        images = {kind.lower(): swap_order(image) for kind, image in self.data.whole.read(index).items()}
        if self.data.degrades is not None:
            height, width = (side - side % self.data.whole.scale for side in images['gt'].shape[:2])
            images['gt'] = images['gt'][:height, :width]
        return images

    def _synthetic(self, number: int) -> dict[str, np.ndarray]:
        if self.distillation is None:
            raise IndexError(number)
        return {kind: to_8bit(as_array(image[0])) for kind, image in self.distillation.images([number]).items()}


def write_distilled(images: Sequence[MadeImage], folder: Path, unfinished: Path, header: Mapping[str, Any]) -> None:
    """Write `gt/`, `lq/`, `meta_info.txt` and, last, `manifest.parquet`, without which a result is none.

    Ranks share the images out; the first one writes the manifest.

    Args:
        images: what the result holds.
        folder: of the result.
        unfinished: where the parts are kept until all are there.
        header: of the manifest.

    Raises:
        Interrupted: a stop was asked for; nothing of the result is there.
    """
    items, columns = [], {'synthetic': [], 'source': []}  # type: ignore[var-annotated]
    rank, number = rank_and_world()[0], len(images)
    with new_image_folder(folder, unfinished, ('gt', 'lq')) as written:

        def put(place: int) -> tuple[str, Item, dict[str, Any]]:
            image = images[place]
            line = written.put(image.name, gt=swap_order(image.gt), lq=swap_order(image.lq))
            height, width, _ = image.gt.shape
            told = {'synthetic': int(image.synthetic), 'source': image.source}
            return line, Item(f'{image.name}.png', height, width, image.group), told

        for line, item, told in with_progress(shared_map(put, range(number)), 'Writing', number, hidden=rank > 0):
            written.lines.append(line)
            items.append(item)
            for key, value in told.items():
                columns[key].append(value)
    if rank == 0:
        write_manifest(folder / MANIFEST, items, columns, header)


def _degraded(gt: np.ndarray, degrade: Degrade, name: str) -> np.ndarray:
    return to_8bit(degrade(to_unit(gt), name_rng(name, 'degrade')))
