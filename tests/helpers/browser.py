"""Chromium without a window: what it makes of HTML pages, all of them in one start."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
OPTIONS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-extensions', '--hide-scrollbars',
    '--disable-background-networking', '--disable-dev-shm-usage', '--enable-logging=stderr',
)  # fmt: skip
SECONDS = 60
FRAMES = """<!DOCTYPE html><meta charset="utf-8"><title>pages</title>
<style>iframe {{ width: {width}px; height: 800px; border: 0 }}</style>
{frames}
<script>
addEventListener('load', () => {{
  const found = [...document.querySelectorAll('iframe')].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement
    return {{
      title: page.title,
      text: page.body.innerText,
      images: [...page.images].map(image => image.naturalWidth),
      tables: [...page.querySelectorAll('table')].map(table => table.tBodies[0].rows.length),
      overflow: Math.max(root.scrollWidth, page.body.scrollWidth) - root.clientWidth,
      background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    }}
  }})
  document.body.textContent = JSON.stringify(found)
}})
</script>"""


@dataclass(frozen=True)
class Opened:
    """A page as a browser shows it.

    Attributes:
        title: of the page.
        text: that is seen.
        images: natural width of each, 0 for one that cannot be shown.
        tables: rows of the body of each.
        overflow: pixels by which the page is wider than the screen.
        background: colour of the page.
    """

    title: str
    text: str
    images: list[int]
    tables: list[int]
    overflow: int
    background: str


def browser() -> str:
    """The path of Chromium; skips the test where there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f'none of {", ".join(NAMES)} is installed, which scripts/test.sh does as root where there is apt-get')


def open_pages(pages: Sequence[Path], folder: Path, width: int, *options: str) -> tuple[list[Opened], list[str]]:
    """Open pages as they are, each in a frame of its own.

    Args:
        pages: HTML files.
        folder: for what the browser writes.
        width: of the screen in pixels.
        options: further ones of the browser.

    Returns:
        Each page, and the lines that they wrote to the console.
    """
    frames = [f'<iframe srcdoc="{html.escape(page.read_text(encoding="utf-8"))}"></iframe>' for page in pages]
    file = folder / 'frames.html'
    file.write_text(FRAMES.format(width=width, frames='\n'.join(frames)), encoding='utf-8')
    done = run_browser(folder, *options, '--dump-dom', file.as_uri())
    body = re.search(r'<body[^>]*>(.*?)</body>', done.stdout, re.DOTALL)
    assert body, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(html.unescape(body[1]))
    return [Opened(**page) for page in found], [line for line in done.stderr.splitlines() if 'CONSOLE' in line]


def run_browser(folder: Path, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    """Start the browser with a profile of its own and wait for its end."""
    command = [browser(), *OPTIONS, f'--user-data-dir={folder / "profile"}', *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
