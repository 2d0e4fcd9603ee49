"""A cheap order of images, of which the first ones alone are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from basicsr_ext.runtime import distributed
from basicsr_ext.selection.complexity.scan import ComplexityReader, ComplexityScan, Images
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.coreset.encoder_features import EncoderScan, standardised
from basicsr_ext.selection.coreset.kcenter_order import farthest_first
from basicsr_ext.selection.influence.settings import CandidateSettings
from basicsr_ext.selection.manifest import CANDIDATE
from basicsr_ext.selection.ranks import ranks_of_order

STREAM = 1  # of the seed, so that candidates are not the images of the curvature


class Pictures(Protocol):
    """Clean images: C x H x W, RGB or grey, [0, 1]; in `whole` as files hold them."""

    @property
    def whole(self) -> Images: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


@dataclass(frozen=True)
class FirstStage:
    """What the first stage of a ranking found.

    Attributes:
        order: all images, (n,), the first ones first.
        number: of candidates.
    """

    order: np.ndarray
    number: int

    @property
    def candidates(self) -> list[int]:
        """The images that are scored, ascending."""
        chosen: list[int] = np.sort(self.order[: self.number]).tolist()
        return chosen

    def of_all(self, columns: Mapping[str, Sequence[float] | Sequence[int]]) -> dict[str, list[float] | list[int]]:
        """The columns of all images from those of the candidates, and `candidate`.

        Args:
            columns: scores, and ranks under names that begin with `rank`, of the candidates.

        Returns:
            Scores, NaN for the others; ranks, in which the others follow in the order of the first stage.
        """
        complete: dict[str, list[float] | list[int]] = {}
        for name, values in columns.items():
            is_rank = name.startswith('rank')
            whole = ranks_of_order(self.order) if is_rank else np.full(len(self.order), np.nan)
            whole[self.candidates] = values
            complete[name] = whole.tolist()
        is_candidate = np.zeros(len(self.order), bool)
        is_candidate[self.candidates] = True
        return {**complete, CANDIDATE: is_candidate.tolist()}


def first_stage(
    settings: CandidateSettings,
    pictures: Pictures,
    encoder: nn.Module,
    seed: int,
    folder: Path,
    device: torch.device | str = 'cpu',
    workers: int = 0,
) -> FirstStage:
    """Order images and choose the candidates; all ranks of a process group work on it and get the same.

    Args:
        settings: the block `rank.candidates`.
        pictures: the images.
        encoder: has `features`, for `kcenter`.
        seed: of `random`.
        folder: for the state of unfinished work.
        device: of the encoder.
        workers: processes that read.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
        DataError: a damaged image.
        OptionError: more candidates than images.
    """
    number = settings.number(len(pictures))
    if settings.by == 'random':
        return FirstStage(np.random.default_rng([seed, STREAM]).permutation(len(pictures)), number)
    if settings.by == 'kcenter':
        on = torch.device(device)
        scan = EncoderScan(pictures, encoder.eval().requires_grad_(False).to(on), folder, 'Encoding', on, workers)
        features = scan.values()
        order = farthest_first(standardised(features, features), number)
    else:
        asked = ComplexitySettings('complexity', settings.by, workers=workers)
        measuring = ComplexityScan(ComplexityReader(pictures.whole, len(pictures), asked), folder)
        measuring.run()
        order = np.argsort(-measuring.values(), kind='stable')
    return FirstStage(distributed.from_first(order), number)
