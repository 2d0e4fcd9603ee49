"""The ranking by complexity, from which several kinds of choices start."""

from pathlib import Path

from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.selection.complexity.settings import ComplexitySettings

SCORER: dict[str, Block] = {
    'network_scorer': {'type': 'ComplexityScorer', 'backbone': 'test_resnet', 'input_size': 128},
    'path': {'pretrain_network_scorer': 'pkg://basicsr_ext/weights/ComplexityScorer_test_resnet.pth'},
}  # the one that comes with the package; `--choosing complexity.network_scorer...` names others


def by_complexity(frame: Frame, criterion: str = 'entropy') -> Path:
    """The folder of the ranking, which is planned."""
    settings = {'method': 'complexity', 'criterion': criterion}
    beside = SCORER if criterion == 'scorer' else {}
    job = Choosing('rank', 'complexity', f'complexity {criterion}', settings, ComplexitySettings, beside)
    return frame.job(job, {'train': frame.pool})
