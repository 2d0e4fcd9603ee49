"""A page holds all that it is given, escaped, in one file that loads nothing."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from basicsr_ext.errors import DataError
from basicsr_ext.reports.page import Links, Paragraph, Picture, Section, Table, picture_at, picture_of, write_page

EVIL = '<script>alert("1 & 2")</script>'


class Reader(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def image_file(kind: str, size: tuple[int, int] = (5, 4)) -> bytes:
    file = io.BytesIO()
    Image.new('RGB', size, 'red').save(file, kind)
    return file.getvalue()


def write(path: Path, *parts: Paragraph | Table | Picture | Links, text: str = 'Answer.') -> str:
    write_page(path, f'Title {text}', text, {text: text}, [Section(text, parts)])
    return path.read_text(encoding='utf-8')


def test_all_texts_are_escaped(tmp_path: Path) -> None:
    parts = [
        Paragraph(EVIL),
        Table([EVIL], [[EVIL]], EVIL),
        Picture(image_file('PNG'), f'"{EVIL}'),
        Links({EVIL: 'a b/"c".txt', 'odd': 'javascript:alert(1)'}),
    ]
    page = Reader(write(tmp_path / 'page.html', *parts, text=EVIL))
    assert not page.all('script')
    assert sum(EVIL in text for text in page.texts) == 12  # title twice, lead, asked twice, heading, and the parts
    assert [link['href'] for link in page.all('a')] == ['a%20b/%22c%22.txt', 'javascript%3Aalert%281%29']
    assert page.all('img')[0]['alt'] == f'"{EVIL}'


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2])
    (tmp_path / 'photo.jpg').write_bytes(image_file('JPEG'))
    page = write(tmp_path / 'page.html', picture_of(figure, 'a line'), picture_at(tmp_path / 'photo.jpg', 'red'))
    assert not re.search(r'https?:|url\(|@import|<link|<script|(src|href)="(?!data:)', page)
    opened = []
    for image in Reader(page).all('img'):
        _, kind, data = re.split('[:;]', str(image['src']))
        with Image.open(io.BytesIO(base64.b64decode(data.removeprefix('base64,')))) as picture:
            opened.append((kind, picture.size))
    assert opened == [('image/png', (240, 120)), ('image/jpeg', (5, 4))]


def test_a_table_aligns_columns_of_numbers_and_marks_a_row(tmp_path: Path) -> None:
    rows = [['1.png', '1', '-2.5e-3', '31.2 dB', '1.0 ± 0.2'], ['2.png', '1,000', '-', '', '2 %']]
    page = Reader(write(tmp_path / 'page.html', Table(['path', 'n', 'x', 'psnr', 'share'], rows, marked=1)))
    assert [cell['class'] for cell in page.all('td')] == 2 * ['', 'number', 'number', 'number', 'number']
    assert [row.get('class') for row in page.all('tr')] == [None, None, 'marked']
    assert [text for text in page.texts if text in ('1.png', '1,000', '2 %')] == ['1.png', '1,000', '2 %']


def test_the_same_page_has_the_same_bytes_and_replaces_the_former_one(tmp_path: Path) -> None:
    parts = [Table(['a'], []), Picture(image_file('PNG'), 'red')]
    first = write(tmp_path / 'page.html', *parts)
    assert write(tmp_path / 'page.html', *parts) == first
    assert [file.name for file in tmp_path.iterdir()] == ['page.html']


def test_what_is_no_picture_or_no_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_bytes(b'text')
    with pytest.raises(DataError, match='picture "x": expected a PNG or JPEG file, got 4 other bytes'):
        picture_at(tmp_path / 'a.png', 'x')
    with pytest.raises(ValueError, match='expected rows of 2 cells'):
        Table(['a', 'b'], [['1']])
