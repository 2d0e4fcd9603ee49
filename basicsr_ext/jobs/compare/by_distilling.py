"""The distilled images, from which several kinds of choices start."""

from pathlib import Path

from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.jobs.compare.asked import Size
from basicsr_ext.jobs.compare.by_complexity import by_complexity
from basicsr_ext.jobs.compare.frame import Choosing, Frame

IMAGE = 64  # side of a synthetic image in pixels, where the training file names no size of patches


def by_distilling(frame: Frame, size: Size) -> Path:
    """The folder of the images, half of them the most complex ones, half synthetic, which is planned."""
    ranking = by_complexity(frame)
    settings = {
        'size': size.of(len(frame.items)),
        'kept': 0.5,
        'manifest': str(ranking / 'ranking.parquet'),
        'image_size': frame.gt_size or IMAGE,
    }
    job = Choosing('distill', 'distilled', f'distilled {size}', settings, DistillSettings)
    return frame.job(job, {'train': frame.pool}, network=True, needs=[ranking.name])
