"""What the job `rank` asks of a method, and the methods that there are.

A method is a subclass of `Ranking` in a module of its own, `<name>_method.py` beside this one or anywhere else that is
imported before the option file is read, under `@ranking_method('name')`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from basicsr_ext.errors import OptionError, shown
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.options.load import Options
from basicsr_ext.selection.manifest import Item

Columns = Mapping[str, Sequence[float] | Sequence[int]]
R = TypeVar('R', bound='type[Ranking]')


class Ranking(ABC):
    """The images of a dataset and the scores that a method gives them.

    Args:
        opt: completed and checked options.
        settings: the block `rank`.

    Attributes:
        file: what the option file holds with this method.
        items: the images in the order of the dataset.
    """

    file: ClassVar[JobFile[Any]]
    items: Sequence[Item]

    @abstractmethod
    def __init__(self, opt: Options, settings: Any) -> None: ...

    @abstractmethod
    def check(self, decode: bool) -> None:
        """Look at files, and try networks on the first images.

        Args:
            decode: decode every image.

        Raises:
            DataError, OptionError: files that cannot be used, a network that does not fit them.
        """

    @abstractmethod
    def identity(self, items: Sequence[Item]) -> dict[str, Any]:
        """All that decides the scores, as JSON values.

        Args:
            items: the images with their groups.
        """

    @abstractmethod
    def columns(self, folder: Path) -> tuple[Columns, dict[str, Any]]:
        """The scores and ranks of all images, and what else the header of the manifest tells.

        Args:
            folder: for the state of unfinished work.

        Raises:
            Interrupted: a stop was asked for; the state is saved.
        """

    def write_beside(self, folder: Path, identity: Mapping[str, Any]) -> None:  # noqa: B027  most write nothing
        """Write further files into the folder of the result, before the ranking itself.

        Args:
            folder: of the result.
            identity: how it was made, for their headers.
        """


METHODS: dict[str, type[Ranking]] = {}


def ranking_method(*names: str) -> Callable[[R], R]:
    """Register a class under the values of `rank.method` that it serves."""

    def enter(kind: R) -> R:
        METHODS.update(dict.fromkeys(names, kind))
        return kind

    return enter


def method_of(opt: Options) -> type[Ranking]:
    """The method that the block `rank` of an option file asks for, which says how the rest of it is read.

    Raises:
        OptionError: there is no such method.
    """
    block = opt.get('rank')
    if block is None:
        raise OptionError('rank', 'a value', 'none', 'Add it.')
    method = block.get('method', 'influence') if isinstance(block, dict) else 'influence'
    if not isinstance(method, str) or method not in METHODS:
        raise OptionError('rank.method', ' or '.join(METHODS), shown(method), 'Correct the value.')
    return METHODS[method]
