"""Parts of the patches of all images, from which several kinds of choices are made."""

from pathlib import Path

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.selection.patches.criteria import PatchGrid
from basicsr_ext.selection.patches.settings import OF_NETWORKS, MineSettings

PATCH = 48  # pixels, where the training file names no size


def scanned(frame: Frame, name: SetName, size: Size, criterion: str, seed: int = 0) -> tuple[Block, Path]:
    """The block that reads the patches where a criterion is largest, and the folder of their scan, which is planned.

    Raises:
        OptionError: more patches than there are.
    """
    side = frame.gt_size or PATCH
    settings = {'criteria': [criterion], 'patch_size': side, 'stride': max(1, side // 2)}
    _refuse_more(frame, size, {**settings, **frame.asked.choosing.get('mined', {})})
    datasets = {'train': frame.pool, **({'test': frame.target(name)} if criterion == 'influence' else {})}
    title = f'mined {criterion}' + (f' seed{seed}' if seed else '')
    job = Choosing('mine', 'mined', title, settings, MineSettings)
    folder = frame.job(job, datasets, network=criterion in OF_NETWORKS, seed=seed)
    block = {
        'name': frame.pool['name'],
        'type': 'MinedPatchDataset',
        'manifest': str(folder / 'patches.parquet'),
        'criterion': criterion,
        'keep': size.patches or size.share_of(len(frame.items)),
        'dataset': frame.pool,
    }
    return block, folder


def _refuse_more(frame: Frame, size: Size, settings: Block) -> None:
    """Demand that there are as many patches."""
    side, stride, edge = settings['patch_size'], settings['stride'], settings.get('edge', False)
    if size.patches is None or not all(isinstance(each, int) and each > 0 for each in (side, stride)):
        return  # what the settings may hold is said later
    there = sum(len(PatchGrid(item.height, item.width, side, stride, bool(edge))) for item in frame.items)
    if size.patches > there:
        raise OptionError(
            f'--sizes {size}', f'at most the {there} of side {side} at stride {stride}', size.patches, 'Lower it.'
        )
