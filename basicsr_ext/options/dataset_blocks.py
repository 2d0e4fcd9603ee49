"""Dataset blocks inside dataset blocks, as text: what they inherit, which of them name files."""

from collections.abc import Iterator, Mapping
from typing import Any

from basicsr_ext.errors import OptionError

# Keys of a dataset block that the loader reads, not the dataset.
LOADER_KEYS = (
    'num_worker_per_gpu',
    'batch_size_per_gpu',
    'dataset_enlarge_ratio',
    'prefetch_mode',
    'num_prefetch_queue',
    'pin_memory',
    'persistent_workers',
)


INHERITED_KEYS = ('name', 'phase', 'scale')


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
        raise OptionError(f'{where}: expected a dataset block with a type, got {block!r}. Add it.')
    misplaced = [key for key in LOADER_KEYS if key in block]
    if misplaced:
        raise OptionError(
            f'{where}.{misplaced[0]}: expected only keys of the dataset, got one that the loader reads. '
            'Move it to the outermost level.'
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


def reader_blocks(block: dict[str, Any], where: str) -> list[tuple[dict[str, Any], str]]:
    """Those of the blocks that name files."""
    return [found for found in walk_blocks(block, where) if not {'dataset', 'datasets'} & set(found[0])]
