"""What a dataset gives."""

from typing import Any, Protocol

Sample = dict[str, Any]


class SampleDataset(Protocol):
    """Any dataset of BasicSR's registry: map-style, with its option block.

    A sample is a dict with `lq` and mostly `gt` (float32 tensors, C x H x W, RGB or grey) and `lq_path`, `gt_path`.
    """

    opt: dict[str, Any]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
