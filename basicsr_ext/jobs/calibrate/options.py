"""The option file of the job `calibrate`: checked and completed."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt

from basicsr_ext.errors import OptionError
from basicsr_ext.inference.settings import InferenceSettings, read_settings
from basicsr_ext.jobs import checks
from basicsr_ext.jobs.rank.options import PATH_KEYS
from basicsr_ext.networks.trained import require_weights
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options

KEYS = ('name', 'num_gpu', 'manual_seed', 'scale', 'datasets', 'network_g', 'path', 'calibrate')
FOUND = ('pointer', 'calibration')  # what calibration is for


@dataclass(frozen=True)
class CalibrateSettings:
    """The block `calibrate`.

    Attributes:
        budget: what restoring may cost, in parts of the multiply-accumulates of the full network on whole images.
        budget_ms: what it may take instead, in milliseconds per megapixel of the input on this machine.
        inference: regions and, below `adaptive`, the score, as in `val.inference` but for pointer and threshold.
        thresholds: how many are tabulated.
        images: so many are used, evenly spread over the datasets; None for all.
    """

    budget: Annotated[float, Gt(0)] | None = None
    budget_ms: Annotated[float, Gt(0)] | None = None
    inference: dict[str, Any] = field(default_factory=dict)
    thresholds: Annotated[int, Ge(2)] = 16
    images: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget_ms is not None:
            raise OptionError(f'budget_ms: expected no budget beside it, got {self.budget}. Remove one of the two.')
        self.observed()

    def observed(self) -> InferenceSettings:
        """Regions and score, for all exits; the threshold has no meaning."""
        for key in FOUND:
            if key in self.inference:
                raise OptionError(f'inference.{key}: expected none, as calibration is to find it, got one. Remove it.')
        adaptive = self.inference.get('adaptive') or {}
        if not isinstance(adaptive, dict) or 'threshold' in adaptive:
            raise OptionError(f'inference.adaptive: expected a block without threshold, got {adaptive!r}. Correct it.')
        return read_settings({**self.inference, 'adaptive': {**adaptive, 'threshold': 0}}, 'inference')


def parse_calibrate_options(
    root_path: str | os.PathLike[str], argv: Sequence[str] | None = None
) -> tuple[Options, CalibrateSettings, argparse.Namespace]:
    """Read the command line and the option file of `calibrate`.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        The completed options, the block `calibrate`, and the command line.

    Raises:
        OptionError, DataError: an option is wrong, a file is missing.
    """
    opt, args = read_options('calibrate', argv)
    require(opt, ('name', 'datasets', 'network_g', 'path', 'calibrate'))
    refuse_unknown(opt, KEYS)
    settings = read_block(CalibrateSettings, opt['calibrate'], 'calibrate')
    refuse_unknown(opt['path'] or (), PATH_KEYS, 'path')
    if args.launcher != 'none':
        raise OptionError(f'--launcher: expected none, as calibrate is one process, got {args.launcher}. Remove it.')
    if opt.get('manual_seed') is None:
        opt['manual_seed'] = 0
    complete(opt, root_path, is_train=False)
    require_weights(opt)
    for block in opt['datasets'].values():
        block['phase'] = 'test'  # whole images whose noise belongs to their name
    checks.check_parts(opt)
    return opt, settings, args
