"""BasicSR's log of a job, on the screen and in a file."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from typing import Any

from basicsr.utils import get_env_info, get_root_logger, get_time_str
from basicsr.utils.options import dict2str


@contextmanager
def job_log(opt: dict[str, Any], job: str) -> Iterator[Callable[[], None]]:
    """BasicSR's logger for one job, beginning with the environment and the options.

    Gives a function that opens the log file, on rank 0 only. It is called once the folder of the job is there; what was
    logged before goes into the file too.
    """
    logger = get_root_logger()
    held = MemoryHandler(capacity=10**6, flushLevel=logging.CRITICAL + 1)
    logger.addHandler(held)
    files: list[logging.FileHandler] = []

    def open_file() -> None:
        if opt['rank'] != 0:
            return
        path = os.path.join(opt['path']['log'], f'{job}_{opt["name"]}_{get_time_str()}.log')
        files.append(logging.FileHandler(path, 'w', encoding='utf-8'))
        files[0].setFormatter(logging.Formatter('%(asctime)s %(levelname)s: %(message)s'))
        held.setTarget(files[0])
        held.flush()
        logger.removeHandler(held)
        logger.addHandler(files[0])

    try:
        if opt['rank'] == 0:
            logger.setLevel(logging.INFO)
        logger.info(get_env_info())
        logger.info(dict2str(opt))
        yield open_file
    finally:
        logger.removeHandler(held)
        for file in files:
            logger.removeHandler(file)
            file.close()
