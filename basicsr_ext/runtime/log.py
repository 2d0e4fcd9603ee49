"""BasicSR's log of a job, on the screen and in a file."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

from basicsr.utils import get_env_info, get_root_logger, get_time_str


class _LogFile(logging.FileHandler):
    """A file that may fall behind: a full disk stops a job where it writes a result, not at a line of its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on."""

    def close(self) -> None:
        """Close the file, whether what is left fits on the disk or not."""
        with suppress(OSError):
            super().close()


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord('basicsr', logging.INFO, __file__, 0, text, None, None)


@contextmanager
def job_log(job: str, name: str, folder: Path, is_first: bool, options: str) -> Iterator[Callable[[], None]]:
    """BasicSR's logger for one job, beginning with the environment and the options.

    Gives a function that opens the log file. It is called once the folder of the job is there; what was logged before
    goes into the file too.

    Args:
        job: its name.
        name: of the run, for the name of the file.
        folder: for the file.
        is_first: whether this process writes it; the others say nothing.
        options: the options as text.
    """
    logger = get_root_logger()
    held = MemoryHandler(capacity=10**6, flushLevel=logging.CRITICAL + 1)
    logger.addHandler(held)
    files: list[logging.FileHandler] = []

    def open_file() -> None:
        if not is_first:
            return
        path = folder / f'{job}_{name}_{get_time_str()}.log'
        files.append(_LogFile(path, 'w', encoding='utf-8'))
        files[0].setFormatter(logging.Formatter('%(asctime)s %(levelname)s: %(message)s'))
        held.setTarget(files[0])
        held.flush()
        logger.removeHandler(held)
        logger.addHandler(files[0])

    try:
        if is_first:
            logger.setLevel(logging.INFO)
        # Long, and of no use on the screen before anything went wrong.
        held.emit(_record(get_env_info()))
        held.emit(_record(options))
        yield open_file
    finally:
        logger.removeHandler(held)
        for file in files:
            logger.removeHandler(file)
            file.close()
