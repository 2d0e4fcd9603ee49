"""Dataset blocks inside dataset blocks, as text: what they inherit, which of them name files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from os.path import expanduser
from typing import Annotated, Any, Literal

from annotated_types import Interval

from basicsr_ext.errors import OptionError, shown

INHERITED_KEYS = ('name', 'phase', 'scale')


@dataclass(frozen=True)
class LoaderOptions:
    """Keys of the outermost block of a dataset that the loader reads, not the dataset.

    Attributes:
        batch_size_per_gpu: samples of a step on each process; needed for training.
        num_worker_per_gpu: processes that prepare samples; 0 prepares them in the process that computes.
        dataset_enlarge_ratio: how often each item stands in an epoch; of one that is not whole, the first items stand
            there once more often.
        pin_memory: copy batches to page-locked memory; true by default on a GPU.
        prefetch_mode, num_prefetch_queue, persistent_workers: of BasicSR's loop; ours always works ahead, with workers
            that live as long as the run.
    """

    # Beyond these bounds a machine hangs or runs out of memory before it can say why.
    batch_size_per_gpu: Annotated[int, Interval(ge=1, le=65_536)] | None = None
    num_worker_per_gpu: Annotated[int, Interval(ge=0, le=1024)] = 0
    dataset_enlarge_ratio: Annotated[float, Interval(gt=0, le=1_000_000)] = 1
    pin_memory: bool | None = None
    prefetch_mode: str | None = None
    num_prefetch_queue: int | None = None
    persistent_workers: bool | None = None


LOADER_KEYS = tuple(each.name for each in fields(LoaderOptions))


# Keys of a dataset block that name a file; those that begin with `dataroot` name a folder.
FILE_KEYS = ('meta_info_file', 'meta_info_range', 'manifest', 'labels')


def paths_in(block: Mapping[str, Any]) -> Iterator[tuple[str, Literal['folder', 'file'], str]]:
    """The paths that a dataset block itself names: key, what it names, path."""
    for key, value in block.items():
        for path in _as_list(value):
            if str(key).startswith('dataroot') and path is not None:
                yield key, 'folder', str(path)
            elif key in FILE_KEYS and path is not None:
                yield key, 'file', str(path)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def expand_home(block: dict[str, Any]) -> None:
    """Replace ~ in the paths of a dataset block and of the blocks inside it, in place."""
    for own, _ in walk_blocks(block, ''):
        for key in {key for key, _, _ in paths_in(own)}:
            paths = own[key]
            expanded = [expanduser(path) if isinstance(path, str) else path for path in _as_list(paths)]
            own[key] = expanded if isinstance(paths, list) else expanded[0]


def inner_blocks(opt: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The blocks of the datasets inside with what they inherit, by their paths: `dataset`, or `datasets.<group>`.

    Raises:
        OptionError: one is missing or holds loader keys, which have to stand at the outermost level.
    """
    inherited = {key: opt[key] for key in INHERITED_KEYS if key in opt}
    if not isinstance(opt.get('datasets'), Mapping):
        return {'dataset': {**inherited, **_checked_block(opt.get('dataset'), f'{where}.dataset')}}
    blocks = {}
    for group, block in opt['datasets'].items():
        named = {'name': f'{opt["name"]}.{group}'} if 'name' in opt else {}
        blocks[f'datasets.{group}'] = {**inherited, **named, **_checked_block(block, f'{where}.datasets.{group}')}
    return blocks


def _checked_block(block: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(block, Mapping) or 'type' not in block:
        raise OptionError(where, 'a dataset block with a type', shown(block), 'Add it.')
    misplaced = [key for key in LOADER_KEYS if key in block]
    if misplaced:
        raise OptionError(
            f'{where}.{misplaced[0]}',
            'only keys of the dataset',
            'one that the loader reads',
            'Move it to the outermost level.',
        )
    return block


def walk_blocks(block: dict[str, Any], where: str) -> Iterator[tuple[dict[str, Any], str]]:
    """A dataset block and all blocks inside it, each with its path."""
    yield block, where
    groups = block.get('datasets')
    inside = {f'datasets.{group}': inner for group, inner in groups.items()} if isinstance(groups, dict) else {}
    for path, inner in {**inside, 'dataset': block.get('dataset')}.items():
        if isinstance(inner, dict):
            yield from walk_blocks(inner, f'{where}.{path}')


def stacks_inputs(block: Mapping[str, Any]) -> bool:
    """Whether the input of a block that names files is put together from those of several folders."""
    roots = block.get('dataroot_lq')
    return isinstance(roots, list) and len(roots) > 1


def reader_blocks(block: dict[str, Any], where: str) -> list[tuple[dict[str, Any], str]]:
    """Those of the blocks that name files."""
    return [found for found in walk_blocks(block, where) if not {'dataset', 'datasets'} & set(found[0])]
