"""All images: as they are, without those that an audit suspects, or after a warm-up."""

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.frame import WARMUP, Choosing, Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set
from basicsr_ext.options.load import number
from basicsr_ext.selection.audit.settings import AuditSettings


@comparison_set('full', is_sized=False)
def full(frame: Frame, name: SetName, size: Size) -> Row:
    """The training set as the option file has it."""
    return Row(name, size, lambda seed: frame.pool)


@comparison_set('fit', is_sized=False)
def fit(frame: Frame, name: SetName, size: Size) -> Row:
    """All images but those that an audit suspects."""
    folder = frame.job(Choosing('audit', 'fit', 'audit', {}, AuditSettings), {'train': frame.pool})
    block = {'name': frame.pool['name'], 'type': 'FitImagesDataset', 'exclude': str(folder / 'audit.parquet')}
    return Row(name, size, lambda seed: {**block, 'dataset': frame.pool}, [folder.name])


@comparison_set('warmup', is_sized=False, parts=())
def warmup(frame: Frame, name: SetName, size: Size) -> Row:
    """All images, whose pixels are shuffled in a first share of the training: `warmup:0.05`."""
    if frame.wrapper:
        raise OptionError(f'--sets {name}', 'a training file without a warm-up', frame.wrapper['type'], 'Remove one.')
    share = _share(name)
    block = {'name': frame.pool['name'], 'type': WARMUP, 'stop': {'fraction': share}, 'dataset': frame.pool}
    return Row(name, size, lambda seed: block)


def _share(name: SetName) -> float:
    try:
        share = number(name.part or '0.05')
    except ValueError:
        share = -1
    if not 0 < share <= 1:
        raise OptionError(f'--sets {name}', 'a share up to 1, as warmup:0.05', shown(name.part), 'Correct it.')
    return share
