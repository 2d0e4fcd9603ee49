"""The page of an alignment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow

from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.from_manifest import dataset_of
from basicsr_ext.reports.asked import asked_of_result
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Part, Section, Table, picture_at, write_page
from basicsr_ext.reports.thumbnails import displayed, shown_at, thumbnail_of
from basicsr_ext.runtime.spread import spread
from basicsr_ext.selection.manifest import Manifest

INPUTS = {
    'moved': ' The inputs of the pairs were changed in the same way.',
    'kept': ' The inputs of the pairs are as they were, so that a network learns to tune too.',
}
SHOWN = 4  # images before and after
KINDS = {'ped': 'PED', 'pfd': 'PFD', 'pixels': 'pixels'}
PARTS = {'mean': 'mean', 'q5': '5 %', 'q50': 'median', 'q95': '95 %'}  # of the distances


def write_alignment_page(result: Path, page: Path) -> None:
    """Write what tuning changed: the divergence, some images before and after, how diverse they are.

    Args:
        result: `statistics.json`, with the tuned images and the pictures beside it.
        page: the file.

    Raises:
        DataError: the images that were tuned are no longer there.
    """
    content = json.loads(result.read_text(encoding='utf-8'))
    folder, kl, levels = result.parent, content['kl'], content['levels']
    lead = (
        f'The divergence from the target went from {kl["before"]:.4g} to {kl["after"]:.4g}; pixels changed by '
        f'{levels["mean"]:.2f} levels on average, by {levels["largest"]:.0f} at most.'
        f'{INPUTS.get(content.get("input"), "")}'
    )
    features = picture_at(
        folder / 'alignment.png', 'Densities of the features of all images, of the subset and of the tuned images'
    )
    distances = picture_at(folder / 'diversity.png', 'How the distances of pairs of images are distributed')
    sections = [
        Section('Features', [features]),
        Section('Images before and after', _images(result, content['made_from'])),
        Section('Diversity', [distances, _diversity(content['diversity'])]),
    ]
    write_page(page, title_of('align', folder.name), lead, asked_of_result(content['made_from']), sections)


def _images(result: Path, made_from: dict[str, Any]) -> list[Part]:
    folder, before = result.parent, CleanImages(dataset_of(Manifest(made_from, pyarrow.table({}), str(result))))
    lines = (folder / 'meta_info.txt').read_text(encoding='utf-8').splitlines()
    parts: list[Part] = []
    for index in spread(SHOWN, len(lines)):
        name = lines[index].rpartition(' (')[0]
        parts.append(thumbnail_of(displayed(before[index]), f'{name}, before'))
        parts.append(thumbnail_of(shown_at(folder / 'gt' / name), f'{name}, after'))
    return parts


def _diversity(sets: Mapping[str, Any]) -> Table:
    heads = ['set', *(f'{words} {part}' for words in KINDS.values() for part in PARTS.values())]
    rows = [
        [name, *(f'{found[kind][part]:.4g}' for kind in KINDS for part in PARTS)]
        for name, found in sets.items()
        if 'pixels' in found  # in results of earlier versions the others were different distances
    ]
    return Table(heads, rows, 'Distances of pairs: of embeddings (PED), of their directions (PFD), of pixels.')
