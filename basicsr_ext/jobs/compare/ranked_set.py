"""Parts of a ranking: random, by influence, chosen together, by complexity, rising from epoch to epoch."""

from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_complexity import by_complexity
from basicsr_ext.jobs.compare.by_patches import scanned
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.jobs.compare.sets import PARTS, Row, comparison_set
from basicsr_ext.selection.complexity.criteria import CRITERIA
from basicsr_ext.selection.coreset.orders import ORDERS
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.influence.settings import RankSettings

TOGETHER = [name for name in ORDERS if name not in ('random', 'influence', 'matching')]
GUARDS = ('none', 'norm', 'curvature')  # of matching
MEASURES = [*CRITERIA, 'scorer']
COMPLEXITY = {'complexity': 'entropy', **{f'complexity.{name}': name for name in MEASURES}}
QUICK = {'iterations': 12, 'curvature_images': 24}  # as the gains in scripts/reproduce were measured
DYNAMIC = {'dynamic': 'entropy', **{f'dynamic.{name}': name for name in MEASURES}}


def part_of(frame: Frame, manifest: str, size: Size, **keys: object) -> Block:
    """The block that reads a part of a ranking of the pool."""
    block = {'name': frame.pool['name'], 'type': 'InfluenceSubsetDataset', 'manifest': manifest}
    return {**block, **keys, 'size': size.of(len(frame.items)), 'dataset': frame.pool}


@comparison_set('random', counts_patches=True)
def random(frame: Frame, name: SetName, size: Size) -> Row:
    """Other images, or patches, for each seed."""
    if size.patches is not None:
        drawn = [scanned(frame, name, size, 'random', seed) for seed in range(frame.asked.seeds)]
        return Row(name, size, lambda seed: drawn[seed][0], [folder.name for _, folder in drawn])
    return Row(name, size, lambda seed: part_of(frame, str(frame.draw(seed)), size, subset='top'))


@comparison_set('influence', parts=PARTS)
def influence(frame: Frame, name: SetName, size: Size) -> Row:
    """A part of the ranking by influence on the target."""
    job = Choosing(
        'rank', 'influence', 'influence', {'method': 'influence', 'precision': frame.precision, **QUICK}, RankSettings
    )
    folder = frame.job(job, {'train': frame.pool, 'test': frame.target(name)}, network=True)
    block = part_of(frame, str(folder / 'ranking.parquet'), size, subset=name.part or 'top')
    return Row(name, size, lambda seed: block, [folder.name])


@comparison_set('matching', parts=GUARDS)
@comparison_set(*TOGETHER)
def together(frame: Frame, name: SetName, size: Size) -> Row:
    """Images that are chosen together; `matching:norm` with a guard."""
    settings = {
        'method': name.kind,
        'size': size.of(len(frame.items)),
        'halves': False,
        'precision': frame.precision,
        **QUICK,
        **({'guard': name.part} if name.part else {}),
    }
    job = Choosing('rank', name.kind, f'{name.choice} {size}', settings, CoresetSettings)
    folder = frame.job(job, {'train': frame.pool, 'test': frame.target(name)}, network=True)
    block = part_of(frame, str(folder / 'ranking.parquet'), size, subset='top')
    return Row(name, size, lambda seed: block, [folder.name])


@comparison_set(*COMPLEXITY, parts=PARTS)
def complexity(frame: Frame, name: SetName, size: Size) -> Row:
    """A part of the ranking by complexity."""
    folder = by_complexity(frame, COMPLEXITY[name.kind])
    block = part_of(frame, str(folder / 'ranking.parquet'), size, subset=name.part or 'top')
    return Row(name, size, lambda seed: block, [folder.name])


@comparison_set(*DYNAMIC, parts=('rising', 'random'))
def dynamic(frame: Frame, name: SetName, size: Size) -> Row:
    """Images of rising complexity, others in each epoch; with `dynamic:random` random ones, others in each epoch."""
    if name.part == 'random':
        block = part_of(frame, str(frame.draw(0)), size, type='DynamicSubsetDataset', order='random')
        return Row(name, size, lambda seed: block)
    folder = by_complexity(frame, DYNAMIC[name.kind])
    block = part_of(frame, str(folder / 'ranking.parquet'), size, type='DynamicSubsetDataset')
    return Row(name, size, lambda seed: block, [folder.name])
