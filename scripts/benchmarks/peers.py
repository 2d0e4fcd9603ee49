"""Influence by kronfluence on the same data: predicted rise of the mean test loss without each training image.

    pip install --no-deps kronfluence dattri && pip install accelerate einconv opt-einsum

Its function and those of peers_dattri.py take and give the same, positive means the image helps, and the scale is the
library's own. The curvature is that of the squared error, because that of L1 is zero almost everywhere, or that of the
gradients' outer products; the gradients that are multiplied are those of a loss of choice.
"""

import copy
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from retraining import Crops
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

Loss = Callable[[Tensor, Tensor], Tensor]  # mean over everything, as functional.l1_loss


def installed(name: str) -> bool:
    """Whether a library can be imported."""
    return importlib.util.find_spec(name) is not None


def kronfluence_scores(
    net: nn.Module,
    train: Crops,
    test: Crops,
    dampings: Sequence[float],
    loss: Loss,
    folder: Path,
    batch_size: int = 12,
) -> np.ndarray:
    """EK-FAC (Grosse et al., 2023) by kronfluence: `fit_all_factors`, then pairwise scores.

    As in kronfluence's example of regression, losses are sums over the pixels and the Fisher matrix is the true one:
    its targets are the outputs plus noise of variance 1/2. All convolutions are tracked, dilated ones too: kronfluence
    unfolds their inputs with the dilation. The gradients of the test images are added up first
    (`aggregate_query_gradients`), so that scores cost one product per training image instead of one per pair.

    Args:
        net: built of nn.Conv2d and layers without parameters.
        train, test: pairs of images.
        dampings: absolute; 0 stands for kronfluence's heuristic, 0.1 of the mean eigenvalue of each layer.
        loss: whose gradients are multiplied.
        folder: for its files; has to be empty.
        batch_size: images computed together.

    Returns:
        (images, dampings).
    """
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    class Restoration(Task):
        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
            lq, gt = batch
            output = model(lq)
            if not sample:
                return loss(output, gt) * output.numel()
            return functional.mse_loss(output, torch.normal(output.detach(), 0.5**0.5), reduction='sum')

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    task = Restoration()
    model = prepare_model(copy.deepcopy(net), task)
    analyzer = Analyzer('peer', model, task, cpu=True, log_level=40, disable_tqdm=True, output_dir=str(folder))
    train_set, test_set = TensorDataset(train.lq, train.gt), TensorDataset(test.lq, test.gt)
    columns = []
    with torch.random.fork_rng([]), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        torch.manual_seed(0)
        analyzer.fit_all_factors('ekfac', train_set, batch_size, factor_args=FactorArguments('ekfac'))
        for damping in dampings:
            analyzer.compute_pairwise_scores(
                f'damping_{damping:g}',
                'ekfac',
                test_set,
                train_set,
                per_device_query_batch_size=batch_size,
                per_device_train_batch_size=batch_size,
                score_args=ScoreArguments(damping_factor=damping or None, aggregate_query_gradients=True),
            )
            columns.append(analyzer.load_pairwise_scores(f'damping_{damping:g}')['all_modules'][0].double().numpy())
    return np.stack(columns, 1)
