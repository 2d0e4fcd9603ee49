"""Which files are restored, and where to: refused before work starts where it could not go well."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from basicsr.utils import get_root_logger

from basicsr_ext.errors import DataError, OptionError, first_few, refuse_if_any, shown
from basicsr_ext.images.decoding import IMAGE_SUFFIXES
from basicsr_ext.images.file_io import SUFFIXES
from basicsr_ext.images.listing import natural, not_in_utf8, walk_images
from basicsr_ext.jobs.restore.video import VIDEO_INPUTS, VIDEO_OUTPUTS


@dataclass(frozen=True)
class Work:
    """A file to restore.

    Attributes:
        name: below the folder of the results, with `/`.
        source, target: the files.
        truth: ground truth, or None.
    """

    name: str
    source: str
    target: str
    truth: str | None = None

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return Path(self.source).suffix.lower() in VIDEO_INPUTS


def plan(source: Path, output: Path, ending: str | None) -> list[Work]:
    """The files below a folder in natural order, or the one that is named.

    Args:
        source: a folder, an image or a video.
        output: a folder for a folder, else a file.
        ending: of the results instead of that of each file, without dot; for folders.

    Raises:
        OptionError: source and output do not fit together.
        DataError: there are no images, or two would give one result.
    """
    if source.is_dir():
        return _folder(source, output, ending)
    if not source.is_file():
        raise OptionError('IN', 'a file or a folder', f'{shown(str(source))}, which is not there', 'Correct the path.')
    if ending is not None:
        raise OptionError(
            '--format', 'a folder IN', shown(str(source)), 'Remove it; OUT names the format by its ending.'
        )
    if output.is_dir():
        raise OptionError(f'-o {output}', 'the name of a file for a file', 'a folder', 'Add the name.')
    work = Work(output.name, str(source), str(output))
    kinds, expected = (VIDEO_OUTPUTS, 'a video') if work.is_video else (SUFFIXES, 'an image')
    known = (*VIDEO_INPUTS, *IMAGE_SUFFIXES)
    if source.suffix.lower() not in known:
        raise OptionError('IN', f'one of the endings {" ".join(known)}', shown(source.suffix), 'Convert the file.')
    if output.suffix.lower() not in kinds:
        raise OptionError(
            f'-o {output}', f'an ending of {expected}: {" ".join(kinds)}', shown(output.suffix), 'Correct the name.'
        )
    _refuse_same([work], [str(source)])
    return [work]


def _folder(source: Path, output: Path, ending: str | None) -> list[Work]:
    if output.is_file():
        raise OptionError(f'-o {output}', 'a folder for a folder', 'a file', 'Name another.')
    inside, outside = Path(os.path.realpath(output)), Path(os.path.realpath(source))
    if inside == outside or outside in inside.parents:
        raise OptionError(f'-o {output}', 'a folder outside IN', f'one that is or lies in {source}', 'Name another.')
    names, others = walk_images(str(source), 'IN')
    refuse_if_any(not_in_utf8(names), 'names of files in UTF-8', 'Rename the files.', 'IN')
    if others:
        get_root_logger().warning(f'IN: {len(others)} files that are no images are left out: {first_few(others)}.')
    if not names:
        raise DataError('IN', f'images ({" ".join(IMAGE_SUFFIXES)})', f'none in {source}', 'Correct the path.')
    works = []
    for name in sorted(names, key=natural):
        result = name if ending is None else f'{os.path.splitext(name)[0]}.{ending}'
        works.append(Work(result, str(source / name), str(output / result)))
    _refuse_twins(works)
    _refuse_same(works, [work.source for work in works])
    return works


def _refuse_twins(works: Sequence[Work]) -> None:
    sources = defaultdict(list)
    for work in works:
        sources[work.name].append(work.source)
    twins = [f'{" and ".join(found)} would be {name}' for name, found in sources.items() if len(found) > 1]
    refuse_if_any(twins, 'a result of its own for each image', 'Rename the images, or leave --format out.', 'IN')


def _refuse_same(works: Sequence[Work], kept: Sequence[str]) -> None:
    """Refuse results that would replace what is read, also by way of links."""
    read = {os.path.realpath(path) for path in kept}
    same = [work.target for work in works if os.path.realpath(work.target) in read]
    refuse_if_any(same, 'results beside what is read', 'Name another OUT.', '-o')


def remove_unfinished(works: Sequence[Work]) -> None:
    """Remove what killed processes have left of these results; no other one may work on them now."""
    names = {work.target for work in works}
    for folder in {Path(name).parent for name in names}:
        for path in folder.glob('.*.tmp'):
            match = re.fullmatch(r'\.(.+)\.\d+\.tmp', path.name)
            if match and str(folder / match[1]) in names:
                path.unlink(missing_ok=True)


def with_truth(works: Sequence[Work], truth: Path, source: Path) -> list[Work]:
    """The files with their ground truth, which has the same name but for the ending.

    Args:
        works: the files.
        truth: a folder for a folder, a file for a file.
        source: what they come from.

    Raises:
        OptionError: a folder for a file or the reverse, or a video.
        DataError: images without ground truth, or with more than one.
    """
    if any(work.is_video for work in works):
        raise OptionError('--compare', 'images', 'a video', 'Remove it.')
    if truth.is_dir() != source.is_dir() or not truth.exists():
        kind = 'folder' if source.is_dir() else 'file'
        raise OptionError('--compare', f'a {kind}, as IN is', shown(str(truth)), 'Correct the path.')
    if truth.is_file():
        paired = [Work(work.name, work.source, work.target, str(truth)) for work in works]
    else:
        paired = _pairs(works, truth, source)
    _refuse_same(paired, [str(work.truth) for work in paired])
    return paired


def _pairs(works: Sequence[Work], truth: Path, source: Path) -> list[Work]:
    found = defaultdict(list)
    for name in walk_images(str(truth), '--compare')[0]:
        found[os.path.splitext(name)[0]].append(str(truth / name))
    partners = [found[os.path.splitext(os.path.relpath(work.source, source).replace(os.sep, '/'))[0]] for work in works]
    lonely = [work.source for work, partner in zip(works, partners, strict=True) if not partner]
    refuse_if_any(lonely, f'an image in {truth} for each in {source}', 'Add or remove images.', '--compare')
    several = [' and '.join(partner) for partner in partners if len(partner) > 1]
    refuse_if_any(several, 'one image of each name', 'Remove all but one.', '--compare')
    return [Work(work.name, work.source, work.target, one) for work, (one,) in zip(works, partners, strict=True)]
