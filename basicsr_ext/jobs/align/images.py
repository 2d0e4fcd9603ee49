"""The folder that the job `align` writes: tuned images, and the inputs that belong to them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.data.nesting import source
from basicsr_ext.data.stock_files import files_of, reads_pairs
from basicsr_ext.errors import refuse_if_any
from basicsr_ext.images.new_folder import flat_name, new_image_folder
from basicsr_ext.images.pixels import bgr_8bit
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item


def flat_names(items: Sequence[Item], where: str) -> list[str]:
    """The `flat_name` of each image.

    Args:
        items: the images.
        where: the dataset, named in errors.

    Raises:
        DataError: images that would get one name, or become hidden.
    """
    names = [flat_name(item.name) for item in items]
    times = Counter(names)
    twice = [item.path for item, name in zip(items, names, strict=True) if times[name] > 1]
    refuse_if_any(twice, 'names that differ where / and blanks become _', 'Rename the images.', where)
    hidden = [item.path for item, name in zip(items, names, strict=True) if name.startswith('.')]
    refuse_if_any(hidden, 'images that are not hidden', 'Rename them.', where)
    return names


def write_aligned(
    tuned: TunedImages, dataset: SampleDataset, names: Sequence[str], folder: Path, unfinished: Path
) -> None:
    """Write `gt/`, `lq/` with the unchanged inputs where these are files, and `meta_info.txt`.

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
        for index, name in enumerate(tqdm(names, 'Writing', unit='image', leave=False, disable=None)):
            reader, place = source(dataset, index)
            files = files_of(reader)
            lq = {'lq': files.original(place, 'lq')} if 'lq' in files.kinds else {}
            images.put(name, gt=bgr_8bit(tuned[index]), **lq)
