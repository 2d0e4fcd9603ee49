"""Which images of a dataset an audit has found suspect."""

import os

import numpy as np

from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.nesting import innermost, innermost_index
from basicsr_ext.errors import DataError, under
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Manifest, read_manifest


def suspect_images(dataset: SampleDataset, exclude: str, where: str) -> np.ndarray:
    """Whether an audit has found each image of a dataset suspect, (items,).

    Args:
        dataset: that was audited, or a part of it that a wrapper inside has chosen.
        exclude: the file that `basicsr-ext audit` wrote.
        where: path of the block with the option `exclude`, named in errors.

    Raises:
        DataError: the file cannot be read, is no audit or one of other images; all images are suspect.
    """
    with under(where):
        manifest = read_manifest(os.path.expanduser(exclude))
        if not manifest.holds_audit:
            raise DataError(
                f'manifest {manifest.source}',
                'an audit',
                f'columns {", ".join(manifest.names)}',
                'Name a file that `basicsr-ext audit` wrote.',
            )
        if not all(isinstance(value, bool) for value in manifest.column('suspect')):
            raise DataError(
                f'manifest {manifest.source}', 'true or false in suspect', 'others', 'Make the audit again.'
            )
    suspect = np.array(manifest.column('suspect'))[places_of(dataset, manifest, f'{where}.exclude')]
    if suspect.all():
        raise DataError(
            f'{where}.exclude',
            'an audit that leaves images',
            f'{len(suspect)} suspect ones of {len(suspect)}',
            'Look at them with `basicsr-ext inspect`, and lower audit.sensitivity.',
        )
    return suspect


def places_of(dataset: SampleDataset, manifest: Manifest, where: str) -> np.ndarray:
    """The place in `manifest.items()` of each image of a dataset, (items,); -1 where a scan of patches skipped it.

    Args:
        dataset: whose images were scanned, or a part of it that wrappers have chosen.
        manifest: of the scan.
        where: the option that names the manifest, named in errors.

    Raises:
        DataError: the manifest was made from other images.
    """
    try:
        return np.array(manifest.rows_of(inventory(dataset, tolerant=True), where))
    except DataError:
        reader = innermost(dataset)
        if len(reader) == len(dataset):
            raise
        # A wrapper inside has chosen some of the images that were scanned.
        every = np.array(manifest.rows_of(inventory(reader, tolerant=True), where))
        return every[[innermost_index(dataset, index) for index in range(len(dataset))]]
