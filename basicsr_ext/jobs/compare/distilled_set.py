"""A distilled dataset."""

from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_distilling import by_distilling
from basicsr_ext.jobs.compare.by_folder import require_folder, written
from basicsr_ext.jobs.compare.frame import Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set


@comparison_set('distilled')
def distilled(frame: Frame, name: SetName, size: Size) -> Row:
    """Half of the images are the most complex ones, half are synthetic."""
    require_folder(frame.pool, name)
    folder = by_distilling(frame, size)
    block = written(frame.pool, folder)
    return Row(name, size, lambda seed: block, [folder.name])
