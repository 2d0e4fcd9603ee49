"""The folder that the job `align` writes: tuned images, and the inputs that belong to them."""

from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.alignment.moved_input import moved_input
from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.data.nesting import source
from basicsr_ext.data.stock_files import file_kinds, files_of
from basicsr_ext.images.new_folder import new_image_folder
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.runtime.distributed import rank_and_world
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.schedule.sample import SampleDataset


def write_aligned(
    tuned: TunedImages, dataset: SampleDataset, names: Sequence[str], folder: Path, unfinished: Path, moves: bool
) -> None:
    """Write `gt/`, `lq/` (`lq_2/`) with the inputs where these are files, and `meta_info.txt`; ranks share them out.

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
    with new_image_folder(folder, unfinished, file_kinds(dataset)) as images:

        def put(index: int) -> str:
            reader, place = source(dataset, index)
            files = files_of(reader)
            before, after = bgr_8bit(tuned.images[index]), bgr_8bit(tuned[index])
            inputs = {kind: files.original(place, kind) for kind in files.kinds if kind != 'gt'}
            if moves:
                where = names[index]
                inputs = {kind: moved_input(lq, before, after, f'{kind} of {where}') for kind, lq in inputs.items()}
            return images.put(names[index], gt=after, **inputs)

        lines, is_hidden = shared_map(put, range(len(names))), rank_and_world()[0] > 0
        images.lines.extend(with_progress(lines, 'Writing', len(names), hidden=is_hidden))
