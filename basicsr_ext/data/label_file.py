"""Labels of images in a CSV file, such as a person revises them."""

from collections import Counter
from collections.abc import Sequence

from basicsr_ext.errors import refuse_if_any
from basicsr_ext.selection.csv_table import read_table
from basicsr_ext.selection.manifest import Item


def read_labels(path: str, names: Sequence[str], where: str) -> dict[int, float]:
    """Labels by the index of the image, from a CSV file with the columns `path` and `label`; others are not read.

    Args:
        path: the file; the endings of the images in it do not matter.
        names: of the images, as the column `path` has them.
        where: path of the option, named in errors.

    Raises:
        DataError: a column is missing, an image is unknown or named twice, images of the dataset differ in their
            endings alone, a label is no number in [0, 1].
    """
    rows = read_table(path, ('path', 'label'), where)
    keys = [_without_ending(name) for name in names]
    indices, times = {key: index for index, key in enumerate(keys)}, Counter(keys)
    alike = [name for name, key in zip(names, keys, strict=True) if times[key] > 1]
    refuse_if_any(alike, 'image names that differ, not counting their endings', 'Rename the images.', where)
    found = [(_without_ending(row['path']), row['path'], row['label']) for row in rows]
    times = Counter(key for key, _, _ in found)
    for expected, bad in (
        ('images of the dataset', [path for key, path, _ in found if key not in indices]),
        ('each image once', [path for key, path, _ in found if times[key] > 1]),
        ('labels in [0, 1]', [f'{label!r} of {path}' for _, path, label in found if not _is_label(label)]),
    ):
        refuse_if_any(bad, expected, f'Correct {path}.', where)
    return {indices[key]: float(label) for key, _, label in found}


def _without_ending(path: str) -> str:
    return Item(path, 0, 0).name


def _is_label(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
