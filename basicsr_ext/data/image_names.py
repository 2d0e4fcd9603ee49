"""Names of the images of a dataset in results: in `metrics.json` and on disk."""

import os
from collections import Counter
from collections.abc import Sequence

from basicsr_ext.data.nesting import layers
from basicsr_ext.data.stock_files import StockFiles, files_of
from basicsr_ext.data.wrapper_base import ComposedDataset, WrapperDataset
from basicsr_ext.errors import DataError, refuse_if_any
from basicsr_ext.images.image_files import Kind
from basicsr_ext.images.names import twins
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item


def result_names(dataset: SampleDataset) -> list[str] | None:
    """The name of each item, no two alike: the path of its input below the dataroot, without the ending.

    Where two would be alike they begin with their group, or keep the ending. Patches of one image are numbered.

    Returns:
        A name per item; None where the dataset does not tell its files.

    Raises:
        DataError: an image is listed twice.
    """
    items = listed_items(dataset)
    if items is None:
        return None
    if any(isinstance(layer, WrapperDataset) and layer.gives_patches for layer in layers(dataset)):
        items = _numbered(items)
    return distinct_names(items, f'dataset {dataset.opt["name"]}')


def distinct_names(items: Sequence[Item], where: str) -> list[str]:
    """The names of images as `result_names` gives them.

    Args:
        items: of which the path and the group count.
        where: the dataset, named in errors.

    Raises:
        DataError: two have one path.
    """
    names = [_stem(item.path.removeprefix(f'{item.group}/')) for item in items]
    for finer in ([_stem(item.path) for item in items], [item.path for item in items]):
        times = Counter(names)
        names = [more if times[name] > 1 else name for name, more in zip(names, finer, strict=True)]
    twice = list(dict.fromkeys(twins(names, [item.path for item in items])))
    refuse_if_any(twice, 'every image once', 'Remove what is listed twice.', where)
    return names


def listed_items(dataset: SampleDataset) -> list[Item] | None:
    """The inputs of the items, without their sizes; None where the dataset does not tell its files."""
    if isinstance(dataset, ComposedDataset):
        parts = [listed_items(part) for part in dataset.parts]
        known = [part for part in parts if part is not None]
        return dataset.inventory(known) if len(known) == len(parts) else None
    files = files_of(dataset)
    kind: Kind = 'lq' if 'lq' in files.kinds else 'gt'
    try:
        paths = [files.relative(index, kind) for index in range(len(files))]
    except DataError:
        if not isinstance(files, StockFiles):
            raise
        return None
    return [Item(_inside(path), 0, 0) for path in paths]


def _inside(path: str) -> str:
    """A path without the steps upwards with which one outside the folder begins."""
    return path.lstrip('/') if not path.startswith('../') else path.replace('../', '')


def _numbered(items: Sequence[Item]) -> list[Item]:
    times: Counter[str] = Counter()
    numbered = []
    for item in items:
        times[item.path] += 1
        stem, ending = os.path.splitext(item.path)
        numbered.append(Item(f'{stem}_{times[item.path]}{ending}', 0, 0, item.group))
    return numbered


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]
