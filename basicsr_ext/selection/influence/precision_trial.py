"""Whether the scores of many images may be computed in bfloat16: by a trial on a few of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from basicsr_ext.selection.ranks import ranks_of

IMAGES = 24  # of the trial
WORTH_TRYING = 10 * IMAGES  # images to score
AGREEMENT = 0.99  # least rank correlation of the scores in both precisions
TIME = 0.8  # largest part of the time in float32


@dataclass(frozen=True)
class Trial:
    """What a few images said.

    Attributes:
        agreement: rank correlation (Spearman, 1904) of their scores in bfloat16 and in float32.
        time: in bfloat16, as a part of that in float32.
    """

    agreement: float
    time: float

    @property
    def is_passed(self) -> bool:
        """Whether bfloat16 gives the same order in less time; an agreement that is no number does not."""
        return self.agreement >= AGREEMENT and self.time <= TIME


def try_precisions(
    score: Callable[[bool, list[int]], np.ndarray], images: Sequence[int], device: torch.device | str
) -> Trial:
    """Score images in both precisions.

    Args:
        score: whether in bfloat16, and images -> their scores, (n,).
        images: all of the trial, the first of which warms both up.
        device: whose work is waited for.
    """
    scores, seconds = [], []
    for bfloat16 in (False, True):
        score(bfloat16, list(images[:1]))
        began = time.perf_counter()
        scores.append(score(bfloat16, list(images)))
        if torch.device(device).type == 'cuda':
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    if not all(np.isfinite(each).all() for each in scores):
        return Trial(float('nan'), seconds[1] / seconds[0])
    agreement = float(np.corrcoef(ranks_of(scores[0]), ranks_of(scores[1]))[0, 1])
    return Trial(agreement, seconds[1] / seconds[0])
