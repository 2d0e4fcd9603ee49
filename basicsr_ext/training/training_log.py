"""What a training writes down for programs: one JSON object per line."""

import json
from pathlib import Path
from typing import Any

from basicsr_ext.runtime.files import atomic_open, finite


class TrainingLog:
    """`training_log.jsonl`: rates and losses of the logged iterations and the means of each validation, none twice.

    Lines of iterations after `start`, which a resumed run will do again, are removed.

    Args:
        path: the file; it is made if it is missing.
        start: iterations already done.
        validates: whether the validation of the iteration `start` will be done again.
    """

    def __init__(self, path: Path, start: int, validates: bool = False) -> None:
        self.path = path
        kept = []
        if path.is_file():
            lines = path.read_text(encoding='utf-8').splitlines()
            read = [(line, json.loads(line)) for line in lines if line.endswith('}')]
            kept = [
                line
                for line, values in read
                if values['iter'] < start or (values['iter'] == start and not (validates and 'validation' in values))
            ]
        with atomic_open(path, 'w') as file:
            file.writelines(f'{line}\n' for line in kept)
        self._file = open(path, 'a', encoding='utf-8')  # noqa: SIM115  closed by close()

    def write(self, current_iter: int, **values: Any) -> None:
        """Append a line; NaN and infinite numbers are null."""
        self._file.write(json.dumps({'iter': current_iter, **finite(values)}, allow_nan=False) + '\n')
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
