"""The folder that the job `align` writes: tuned images, and the inputs that belong to them."""

from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.alignment.moved_input import moved_input
from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.data.nesting import source
from basicsr_ext.data.stock_files import files_of, reads_pairs
from basicsr_ext.images.new_folder import new_image_folder
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.schedule.sample import SampleDataset


def write_aligned(
    tuned: TunedImages, dataset: SampleDataset, names: Sequence[str], folder: Path, unfinished: Path, moves: bool
) -> None:
    """Write `gt/`, `lq/` with the inputs where these are files, and `meta_info.txt`.

    Args:
        tuned: the images.
        dataset: that they are of.
        names: of the files, without ending.
        folder: of the result.
        unfinished: where the parts are kept until all are there.
        moves: whether inputs are changed as their images are; see `moved_input`.

    Raises:
        DataError: a damaged image, or a pair whose sizes do not belong together.
        Interrupted: a stop was asked for; none of the folders is there.
    """
    kinds = ('gt', 'lq') if reads_pairs(dataset) else ('gt',)
    with new_image_folder(folder, unfinished, kinds) as images:
        for index, name in enumerate(with_progress(names, 'Writing', len(names))):
            reader, place = source(dataset, index)
            files = files_of(reader)
            pair = {'gt': bgr_8bit(tuned[index])}
            if 'lq' in files.kinds:
                lq = files.original(place, 'lq')
                before = bgr_8bit(tuned.images[index])
                pair['lq'] = moved_input(lq, before, pair['gt'], f'lq of {name}') if moves else lq
            images.put(name, **pair)
