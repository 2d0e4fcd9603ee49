"""Labels of images in a CSV file, such as a person revises them."""

from collections.abc import Sequence

from basicsr_ext.errors import refuse_if_any
from basicsr_ext.images.names import twins
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
    indices = {key: index for index, key in enumerate(keys)}
    expected = 'image names that differ, not counting their endings'
    refuse_if_any(twins(keys, names), expected, 'Rename the images.', where)
    listed = [row['path'] for row in rows]
    found = [_without_ending(name) for name in listed]
    for expected, bad in (
        ('images of the dataset', [name for key, name in zip(found, listed, strict=True) if key not in indices]),
        ('each image once', twins(found, listed)),
        ('labels in [0, 1]', [f'{row["label"]!r} of {row["path"]}' for row in rows if not _is_label(row['label'])]),
    ):
        refuse_if_any(bad, expected, f'Correct {path}.', where)
    return {indices[key]: float(row['label']) for key, row in zip(found, rows, strict=True)}


def _without_ending(path: str) -> str:
    return Item(path, 0, 0).name


def _is_label(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
