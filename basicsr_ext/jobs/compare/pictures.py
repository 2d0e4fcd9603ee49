"""Pictures of a comparison: what each row trains on, and what the networks make of a reported image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from basicsr.utils import tensor2img

from basicsr_ext.data.image_names import result_names
from basicsr_ext.data.read_item import read_item
from basicsr_ext.jobs.compare.frame import Frame, Training
from basicsr_ext.jobs.compare.sets import Row
from basicsr_ext.reports.comparison import Comparison
from basicsr_ext.reports.comparison_report import strip_picture
from basicsr_ext.reports.page import Picture
from basicsr_ext.runtime.files import read_json

WHOLE = ('InfluenceSubsetDataset', 'FitImagesDataset')  # wrappers that give whole images outside training
EXAMPLES = 8  # images of a row


def chosen_pictures(frame: Frame, rows: Sequence[Row]) -> list[Picture]:
    """Some images of each row that trains on whole images, as the first seed sees them."""
    pictures = []
    for row in rows:
        block = row.block(0)
        if block is not frame.of(row.set).pool and block['type'] not in WHOLE:
            continue
        dataset = frame.built(block)
        places = np.unique(np.linspace(0, len(dataset) - 1, EXAMPLES).round().astype(int))
        samples = [read_item(dataset, int(place)) for place in places]
        images = [tensor2img(sample['gt']) for sample in samples if 'gt' in sample]
        if images:
            text = f'{row.title}: {len(images)} of its {len(dataset)} images.'
            pictures.append(strip_picture(images, [''] * len(images), text))
    return pictures


def restored_picture(
    comparison: Comparison, winner: str, trainings: Mapping[str, Sequence[Training]], frame: Frame
) -> list[Picture]:
    """The reported image on which the winner and its reference differ most, as the first seed restores it."""
    chosen = next(row for row in comparison.rows if row.title == winner)
    reference = comparison.reference_of(chosen) or next((row for row in comparison.rows if row is not chosen), None)
    if reference is None:
        return []
    gains = comparison.gains(chosen, reference)[0]
    images = sorted(read_json(trainings[winner][0].metrics)['per_image'][comparison.report])
    if not images:
        return []
    place = int(np.abs(gains).argmax())
    dataset = frame.built(frame.roles.reports[comparison.report])
    index = (result_names(dataset) or images).index(images[place])
    sample = read_item(dataset, index)
    restored = {row.title: _restored(trainings[row.title][0].pictures, images[place]) for row in (reference, chosen)}
    shown = {'input': tensor2img(sample['lq']), **restored, 'ground truth': tensor2img(sample['gt'])}
    kept = {name: image for name, image in shown.items() if image is not None}
    gain = comparison.metric.gain(float(gains[place]))
    text = (
        f'{images[place]} of {comparison.report}, restored by the networks of the first seed; {chosen.title} over '
        f'{reference.title}: {gain}.'
    )
    return [strip_picture(list(kept.values()), list(kept), text)]


def _restored(folder: Path, image: str) -> np.ndarray | None:
    """A restored image as it was saved, H x W x 3 BGR or H x W grey; None where none was."""
    found = folder.rglob(f'{Path(image).name}_*.png')
    last = max(found, key=lambda path: (len(path.name), path.name), default=None)  # _900 is before _1000
    return cv2.imread(str(last), cv2.IMREAD_UNCHANGED) if last else None
