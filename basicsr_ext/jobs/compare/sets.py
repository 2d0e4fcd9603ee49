"""The kinds of choices that can be compared, by name; each is a function in a module `<name>_set.py`."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from basicsr_ext.errors import OptionError, nearest, shown
from basicsr_ext.jobs.compare.asked import SetName, Size
from basicsr_ext.jobs.compare.frame import Frame
from basicsr_ext.jobs.compare.roles import Block

PARTS = ('top', 'mid', 'bottom')  # of a ranking


@dataclass(frozen=True)
class Row:
    """A choice, of one size.

    Attributes:
        set: its kind.
        size: how much of the images.
        block: seed -> the block that reads them.
        needs: the names of the tasks that choose.
    """

    set: SetName
    size: Size
    block: Callable[[int], Block]
    needs: Sequence[str] = ()

    @property
    def title(self) -> str:
        """As a table names it."""
        changes = () if self.set.label else self.set.changes
        return ', '.join([f'{self.set.label or self.set.choice} {self.size}'.strip(), *changes])


Maker = Callable[[Frame, SetName, Size], Row]


@dataclass(frozen=True)
class Kind:
    """A kind of choice.

    Attributes:
        make: the row of it.
        is_sized: whether it comes in sizes.
        parts: what may stand behind the colon, the usual one first; empty for anything.
        counts_patches: whether a size may be a number of patches.
    """

    make: Maker
    is_sized: bool
    parts: Sequence[str]
    counts_patches: bool = False

    def fits(self, size: Size) -> bool:
        """Whether it comes in this size."""
        return self.counts_patches or size.patches is None


KINDS: dict[str, Kind] = {}


def comparison_set(
    *names: str, is_sized: bool = True, parts: Sequence[str] = ('',), counts_patches: bool = False
) -> Callable[[Maker], Maker]:
    """Register a function under names that `--sets` can then have."""

    def enter(make: Maker) -> Maker:
        KINDS.update(dict.fromkeys(names, Kind(make, is_sized, parts, counts_patches)))
        return make

    return enter


def rows_of(frame: Frame, sets: Sequence[SetName], sizes: Sequence[Size]) -> list[Row]:
    """The rows that the command line asks for: those of all images, then size by size.

    Raises:
        OptionError: a set that is none, a size that there is not, or none for a set that has one; a change that is
            none.
    """
    kinds = {name: _kind_of(name) for name in sets}
    sized = {name: kind for name, kind in kinds.items() if kind.is_sized}
    if sized and not sizes and (set(sized) != {SetName('random')} or len(kinds) == 1):
        raise OptionError('--sizes', f'the sizes of {", ".join(map(str, sized))}', 'none', 'Add --sizes 5% 10%.')
    for size in sizes if sized else ():
        if size.patches is None and not 0 < size.of(len(frame.items)) < len(frame.items):
            raise OptionError(
                f'--sizes {size}',
                f'less than the {len(frame.items)} training images',
                size.of(len(frame.items)),
                'Lower it.',
            )
    for name, kind in sized.items():
        if sizes and not any(map(kind.fits, sizes)):
            raise OptionError(f'--sets {name}', 'a size in images', 'sizes in patches alone', 'Add --sizes 5%.')
    rows = [_row(frame, kind, name, Size()) for name, kind in kinds.items() if not kind.is_sized]
    rows += [_row(frame, kind, name, size) for size in sizes for name, kind in sized.items() if kind.fits(size)]
    twice = [title for title, number in Counter(row.title for row in rows).items() if number > 1]
    if twice:
        raise OptionError('--sets', 'a title of its own for each row', f'{shown(twice[0])} twice', 'Rename one.')
    _refuse_idle(frame)
    return rows


def _refuse_idle(frame: Frame) -> None:
    """Demand that every key of a job that chooses is of one that is done."""
    known = set().union(*(each.known_kinds for each in frame.frames))
    for each in frame.frames:
        added = [kind for kind, keys in each.asked.choosing.items() if keys != frame.asked.choosing.get(kind)]
        own, flag = (frame.asked.choosing, '--choosing') if each is frame else (added, '--sets: change')
        for kind in own:
            if kind not in (known if each is frame else each.known_kinds):
                raise OptionError(f'{flag} {kind}', 'a set that a job chooses', shown(kind), nearest(kind, known))


def _row(frame: Frame, kind: Kind, name: SetName, size: Size) -> Row:
    own = frame.of(name, [*KINDS, *frame.known_kinds])
    row = kind.make(own, name, size)
    if (kind.is_sized or row.needs) and own.pool != frame.pool and own.items != frame.items:
        raise OptionError(
            f'--sets {name}',
            'the images among which was chosen',
            'other training images',
            'Change them for all: --set.',
        )
    return row


def _kind_of(name: SetName) -> Kind:
    kind = KINDS.get(name.kind)
    if kind is None:
        raise OptionError(f'--sets {name}', 'a kind of choice', shown(name.kind), nearest(name.kind, KINDS))
    if kind.parts and name.part and name.part not in kind.parts:
        known = ', '.join(filter(None, kind.parts)) or 'nothing'
        raise OptionError(f'--sets {name}', f'{known} behind {name.kind}:', shown(name.part), 'Correct it.')
    return kind
