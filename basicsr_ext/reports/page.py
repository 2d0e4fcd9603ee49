"""A report as one HTML file: the answer, what was asked for, tables and pictures; nothing is loaded from elsewhere."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from basicsr_ext.errors import DataError
from basicsr_ext.runtime.figures import DPI
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = 'report.html'  # of the page of a folder of results
KINDS = {b'\x89PNG\r\n\x1a\n': 'image/png', b'\xff\xd8\xff': 'image/jpeg'}
NUMBER = re.compile(r'[-+−]?\d[\d.,]*(e[-+]?\d+)?( ?%| [A-Za-zµ]{1,3}| ± \d[\d.,]*)?')
NO_NUMBER = ('', '-')


@dataclass(frozen=True)
class Paragraph:
    """Some sentences.

    Attributes:
        text: plain; an empty line begins another paragraph.
    """

    kind: ClassVar[str] = 'paragraph'
    text: str


@dataclass(frozen=True)
class Table:
    """Rows below heads; columns of numbers are aligned at the right.

    Attributes:
        heads: of the columns.
        rows: of as many cells each.
        caption: what the table holds; '' for none.
        marked: number from 0 of a row that stands out.

    Raises:
        ValueError: a row of another length.
    """

    kind: ClassVar[str] = 'table'
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ''
    marked: int | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f'table: expected rows of {len(self.heads)} cells, got {list(row)}. Fill them up.')

    @property
    def classes(self) -> list[str]:
        """Of the cells of each column: `number` or ''."""
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in self.heads)
        return ['number' if _are_numbers(list(column)) else '' for column in columns]


def _are_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in NO_NUMBER]
    return bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled)


@dataclass(frozen=True)
class Picture:
    """A picture with a line below it.

    Attributes:
        png: the file, PNG or JPEG.
        text: what is seen.

    Raises:
        DataError: another file.
    """

    kind: ClassVar[str] = 'picture'
    png: bytes
    text: str

    def __post_init__(self) -> None:
        if not self.png.startswith(tuple(KINDS)):
            raise DataError(
                f'picture "{self.text}"', 'a PNG or JPEG file', f'{len(self.png)} other bytes', 'Give such a file.'
            )

    @property
    def source(self) -> str:
        """The whole file as a `data:` URL."""
        kind = next(kind for start, kind in KINDS.items() if self.png.startswith(start))
        return f'data:{kind};base64,{base64.b64encode(self.png).decode("ascii")}'


@dataclass(frozen=True)
class Links:
    """Files beside the page.

    Attributes:
        links: label -> path relative to the page.
    """

    kind: ClassVar[str] = 'links'
    links: Mapping[str, str]


Part = Paragraph | Table | Picture | Links


@dataclass(frozen=True)
class Section:
    """A part of the page below a heading.

    Attributes:
        title: the heading.
        parts: from top to bottom; pictures that are small enough stand side by side.
    """

    title: str
    parts: Sequence[Part]


def picture_of(figure: 'Figure', text: str) -> Picture:
    """A figure as a picture; `text` says what is seen."""
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=DPI)
    return Picture(file.getvalue(), text)


def picture_at(path: str | Path, text: str) -> Picture:
    """A PNG or JPEG file as a picture; `text` says what is seen.

    Raises:
        OSError: it cannot be read.
        DataError: it is something else.
    """
    return Picture(Path(path).read_bytes(), text)


def write_page(path: Path, title: str, lead: str, asked: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Write a page atomically; the same arguments give the same bytes.

    Args:
        path: the file, replaced where it is there.
        title: what the page is about.
        lead: the answer, in one or two sentences.
        asked: what was asked for: option -> value; folded on the page.
        sections: from top to bottom.

    Raises:
        OSError: it cannot be written.
    """
    text = _template().render(title=title, lead=lead, asked=asked, sections=sections, version=__version__)
    with atomic_open(path, 'w') as file:
        file.write(text)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader('basicsr_ext.reports'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template('page.html')
