"""The datasets of blocks, built once, and what tells their content and that of options apart."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare.roles import Block
from basicsr_ext.jobs.resumable import source_of
from basicsr_ext.options.load import find_file
from basicsr_ext.runtime.files import digest_of_file
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training.building import build_dataset


class Contents:
    """What blocks read.

    Args:
        root: the folder of the runs, which no digest depends on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._built: dict[str, SampleDataset] = {}
        self._sources: dict[str, Mapping[str, str]] = {}

    def built(self, block: Block) -> SampleDataset:
        """The dataset of a block, which gives whole images."""
        key = json.dumps(block, sort_keys=True, default=str)
        if key not in self._built:
            self._built[key] = build_dataset({**deepcopy(block), 'phase': 'val'}, f'dataset {block["name"]}')
        return self._built[key]

    def source(self, block: Block) -> Mapping[str, str]:
        """What identifies the images of a block."""
        key = json.dumps(block, sort_keys=True, default=str)
        if key not in self._sources:
            self._sources[key] = source_of(self.built(block))
        return self._sources[key]

    def digest(self, content: Any) -> str:
        """Of options and other values, wherever the runs are."""
        text = json.dumps(content, sort_keys=True, default=_plain).replace(json.dumps(str(self.root))[1:-1], '')
        return blake2b(text.encode(), digest_size=4).hexdigest()


def digest_of_weights(weights: str, where: str) -> str:
    """That of a file which an option names.

    Raises:
        OptionError: there is none.
    """
    path = Path(find_file(weights))
    if not path.is_file():
        raise OptionError(where, 'a file of weights', f'none at {path}', 'Correct the path, or train it first.')
    return digest_of_file(path)


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, '__dataclass_fields__') else str(value)
