"""PSNR and SSIM of the restored files, on the screen and in a file."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr.utils import get_root_logger

from basicsr_ext.errors import BasicsrExtError, OptionError, one_line
from basicsr_ext.jobs.restore.plan import Work
from basicsr_ext.reports.restored_quality import Quality, measure, report, table
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.files import read_json, write_json

KEYS = {'images', 'means'}  # by which a report is known


def report_file(source: Path, output: Path, overwrite: bool) -> Path:
    """Where the figures go: `restore.json` in a folder, or the name of a file with the ending `.json`.

    Raises:
        OptionError: something else is there.
    """
    path = output / 'restore.json' if source.is_dir() else output.with_suffix('.json')
    if os.path.lexists(path) and not overwrite and not _is_report(path):
        raise OptionError(
            f'-o {path}', 'an earlier report or none', 'another file', 'Move it away, or add --overwrite.'
        )
    return path


def _is_report(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and set(content) == KEYS


def rows_in(path: Path) -> list[Quality]:
    """The rows of a report."""
    return [Quality(**row) for row in read_json(path)['images']]


def compare(works: Sequence[Work], path: Path) -> dict[str, str]:
    """Measure restored files with their ground truth, shared out to the ranks; write and show the figures.

    Args:
        works: with ground truth, and with results that are there.
        path: of the report.

    Returns:
        Name -> why a file could not be compared.
    """
    rank, world = distributed.rank_and_world()
    rows: dict[str, Quality] = {}
    failed: dict[str, str] = {}
    for work in works[rank::world]:
        try:
            rows[work.name] = measure(work.name, work.source, work.target, str(work.truth))
        except BasicsrExtError as error:
            failed[work.name] = one_line(error)
    found = {name: row for part in distributed.gather(rows) for name, row in part.items()}
    ordered = [found[work.name] for work in works if work.name in found]
    if ordered and rank == 0:
        write_json(path, report(ordered))
        get_root_logger().info(f'{path}\n{table(ordered)}')
    return {name: said for part in distributed.gather(failed) for name, said in part.items()}
