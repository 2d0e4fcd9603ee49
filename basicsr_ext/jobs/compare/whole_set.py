"""All images: as they are, without those that an audit suspects, or after a warm-up."""

from copy import deepcopy

from basicsr_ext.errors import OptionError, shown, under
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.frame import Choosing, Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set
from basicsr_ext.jobs.compare.training_file import WARMUP
from basicsr_ext.options.load import number
from basicsr_ext.selection.audit.settings import AuditSettings
from basicsr_ext.training.building import build_dataset


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
    """All images, whose pixels are shuffled in a first share of the training: `warmup:0.05`; `warmup:0.05:4` shuffles
    blocks of 4 x 4."""
    if frame.file.wrapper:
        raise OptionError(f'--sets {name}', 'a training file without a warm-up', WARMUP, 'Remove one.')
    share, side = _share_and_side(name)
    block = {'name': frame.pool['name'], 'type': WARMUP, 'stop': {'fraction': share}, 'dataset': frame.pool}
    if side > 1:
        block['block'] = side
        with under(f'--sets {name}: '):
            build_dataset({**deepcopy(block), 'phase': 'train'}, 'dataset')  # which says what blocks do not fit
    return Row(name, size, lambda seed: block)


def _share_and_side(name: SetName) -> tuple[float, int]:
    share_text, _, side_text = (name.part or '0.05').partition(':')
    try:
        share, side = number(share_text), int(side_text or '1')
    except ValueError:
        share, side = -1, 0
    if not 0 < share <= 1 or side < 1:
        raise OptionError(
            f'--sets {name}',
            'a share up to 1, as warmup:0.05, or with blocks warmup:0.05:4',
            shown(name.part),
            'Correct it.',
        )
    return share, side
