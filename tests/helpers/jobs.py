"""A job in the process of the test, with its option file in the current directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from basicsr_ext.__main__ import main
from basicsr_ext.runtime.unit_files import UnitFiles


def write_options(job: str, opt: dict[str, Any]) -> str:
    """Write options to JOB.yml and return its name."""
    Path(f'{job}.yml').write_text(yaml.safe_dump(opt))
    return f'{job}.yml'


def refused(job: str, opt: dict[str, Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a job that refuses what it is given; returns what it says."""
    assert main([job, '-opt', write_options(job, opt), *arguments]) == 2
    return capsys.readouterr().err


@contextmanager
def failing_at(unit: int) -> Iterator[None]:
    """The process is interrupted when it would write this unit of work."""
    write_unit = UnitFiles._write

    def write(files: UnitFiles, number: int, *arguments: Any) -> None:
        if number == unit:
            raise KeyboardInterrupt
        write_unit(files, number, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UnitFiles, '_write', write)
        yield


def slow_script(job: str, method: str, seconds: float) -> str:
    """The path of a script that runs a job and sleeps before each call of a method of `ImageFiles`, so that there is
    time to kill it."""
    path = Path('slow.py')
    path.write_text(
        'import sys, time\n'
        'import basicsr_ext\n'
        'from basicsr_ext.__main__ import main\n'
        'from basicsr_ext.images.image_files import ImageFiles\n'
        f'fast = ImageFiles.{method}\n'
        'def slowly(*arguments):\n'
        f'    time.sleep({seconds})\n'
        '    return fast(*arguments)\n'
        f'ImageFiles.{method} = slowly\n'
        f"sys.exit(main(['{job}', *sys.argv[1:]]))\n"
    )
    return str(path)
