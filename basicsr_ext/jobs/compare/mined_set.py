"""The informative part of the patches of all images."""

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set
from basicsr_ext.selection.patches.criteria import CRITERIA
from basicsr_ext.selection.patches.settings import OF_NETWORKS, MineSettings

PATCH = 48  # pixels, where the training file names no size


@comparison_set('mined', parts=())
def mined(frame: Frame, name: SetName, size: Size) -> Row:
    """The patches where a criterion is largest: `mined:grad`; the share of patches is that of images elsewhere."""
    criterion, side = name.part or 'grad', frame.gt_size or PATCH
    known = [*CRITERIA, *OF_NETWORKS, 'random']
    if criterion not in known:
        raise OptionError(f'--sets {name}', 'a criterion of patches', shown(criterion), nearest(criterion, known))
    settings = {'criteria': [criterion], 'patch_size': side, 'stride': max(1, side // 2)}
    datasets = {'train': frame.pool, **({'test': frame.target(name)} if criterion == 'influence' else {})}
    job = Choosing('mine', 'mined', f'mined {criterion}', settings, MineSettings)
    folder = frame.job(job, datasets, network=criterion in OF_NETWORKS)
    block = {
        'name': frame.pool['name'],
        'type': 'MinedPatchDataset',
        'manifest': str(folder / 'patches.parquet'),
        'criterion': criterion,
        'keep': size.share_of(len(frame.items)),
        'dataset': frame.pool,
    }
    return Row(name, size, lambda seed: block, [folder.name])
