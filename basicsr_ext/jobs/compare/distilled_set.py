"""A distilled dataset."""

from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_complexity import by_complexity
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set

IMAGE = 64  # side of a synthetic image in pixels, where the training file names no size of patches


@comparison_set('distilled')
def distilled(frame: Frame, name: SetName, size: Size) -> Row:
    """Half of the images are the most complex ones, half are synthetic."""
    pool = frame.pool
    if 'dataset' in pool or 'datasets' in pool or not isinstance(pool.get('dataroot_gt'), str):
        raise OptionError(f'--sets {name}', 'a training set that reads one folder', pool['type'], 'Leave it out.')
    ranking = by_complexity(frame)
    settings = {
        'size': size.of(len(frame.items)),
        'kept': 0.5,
        'manifest': str(ranking / 'ranking.parquet'),
        'image_size': frame.gt_size or IMAGE,
    }
    job = Choosing('distill', 'distilled', f'distilled {size}', settings, DistillSettings)
    folder = frame.job(job, {'train': pool}, network=True, needs=[ranking.name])
    block = {key: value for key, value in pool.items() if key not in ('meta_info_file', 'filename_tmpl', 'gt_until')}
    block['dataroot_gt'] = str(folder / 'gt')
    if 'dataroot_lq' in block:
        block['dataroot_lq'] = str(folder / 'lq')
    return Row(name, size, lambda seed: {**block, 'io_backend': {'type': 'disk'}}, [folder.name])
