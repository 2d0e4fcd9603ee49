"""The informative part of the patches of all images."""

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.by_patches import scanned
from basicsr_ext.jobs.compare.frame import Frame
from basicsr_ext.jobs.compare.sets import Row, comparison_set
from basicsr_ext.selection.patches.criteria import CRITERIA
from basicsr_ext.selection.patches.settings import OF_NETWORKS


@comparison_set('mined', parts=(), counts_patches=True)
def mined(frame: Frame, name: SetName, size: Size) -> Row:
    """The patches where a criterion is largest: `mined:grad`; the share of patches is that of images elsewhere."""
    criterion = name.part or 'grad'
    known = [*CRITERIA, *OF_NETWORKS, 'random']
    if criterion not in known:
        raise OptionError(f'--sets {name}', 'a criterion of patches', shown(criterion), nearest(criterion, known))
    block, folder = scanned(frame, name, size, criterion)
    return Row(name, size, lambda seed: block, [folder.name])
