"""Labels of images in a CSV file, such as a person revises them."""

import csv
from collections import Counter
from collections.abc import Sequence

from basicsr_ext.data.image_files import refuse_if_any
from basicsr_ext.errors import DataError


def read_labels(path: str, names: Sequence[str], where: str) -> dict[int, float]:
    """Labels by the index of the image, from a CSV file with the columns `path` and `label`; others are not read.

    Args:
        path: the file.
        names: of the images, as the column `path` has them.
        where: path of the option, named in errors.

    Raises:
        DataError: a column is missing, an image is unknown or named twice, a label is no number in [0, 1].
    """
    try:
        with open(path, newline='', encoding='utf-8') as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f'{where}: expected a CSV file, got {path!r} and {error}. Correct the path.') from error
    if not {'path', 'label'} <= set(columns):
        raise DataError(f'{where}: expected the columns path and label, got {list(columns)}. Correct {path}.')
    indices = {name: index for index, name in enumerate(names)}
    times = Counter(row['path'] for row in rows)
    for expected, bad in (
        ('images of the dataset', [name for name in times if name not in indices]),
        ('each image once', [name for name, number in times.items() if number > 1]),
        ('labels in [0, 1]', [f'{row["label"]!r} of {row["path"]}' for row in rows if not _is_label(row['label'])]),
    ):
        refuse_if_any(bad, expected, f'Correct {path}.', where)
    return {indices[row['path']]: float(row['label']) for row in rows}


def _is_label(text: str | None) -> bool:
    try:
        return 0 <= float(text or 'nan') <= 1
    except ValueError:
        return False
