"""ComplexityScorerModel: RestorationModel for a network whose output is one number an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from basicsr.utils.registry import MODEL_REGISTRY

from basicsr_ext.data.image_names import listed_items, result_names
from basicsr_ext.errors import OptionError
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.models.restoration_options import ValOptions
from basicsr_ext.networks.tiling import evaluating
from basicsr_ext.reports.agreement import draw_agreement, shares, write_table
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.training.carried import Results
from basicsr_ext.training.validation import gives_finite, keep_results, measure_all

METRICS = {'spearman': {'better': 'higher'}, 'pearson': {'better': 'higher'}, 'mse': {'better': 'lower'}}


@dataclass(frozen=True)
class ScorerValOptions(ValOptions):
    """The block `val`: `save_img` writes a table and a picture of the predictions of each validation."""

    def __post_init__(self) -> None:
        for name, unused in (('metrics', self.metrics), ('tile_size', self.tile_size)):
            if unused is not None:
                raise OptionError(
                    name,
                    f'none, as the scorer gives a number, whose {", ".join(METRICS)} are measured',
                    unused,
                    'Remove it.',
                )


@MODEL_REGISTRY.register()
class ComplexityScorerModel(RestorationModel):
    """Train a ComplexityScorer on images and labels, those of ComplexityLabelDataset.

    TripleD's scorer: mean squared error (`pixel_opt: MSELoss`) between its sigmoid output and the label. Everything of
    RestorationModel's training is here too: optimisers, schedules, mixed precision, averaged weights, several ranks,
    checkpoints, exact resuming.

    Validation measures `spearman`, `pearson` and `mse` of the predictions of a dataset; the best checkpoint is that of
    the highest Spearman coefficient on the first dataset, as rankings use the order alone, or what `val.best` names.
    The values of an image are its shares, whose means these are. With `val.save_img` the visualization folder gets for
    each validation a picture and a table `path,label,prediction`, the worst first: rows with revised labels make a file
    for `labels` of ComplexityLabelDataset.

    Args:
        opt: the whole option file, completed.

    Raises:
        OptionError: a key of these options is unknown or wrong.
        CheckpointError: the weights do not fit.

    Example:

    .. code-block:: yaml

        model_type: ComplexityScorerModel
        num_gpu: auto
        datasets:
          train:
            name: BSD400
            type: ComplexityLabelDataset
            dataroot_gt: datasets/BSD400
            batch_size_per_gpu: 2
        network_g:
          type: ComplexityScorer
          backbone: test_resnet
        path:
          pretrain_network_g: ~
        train:
          total_iter: 1000
          optim_g:
            type: AdamW
            lr: 1e-3
          ema_decay: 0.99
          pixel_opt:
            type: MSELoss
        val:
          val_freq: 500
          save_img: true
    """

    ValOptions: ClassVar[type[ValOptions]] = ScorerValOptions
    own_metrics: ClassVar[Mapping[str, Any]] = METRICS

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.opt = {**opt, 'val': {**(opt.get('val') or {}), 'metrics': METRICS}}

    @torch.no_grad()
    def test(self) -> None:
        """Score `lq` with the averaged network if there is one: N x 1."""
        net = self.net_in_use()
        with evaluating(net), self._autocast():
            self.output = net(self.lq).float()

    def validation(self, dataloader: Any, current_iter: int | str, tb_logger: Any, save_img: bool = False) -> None:
        """Score `dataloader.dataset`, shared by all ranks; the results are in `validation_results`."""
        dataset: SampleDataset = dataloader.dataset
        name = dataset.opt['name']
        scored = measure_all(self, dataset, self._measure)
        labels, predictions = (np.array([values[key] for values in scored.values()]) for key in ('label', 'prediction'))
        columns = shares(labels, predictions)
        results = {
            image: {**{metric: float(column[number]) for metric, column in columns.items()}, **values}
            for number, (image, values) in enumerate(scored.items())
        }
        keep_results(self, name, results, current_iter, tb_logger)
        if save_img and self.opt['rank'] == 0:
            stem = Path(self.opt['path']['visualization'], name, f'{name}_{current_iter}')
            names = _paths(dataset, results)
            write_table(names, labels, predictions, stem.with_suffix('.csv'))
            draw_agreement(names, labels, predictions, self.metric_results, stem.with_suffix('.png'))

    def _measure(self, sample: Sample, image: str) -> dict[str, float]:
        self.feed_data(sample)
        self.test()
        gives_finite(self, self.output, str(sample['lq_path'][0]))
        return {'label': self.gt.item(), 'prediction': self.output.item()}


def _paths(dataset: SampleDataset, results: Results) -> list[str]:
    """The images of results as a file of labels names them."""
    items, names = listed_items(dataset) or [], result_names(dataset) or []
    paths = {name: item.path for name, item in zip(names, items, strict=True)}
    return [paths.get(image, image) for image in results]
