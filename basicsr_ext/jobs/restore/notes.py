"""Notes of what was restored from what, by which a later run knows what is done and what is not its own."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from basicsr_ext.errors import OptionError, first_few
from basicsr_ext.jobs.restore.plan import Work
from basicsr_ext.runtime.files import digest_of_bytes, digest_of_file

FOLDER = '.restore'  # beside the results


class Notes:
    """A line for each result, added before the result itself stands under its name.

    Args:
        output: the folder of the results.
        made_with: network, weights and settings, as JSON values.
        rank: of this process, which has a file of its own.
    """

    def __init__(self, output: Path, made_with: Mapping[str, Any], rank: int) -> None:
        self.folder, self.rank = output / FOLDER, rank
        self.made_with = digest_of_bytes(json.dumps(made_with, sort_keys=True).encode())

    def done(self, works: Sequence[Work], overwrite: bool) -> set[str]:
        """The names of the results that are there and whole.

        Args:
            works: what is to be restored.
            overwrite: whether others that are there may be replaced.

        Raises:
            OptionError: there are others, and they may not.
        """
        noted = {(line['name'], line['source'], line['made_with'], line['result']) for line in self._lines()}
        there = [work for work in works if os.path.lexists(work.target)]
        done = {work.name for work in there if self._is_done(work, noted)}
        others = [work.target for work in there if work.name not in done]
        if others and not overwrite:
            raise OptionError(
                '-o',
                'results of these images, weights and settings, or none',
                f'{len(others)} others: {first_few(others)}',
                'Name another OUT, or add --overwrite to replace them.',
            )
        folders = [path for path in others if os.path.isdir(path) and not os.path.islink(path)]
        if folders:
            raise OptionError('-o', 'files to replace', f'folders: {first_few(folders)}', 'Move them away.')
        return done

    def _is_done(self, work: Work, noted: set[tuple[str, str, str, str]]) -> bool:
        if not os.path.isfile(work.target) or not any(line[0] == work.name for line in noted):
            return False
        with suppress(OSError):
            return (work.name, digest_of_file(work.source), self.made_with, digest_of_file(work.target)) in noted
        return False

    def add(self, work: Work, source: str, result: str) -> None:
        """Note a result before it is put in place.

        Args:
            work: what it is.
            source, result: digests of the two files.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = {'name': work.name, 'source': source, 'made_with': self.made_with, 'result': result}
        with open(self.folder / f'{self.rank}.jsonl', 'a', encoding='utf-8') as file:
            # In front of a line too: a process that was killed may have left a part of one.
            file.write(f'\n{json.dumps(line)}\n')
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> Iterator[dict[str, str]]:
        for path in sorted(self.folder.glob('*.jsonl')):
            for text in path.read_bytes().splitlines():
                with suppress(ValueError, RecursionError):
                    line = json.loads(text)
                    keys = ('name', 'source', 'made_with', 'result')
                    if isinstance(line, dict) and all(isinstance(line.get(key), str) for key in keys):
                        yield line
