"""The files of pairs: which input belongs to which clean image."""

import os
from collections.abc import Sequence

import numpy as np

from basicsr_ext.errors import refuse_if_any
from basicsr_ext.images.image_files import Color, ImageFiles, Kind
from basicsr_ext.images.names import twins


class PairFiles:
    """Clean images and the inputs that belong to them by their names, with the methods of `ImageFiles`.

    By default a clean image and its input have the same name, not counting the ending, and items are in the order of
    the clean images. With `gt_until` an input may have more in its name, and several inputs may belong to one clean
    image: an item is an input then, and named by it. Only a list leaves out what lies in the folders.

    Args:
        gt: folder or LMDB of the clean images.
        lqs: those of the inputs; the images of one name in several are one input together, in this order.
        backend: `disk` or `lmdb`, of all.
        meta_info_file: names of the items to use, as in `ImageFiles`: of clean images, with `gt_until` of inputs.
        where: path of the block in the option file, named in errors.
        color: as in `ImageFiles`.
        filename_tmpl: the name of an input where `{}` stands for that of its clean image.
        gt_until: what follows the name of the clean image in that of an input; where it occurs more than once, the
            longest beginning that names a clean image counts. None for inputs named by `filename_tmpl`.

    Attributes:
        kinds: `gt`, `lq`, and `lq_2`, ... of further folders of inputs.
        channels, exact: as in `ImageFiles`, of the clean images.
        lq_channels: of the inputs, those of all folders together.

    Raises:
        DataError: as `ImageFiles`; names that differ in their endings alone; images without partner.
    """

    exact = True

    def __init__(
        self,
        gt: str,
        lqs: Sequence[str],
        backend: str,
        meta_info_file: str | None,
        where: str,
        color: Color = 'rgb',
        filename_tmpl: str = '{}',
        gt_until: str | None = None,
    ) -> None:
        self.is_listed, self.gt_until = meta_info_file is not None, gt_until
        clean_list, input_list = (meta_info_file, None) if gt_until is None else (None, meta_info_file)
        self.gt = ImageFiles(gt, backend, clean_list, where, color)
        keys = ['dataroot_lq'] if len(lqs) == 1 else [f'dataroot_lq.{number}' for number in range(len(lqs))]
        lists = [input_list] + [None] * (len(lqs) - 1)
        self.lqs = [
            ImageFiles(lq, backend, names, where, color, key) for lq, names, key in zip(lqs, lists, keys, strict=True)
        ]
        self.kinds: tuple[Kind, ...] = ('gt', 'lq', *(f'lq_{number}' for number in range(2, len(lqs) + 1)))
        self.channels, self.root = self.gt.channels, self.gt.root
        self.lq_channels = sum(files.channels for files in self.lqs)
        self._of_kind = dict(zip(self.kinds, (self.gt, *self.lqs), strict=True))
        self.places = self._paired(filename_tmpl, where)

    def _paired(self, filename_tmpl: str, where: str) -> list[tuple[int, ...]]:
        """The index of the clean image of each item, and those of its inputs."""
        clean = _indices(self.gt, f'{where}.dataroot_gt')
        inputs = [_indices(files, f'{where}.{files.key}') for files in self.lqs]
        if self.gt_until is None:
            wanted = {_filled(filename_tmpl, name): name for name in clean}
        else:
            wanted = {name: _clean_name(name, self.gt_until, clean) for name in inputs[0]}
        self._refuse_alone(wanted, clean, inputs, where)
        return [(clean[name], *(own[lq] for own in inputs)) for lq, name in wanted.items()]

    def _refuse_alone(
        self, wanted: dict[str, str], clean: dict[str, int], inputs: Sequence[dict[str, int]], where: str
    ) -> None:
        """Refuse images without partner; a list may leave out those that it does not need."""
        advice = 'Add them, or set filename_tmpl or gt_until.'
        orphans = [self.lqs[0].path(inputs[0][lq]) for lq, name in wanted.items() if name not in clean]
        refuse_if_any(orphans, 'a GT image for every LQ image, without partner', advice, where)
        for files, own in zip(self.lqs, inputs, strict=True):
            missing = [
                f'{os.path.join(files.root, lq)}.* (for {self.gt.path(clean[name])})'
                for lq, name in wanted.items()
                if lq not in own
            ]
            refuse_if_any(missing, 'an LQ image for every GT image, missing', advice, f'{where}.{files.key}')
            surplus = [files.path(index) for lq, index in own.items() if lq not in wanted and not self.is_listed]
            refuse_if_any(surplus, 'a GT image for every LQ image, without partner', advice, f'{where}.{files.key}')
        used = set(wanted.values())
        unused = [self.gt.path(index) for name, index in clean.items() if name not in used and not self.is_listed]
        refuse_if_any(unused, 'an LQ image for every GT image, without partner', advice, f'{where}.dataroot_gt')

    def __len__(self) -> int:
        return len(self.places)

    def _at(self, index: int, kind: Kind) -> tuple[ImageFiles, int]:
        return self._of_kind[kind], self.places[index][self.kinds.index(kind)]

    def name(self, index: int) -> str:
        """The name of an item without its ending: the same on disk and in an LMDB."""
        files, place = self._at(index, self._naming)
        return files.name(place)

    @property
    def _naming(self) -> Kind:
        return 'gt' if self.gt_until is None else 'lq'

    def item(self, index: int) -> str:
        """The path that names an item: that of its clean image or, where several items may share one, of its input."""
        return self.relative(index, self._naming)

    def path(self, index: int, kind: Kind = 'gt') -> str:
        """The file of an image, or its key in the LMDB."""
        files, place = self._at(index, kind)
        return files.path(place)

    def relative(self, index: int, kind: Kind = 'gt') -> str:
        """The path below the folder, with `/`; the key in an LMDB."""
        files, place = self._at(index, kind)
        return files.relative(place)

    def listed(self, index: int) -> dict[Kind, str]:
        """The images of an item as `path` gives them, by kind."""
        return {kind: self.path(index, kind) for kind in self.kinds}

    def sources(self) -> list[str]:
        """The files that hold all images, each once."""
        if self.gt.backend == 'lmdb':
            return [source for files in self._of_kind.values() for source in files.sources()]
        return list(dict.fromkeys(self.path(index, kind) for kind in self.kinds for index in range(len(self))))

    def decode(self, index: int) -> np.ndarray:
        """The clean image, as `ImageFiles` decodes it."""
        return self.original(index, 'gt')

    def inputs(self, index: int) -> list[np.ndarray]:
        """The input in each folder of inputs, likewise."""
        return [self.original(index, kind) for kind in self.kinds[1:]]

    def original(self, index: int, kind: Kind = 'gt') -> np.ndarray:
        """An image of an item, as `ImageFiles` decodes it.

        Raises:
            DataError: the file is not an image or is damaged.
        """
        files, place = self._at(index, kind)
        return files.decode(place)

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey, (H, W) uint8; see `decode_grey`.

        Raises:
            DataError: the file is not an image or is damaged.
        """
        return self.gt.grey(self.places[index][0])

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of the clean image, read from the file's header alone.

        Raises:
            DataError: the header is not that of an image.
        """
        return self.gt.size(self.places[index][0])

    def sizes(self, index: int) -> dict[Kind, tuple[int, int]]:
        """The `size` of the images of an item, by kind."""
        return {kind: files.size(place) for kind, (files, place) in ((k, self._at(index, k)) for k in self.kinds)}


def fits(gt: tuple[int, ...], lq: tuple[int, ...], scale: int, is_train: bool) -> bool:
    """Whether the sizes of a pair belong together; outside training a clean image may be larger, and is cut."""
    enlarged = lq[0] * scale, lq[1] * scale
    return gt[:2] == enlarged if is_train else gt[0] >= enlarged[0] and gt[1] >= enlarged[1]


def _indices(files: ImageFiles, where: str) -> dict[str, int]:
    """Name without ending -> index."""
    names = [files.name(index) for index in range(len(files))]
    alike = twins(names, files.names)
    refuse_if_any(alike, 'image names that differ, not counting their endings', 'Rename or remove them.', where)
    return {name: index for index, name in enumerate(names)}


def _filled(template: str, name: str) -> str:
    folder, own = os.path.split(name)
    return os.path.join(folder, template.replace('{}', own))


def _clean_name(name: str, until: str, known: dict[str, int]) -> str:
    """The longest beginning of a name, or all of it, that is known; '' for none."""
    folder, own = os.path.split(name)
    parts = own.split(until)
    beginnings = (os.path.join(folder, until.join(parts[:number])) for number in range(len(parts), 0, -1))
    return next((beginning for beginning in beginnings if beginning in known), '')
