"""The images of a set, measured one after another: in units that can be shared out, stopped and continued."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from basicsr_ext.errors import DataError
from basicsr_ext.runtime.unit_files import UnitFiles, in_units
from basicsr_ext.selection.audit.findings import FINDINGS
from basicsr_ext.selection.audit.measured_image import LOW, MeasuredImage
from basicsr_ext.selection.audit.measured_pair import MeasuredPair
from basicsr_ext.selection.audit.outliers import FEATURES, features

UNIT = 32  # images whose values are written down together


class Images(Protocol):
    """The source of the images, by their index."""

    def grey(self, index: int) -> np.ndarray:
        """The clean image in grey, (H, W), uint8."""

    def input_file(self, index: int) -> tuple[np.ndarray, int] | None:
        """The input in grey, (h, w), uint8, and its scale, where it is a file; else None."""


class AuditReader(Dataset[np.ndarray]):
    """Reads a unit of images, each once, and measures them.

    The values of an image, and hence the columns of what it gives: whether it is damaged, the findings of images and of
    pairs, the features of outliers, the 64 numbers that describe the picture; NaN for what cannot be measured. Of test
    images the last are all.

    Args:
        sets: the images of training with their number, and those of a test where there are some.
        findings: names of what is looked for.
    """

    def __init__(self, sets: Sequence[tuple[Images, int]], findings: Sequence[str]) -> None:
        self.places = [(images, index) for images, number in sets for index in range(number)]
        self.number = sets[0][1]
        self.findings = [FINDINGS[name] for name in findings]
        self.measured = [each.name for each in self.findings if each.image or each.pair]
        self.knows_features = 'outlier' in findings
        self.knows_pictures = bool({'duplicate', 'leak'} & set(findings))
        self.has_pairs = any(each.pair for each in self.findings)
        self.units = in_units(len(self.places), UNIT)
        self.names = [
            'damaged',
            *self.measured,
            *(f'feature {number}' for number in range(FEATURES)),
            *(f'picture {number}' for number in range(LOW * LOW)),
        ]

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, unit: int) -> np.ndarray:
        return np.stack([self._values(place) for place in self.units[unit]])

    def _values(self, place: int) -> np.ndarray:
        """The values of an image; of one that is damaged nothing else is known."""
        images, index = self.places[place]
        try:
            return self._of_train(images, index) if place < self.number else self._of_test(images, index)
        except DataError:
            values = np.full(len(self.names), np.nan)
            values[0] = 1
            return values

    def _of_train(self, images: Images, index: int) -> np.ndarray:
        image = MeasuredImage(images.grey(index))
        found = images.input_file(index) if self.has_pairs else None
        pair = None if found is None else MeasuredPair(found[0], image, found[1])
        values = [0.0]
        for finding in self.findings:
            if finding.image is not None:
                values.append(finding.image(image))
            elif finding.pair is not None:
                values.append(np.nan if pair is None else finding.pair(pair))
        own = features(image) if self.knows_features else np.full(FEATURES, np.nan)
        return np.concatenate([values, own, self._picture(image)])

    def _of_test(self, images: Images, index: int) -> np.ndarray:
        empty = np.full(len(self.measured) + FEATURES, np.nan)
        return np.concatenate([[0.0], empty, self._picture(MeasuredImage(images.grey(index)))])

    def _picture(self, image: MeasuredImage) -> np.ndarray:
        return image.description.ravel() if self.knows_pictures else np.full(LOW * LOW, np.nan)


class AuditScan:
    """Measure all images; every unit becomes a file in a folder.

    Args:
        reader: of the units.
        folder: for the files of finished units.
        workers: processes that read and measure.
    """

    def __init__(self, reader: AuditReader, folder: Path, workers: int = 0) -> None:
        self.reader, self.workers = reader, workers
        self.files = UnitFiles(folder, reader.units)

    def run(self) -> None:
        """Compute what is missing of this rank's part.

        Raises:
            Interrupted: a stop was asked for; what is finished is written down.
        """
        self.files.compute(self.reader, lambda values: values, self.workers, 'audit')

    def values(self) -> dict[str, np.ndarray]:
        """The columns of the training images, and those of the test images behind, when all units are computed."""
        table = np.concatenate([self.files.read(unit) for unit in range(len(self.reader))])
        return dict(zip(self.reader.names, table.T, strict=True))
