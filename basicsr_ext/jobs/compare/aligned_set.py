"""A choice of images that are then brought to the distribution of all images."""

from basicsr_ext.alignment.settings import AlignSettings
from basicsr_ext.data.read_item import read_item
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_complexity import by_complexity
from basicsr_ext.jobs.compare.by_distilling import IMAGE, by_distilling
from basicsr_ext.jobs.compare.by_folder import require_folder, written
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.ranked_set import part_of
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.jobs.compare.sets import Row, comparison_set

TUNER = {'type': 'DistributionTuner', 'width': 64, 'depth': 8, 'bound': 8 / 255}  # as in options/align


@comparison_set('aligned', parts=('complexity', 'distilled'))
def aligned(frame: Frame, name: SetName, size: Size) -> Row:
    """The most complex images, or with `aligned:distilled` distilled ones, changed a little by a tuner."""
    require_folder(frame.pool, name)
    settings: Block = {}
    if name.part == 'distilled':
        chosen = by_distilling(frame, size)
        subset = written(frame.base.pool, chosen)
        synthetic = frame.asked.choosing.get('distilled', {}).get('image_size', frame.gt_size or IMAGE)
        settings = {'patch_size': min(int(synthetic), AlignSettings.patch_size or IMAGE)}  # a crop fits into all images
    else:
        chosen = by_complexity(frame)
        subset = part_of(frame.base, str(chosen / 'ranking.parquet'), size, subset='top')
    channels = len(read_item(frame.built(frame.base.pool), 0)['gt'])
    beside: dict[str, Block] = {
        'network_tuner': {**TUNER, 'in_channels': channels},
        'network_encoder': {'type': 'FilterBankEncoder'},
    }
    job = Choosing('align', 'aligned', f'{name.choice} {size}', settings, AlignSettings, beside)
    datasets = {'train': subset, 'target': frame.pool}
    folder = frame.job(job, datasets, needs=[chosen.name], reads=[frame.base.pool])
    block = written(frame.pool, folder)
    return Row(name, size, lambda seed: block, [folder.name])
