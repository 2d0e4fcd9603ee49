"""What the files of a folder say of its images, none of which is decoded."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from os.path import join, splitext

from basicsr_ext.errors import DataError, ImageError, first_few
from basicsr_ext.images.decoding import IMAGE_SUFFIXES, read_image
from basicsr_ext.images.headers import open_header, tiff_tags
from basicsr_ext.images.jpeg import has_end, is_jpeg
from basicsr_ext.images.listing import not_in_utf8, walk_images
from basicsr_ext.images.names import twins
from basicsr_ext.runtime.files import digest_of_bytes

GREY = ('1', 'L', 'LA', 'La', 'I', 'I;16', 'I;16B', 'I;16L', 'F')  # modes of Pillow
PNG = b'\x89PNG'
BIT_DEPTH = 24  # the byte of a PNG


@dataclass(frozen=True)
class Photo:
    """An image file.

    Attributes:
        path: below its folder, with `/`.
        height, width: in pixels, as they are stored.
        is_grey: whether it has no colours, by its header.
        bits: of a sample.
        kind: its format.
        digest: of its content.
    """

    path: str
    height: int
    width: int
    is_grey: bool
    bits: int
    kind: str
    digest: str

    @property
    def side(self) -> int:
        """The shorter one."""
        return min(self.height, self.width)


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    Attributes:
        root: the folder.
        photos: those that can be used, in the order of their paths.
        unfit: path of each other one -> why.
    """

    root: str
    photos: Sequence[Photo]
    unfit: Mapping[str, str]

    def without(self, unfit: Mapping[str, str]) -> 'Folder':
        """The same folder where further images cannot be used."""
        kept = [photo for photo in self.photos if photo.path not in unfit]
        return Folder(self.root, kept, {**self.unfit, **unfit})

    def told(self) -> Iterator[str]:
        """What was found, in lines."""
        photos = self.photos
        sides = sorted(photo.side for photo in photos)
        kinds = ', '.join(f'{number} {kind}' for kind, number in Counter(photo.kind for photo in photos).most_common())
        grey, deep = sum(photo.is_grey for photo in photos), sum(photo.bits > 8 for photo in photos)
        colours = (
            'grey' if grey == len(photos) else 'colour' if not grey else f'{grey} grey, {len(photos) - grey} colour'
        )
        folders = len({photo.path.rpartition('/')[0] for photo in photos})
        extent = f'shorter side {sides[0]} to {sides[-1]} pixels, median {sides[len(sides) // 2]}' if sides else ''
        below = f' in {folders} folders' if folders > 1 else ''
        yield f'{self.root}: {len(photos)} images{below}: {kinds}; {colours}; {extent}.'
        if deep:
            yield f'  {deep} of more than 8 bits, which are read as 8 bits.'
        if self.unfit:
            named = [f'{path} ({why})' for path, why in self.unfit.items()]
            yield f'  {len(named)} left out: {first_few(named)}.'


def look(root: str, where: str) -> Folder:
    """Look at the images of a folder and of those below it.

    Args:
        root: the folder.
        where: named in errors.

    Raises:
        DataError: it holds no image that can be used.
    """
    names, others = walk_images(root, where)
    unfit = {ascii(name): 'a name that is not UTF-8' for name in names if not_in_utf8([name])}
    unfit.update({name: 'a name that no list can hold' for name in names if name.strip() != name or _breaks(name)})
    names = [name for name in names if name not in unfit and ascii(name) not in unfit]
    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(pool.map(lambda name: _photo(root, name), names))
    unfit.update({name: each for name, each in zip(names, found, strict=True) if isinstance(each, str)})
    unfit.update({name: 'no image by its ending' for name in others if splitext(name)[1]})
    photos = [photo for photo in found if isinstance(photo, Photo)]
    stems = [splitext(photo.path)[0] for photo in photos]
    alike = set(twins(stems, [photo.path for photo in photos]))
    first = {stem: photo.path for stem, photo in zip(reversed(stems), reversed(photos), strict=True)}
    repeated = {path: f'{first[splitext(path)[0]]} has its name' for path in alike - set(first.values())}
    folder = Folder(root, photos, unfit).without(dict(sorted(repeated.items())))
    if not folder.photos:
        named = [f'{path} ({why})' for path, why in folder.unfit.items()]
        raise DataError(
            where, f'images ({" ".join(IMAGE_SUFFIXES)})', f'none in {root}: {first_few(named)}', 'Name another folder.'
        )
    return folder


def _breaks(name: str) -> bool:
    return len(name.splitlines()) > 1


def _photo(root: str, name: str) -> Photo | str:
    """What the header of a file says, or why it cannot be used."""
    path = join(root, name)
    try:
        content = read_image('', path)
    except ImageError as error:
        return error.got
    try:
        with open_header(path) as image:
            height, width, mode, kind = image.height, image.width, image.mode, str(image.format)
    except (OSError, SyntaxError, ValueError):
        return 'damaged, or no image'
    is_cut = not has_end(content) if is_jpeg(content) else content.startswith(PNG) and b'IEND' not in content
    if is_cut:
        return 'it ends early'
    tags = tiff_tags(content)
    if tags is not None and (tags.is_float or tags.bits > 16):
        return f'{"float" if tags.is_float else tags.bits} pixels'
    bits = tags.bits if tags is not None else content[BIT_DEPTH] if content.startswith(PNG) else 8
    return Photo(name, height, width, mode in GREY, bits, kind, digest_of_bytes(content))


def too_small(photos: Iterable[Photo], side: int) -> dict[str, str]:
    """Path -> why, of the images with a side below a number of pixels."""
    return {photo.path: f'{photo.height} x {photo.width}, below {side}' for photo in photos if photo.side < side}
