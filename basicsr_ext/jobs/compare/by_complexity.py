"""The ranking by complexity, from which several kinds of choices start."""

from pathlib import Path

from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.selection.complexity.settings import ComplexitySettings


def by_complexity(frame: Frame, criterion: str = 'entropy') -> Path:
    """The folder of the ranking, which is planned."""
    settings = {'method': 'complexity', 'criterion': criterion}
    job = Choosing('rank', 'complexity', f'complexity {criterion}', settings, ComplexitySettings)
    return frame.job(job, {'train': frame.pool})
