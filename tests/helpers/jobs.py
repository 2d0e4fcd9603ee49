"""A job in the process of the test, with its option file in the current directory."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from basicsr_ext.__main__ import main


def write_options(job: str, opt: dict[str, Any]) -> str:
    """Write options to JOB.yml and return its name."""
    Path(f'{job}.yml').write_text(yaml.safe_dump(opt))
    return f'{job}.yml'


def refused(job: str, opt: dict[str, Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a job that refuses what it is given; returns what it says."""
    assert main([job, '-opt', write_options(job, opt), *arguments]) == 2
    return capsys.readouterr().err
