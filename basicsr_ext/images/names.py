"""Names of images: which are alike, and those of a result, without folders."""

from collections import Counter
from collections.abc import Sequence

from basicsr_ext.errors import refuse_if_any


def twins(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """The paths of the images whose name another one has too.

    Args:
        names: of the images.
        paths: of the same images.
    """
    times = Counter(names)
    return [path for name, path in zip(names, paths, strict=True) if times[name] > 1]


def flat_name(name: str) -> str:
    """The name of an image without folders, in which BasicSR looks for no LQ, and without blanks, which end a name."""
    return '_'.join(name.replace('/', ' ').split())


def flat_names(names: Sequence[str], paths: Sequence[str], where: str) -> list[str]:
    """The `flat_name` of each image.

    Args:
        names: of the images.
        paths: of the same images, named in errors.
        where: the dataset, named in errors.

    Raises:
        DataError: images that would get one name, or become hidden.
    """
    flat = [flat_name(name) for name in names]
    refuse_if_any(twins(flat, paths), 'names that differ where / and blanks become _', 'Rename the images.', where)
    hidden = [path for name, path in zip(flat, paths, strict=True) if name.startswith('.')]
    refuse_if_any(hidden, 'images that are not hidden', 'Rename them.', where)
    return flat
