"""Scores of finished units of images, written down one by one."""

import json
from hashlib import blake2b
from pathlib import Path

Rows = list[list[float]]


class ScoreNotes:
    """One file per rank, one JSON object and its digest per line.

    The next run knows what a killed one wrote, on any number of ranks.

    Args:
        folder: of the files.
        rank: of this process.

    Attributes:
        known: first image of a unit -> one row of scores per image.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.known: dict[int, Rows] = {}
        for path in sorted(folder.glob('scores_*.jsonl')):
            for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
                unit, _, digest = line.rpartition(' ')
                if digest == _digest(unit):  # the last line of a killed run may be cut off
                    note = json.loads(unit)
                    self.known[note['first']] = note['rows']
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f'scores_{rank}.jsonl', 'a', encoding='utf-8')  # noqa: SIM115  closed by close()
        self._file.write('\n')  # after a line that was cut off

    def write(self, first: int, rows: Rows) -> None:
        """Note a finished unit."""
        self.known[first] = rows
        unit = json.dumps({'first': first, 'rows': rows})
        self._file.write(f'{unit} {_digest(unit)}\n')
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _digest(unit: str) -> str:
    return blake2b(unit.encode(), digest_size=8).hexdigest()
