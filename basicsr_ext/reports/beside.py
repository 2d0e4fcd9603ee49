"""The page beside a result: where it stands, and what happens where it cannot be made."""

from collections.abc import Callable
from pathlib import Path

from basicsr.utils import get_root_logger

from basicsr_ext.errors import BasicsrExtError
from basicsr_ext.reports.page import NAME

READ = 2000  # bytes at the beginning of a page, among them its title

Write = Callable[[Path, Path], None]  # of a result: its page


def title_of(job: str, name: object) -> str:
    """The title of the page of a job, which says whose page it is."""
    return f'{job}: {name}'


def page_of(folder: Path, job: str) -> Path:
    """Where the page of a job stands: `report.html`, or `report_JOB.html` where another job has written that one."""
    page = folder / NAME
    if not page.is_file():
        return page
    with open(page, 'rb') as file:
        start = file.read(READ).decode('utf-8', 'replace')
    return page if f'<title>{title_of(job, "")}' in start else folder / f'report_{job}.html'


def write_beside(result: Path, job: str, write: Write) -> Path | None:
    """Write the page of a result that is on disk; where that fails a warning says why, as the result is whole.

    Args:
        result: the file that the page is about.
        job: that made it.
        write: takes the result and the page.

    Returns:
        The page, if it was made.
    """
    page = page_of(result.parent, job)
    try:
        write(result, page)
    except (BasicsrExtError, OSError) as error:
        get_root_logger().warning(f'{page} is not made, though {result} is whole: {error}')
        return None
    return page
