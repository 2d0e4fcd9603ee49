"""Items of datasets that are not ours, which do not say which file is damaged."""

from collections.abc import Sequence
from typing import Any

import cv2

from basicsr_ext.errors import BasicsrExtError, DataError
from basicsr_ext.images.decoding import decode_image, read_image


def read_item(dataset: Any, index: int) -> Any:
    """The item of a dataset, whatever its class.

    Raises:
        DataError: a file of the item is missing or damaged; names it. Other errors of the dataset pass through.
    """
    try:
        return dataset[index]
    except BasicsrExtError:
        raise
    except Exception as error:
        damaged = _damaged_file(dataset, int(index))
        if damaged is None:
            raise
        raise damaged from error


def _damaged_file(dataset: Any, index: int) -> DataError | None:
    """What is wrong with the first file of an item that cannot be decoded, where the dataset tells its files."""
    entries, opt = getattr(dataset, 'paths', None), getattr(dataset, 'opt', None) or {}
    if not isinstance(entries, Sequence) or not 0 <= index < len(entries):
        return None
    entry = entries[index]
    named = entry if isinstance(entry, dict) else {f'{"gt" if "dataroot_gt" in opt else "lq"}_path': entry}
    for key, path in named.items():
        root = opt.get(f'dataroot_{key.removesuffix("_path")}')
        if isinstance(path, str):
            try:
                decode_image(read_image(root if isinstance(root, str) else '', path), cv2.IMREAD_COLOR, path)
            except DataError as error:
                return error
    return None
