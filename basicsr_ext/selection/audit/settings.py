"""What an audit is asked for: the block `audit` of an option file."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from basicsr_ext.errors import OptionError
from basicsr_ext.options.blocks import NameIn
from basicsr_ext.selection.audit.findings import FINDINGS


@dataclass(frozen=True)
class AuditSettings:
    """What is looked for in the images, and how carefully.

    Attributes:
        findings: of the clean image `noise`, `blockiness` (of JPEG), `cutoff` (blurred or enlarged), `clipping` and
            `flatness`; of pairs of files `shift`, `gain`, `offset`, `partner` (another picture) and `misfit` (another
            size); of the set `duplicate`, `leak` (an image of datasets.test) and `outlier`. None looks for all that
            the data has. Files that cannot be decoded are always found.
        sensitivity: 2 finds an image suspect at half the distance from what is usual in the set, 0.5 at twice.
        workers: processes that read and measure; 0 does it in the process of the job.
    """

    findings: list[Annotated[str, NameIn(FINDINGS)]] | None = None
    sensitivity: Annotated[float, Gt(0)] = 1.0
    workers: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.findings is not None and (not self.findings or len(set(self.findings)) < len(self.findings)):
            raise OptionError('findings', 'different names, at least one', self.findings, 'Correct them.')
