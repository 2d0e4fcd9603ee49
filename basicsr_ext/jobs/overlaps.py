"""Warnings where images that training sees, rankings aim at, choose checkpoints or are reported are the same ones."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from basicsr.utils import get_root_logger

from basicsr_ext.data.nesting import layers
from basicsr_ext.data.shared_files import image_files, named_pairs, shared, shared_among, shared_with_note
from basicsr_ext.errors import DataError
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import manifest_header


def warn_of_target(train: SampleDataset, target: SampleDataset) -> None:
    """Warn where a target shares files with the images whose worth for it is measured."""
    found = shared(target, train)
    if found:
        _warn(
            'datasets.test',
            'a target without images of datasets.train',
            f'{len(found)} of its files there: {named_pairs(found)}',
            'Take other images for the target if you can: what these gain is in part their own noise.',
        )


def warn_of_validation(train: SampleDataset, validation: Iterable[SampleDataset]) -> None:
    """Warn where validation sets share files with the training set, or with what its rankings aimed at."""
    notes = list(_targets(train))
    sets = [(dataset, image_files(dataset)) for dataset in validation]
    trained_on = image_files(train, {file.size for _, files in sets for file in files})
    for dataset, files in sets:
        where = f'dataset {dataset.opt.get("name")}'
        found = shared_among(files, trained_on)
        if found:
            _warn(
                where,
                'images that are not trained on',
                f'{len(found)} of datasets.train: {named_pairs(found)}',
                'Validate on others: figures on these are too good.',
            )
        for manifest, note in notes:
            found = shared_with_note(dataset, note)
            if found:
                _warn(
                    where,
                    f'images that {manifest} did not aim at',
                    f'{len(found)} of its target {note.get("name")}: {named_pairs(found)}',
                    'Validate on others, or rank with another target: the images that choose checkpoints or are '
                    'reported were those that the ranking aimed at: figures on them are too good.',
                )


def _targets(train: SampleDataset) -> Iterator[tuple[str, dict[str, Any]]]:
    """The manifests that a dataset or its wrappers choose by, with what they note of their targets."""
    manifests = dict.fromkeys(getattr(layer, 'opt', {}).get('manifest') for layer in layers(train))
    for manifest in manifests:
        if isinstance(manifest, str):
            try:
                note = manifest_header(os.path.abspath(os.path.expanduser(manifest))).get('target')
            except DataError:
                continue
            if isinstance(note, dict):
                yield manifest, note


def _warn(where: str, expected: str, got: str, advice: str) -> None:
    get_root_logger().warning(str(DataError(where, expected, got, advice)))
