"""The folder that the job `align` writes: tuned images, and the inputs that belong to them."""

from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.data.nesting import source
from basicsr_ext.data.stock_files import files_of, reads_pairs
from basicsr_ext.images.new_folder import new_image_folder
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.runtime.distributed import rank_and_world
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.schedule.sample import SampleDataset


def write_aligned(
    tuned: TunedImages, dataset: SampleDataset, names: Sequence[str], folder: Path, unfinished: Path
) -> None:
    """Write `gt/`, `lq/` with the unchanged inputs where these are files, and `meta_info.txt`; ranks share them out.

    Args:
        tuned: the images.
        dataset: that they are of.
        names: of the files, without ending.
        folder: of the result.
        unfinished: where the parts are kept until all are there.

    Raises:
        DataError: a damaged image.
        Interrupted: a stop was asked for; none of the folders is there.
    """
    kinds = ('gt', 'lq') if reads_pairs(dataset) else ('gt',)
    with new_image_folder(folder, unfinished, kinds) as images:

        def put(index: int) -> str:
            reader, place = source(dataset, index)
            files = files_of(reader)
            lq = {'lq': files.original(place, 'lq')} if 'lq' in files.kinds else {}
            return images.put(names[index], gt=bgr_8bit(tuned[index]), **lq)

        lines, is_hidden = shared_map(put, range(len(names))), rank_and_world()[0] > 0
        images.lines.extend(with_progress(lines, 'Writing', len(names), hidden=is_hidden))
