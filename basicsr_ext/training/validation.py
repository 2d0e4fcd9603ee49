"""Validation of any model with SRModel's protocol: all ranks share the images, every image's values are kept."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from basicsr.data import build_dataloader
from basicsr.metrics import calculate_metric
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, imwrite, tensor2img
from basicsr.utils.registry import METRIC_REGISTRY
from torch.utils.data import default_collate

from basicsr_ext.data.image_names import distinct_names, result_names
from basicsr_ext.data.read_item import read_item
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.options.calls import building
from basicsr_ext.runtime import clock, distributed, interrupt
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.selection.manifest import Item
from basicsr_ext.training.carried import Results, carrying
from basicsr_ext.training.pictures import comparison_strip
from basicsr_ext.training.state import same_rng_afterwards


@dataclass(frozen=True)
class Scores:
    """What the validation of a dataset found.

    Attributes:
        means: metric -> mean over the images.
        images: image -> metric -> value; empty where a model with a validation of its own tells the means alone.
    """

    means: dict[str, float]
    images: Results


def validate(model: Any, dataset: SampleDataset, current_iter: int | str, tb_logger: Any, save_img: bool) -> Results:
    """Restore every image of a dataset, measure it and log the means.

    The images are dealt to the ranks in turn. The values are left in `model.validation_results[dataset name]`, the
    means in `model.metric_results` and the best ones in `model.best_metric_results`, as SRModel does.

    Args:
        model: offers `feed_data`, `test`, `get_current_visuals`, `net_g` and `opt`; values that its method
            `extra_results(image, saved_as)` gives for the image just restored, H x W x 3 BGR or H x W grey, uint8, join
            the metrics. `saved_as` is the file it was saved to, or None.
        dataset: gives `lq`, `lq_path` and, for metrics, `gt`.
        current_iter: iteration, or the name of the run in `test`.
        tb_logger: TensorBoard writer or None; it gets `val.log_images` images, by default the first.
        save_img: write the restored images under `path.visualization`.

    Returns:
        {image: {metric: value}}.

    Raises:
        Interrupted: a stop was requested; only in a single process, several finish together.
    """
    name, metrics = dataset.opt['name'], model.opt['val'].get('metrics') or {}
    strips: dict[str, np.ndarray] = {}
    wanted = model.opt['val'].get('log_images', 1) if tb_logger is not None else 0

    def measure(sample: Sample, image: str) -> dict[str, float]:
        saved_as = image_path(model.opt, image, name, current_iter) if save_img else None
        validated = validate_image(model, sample, name, metrics, saved_as)
        if len(strips) < wanted:
            strips[image] = comparison_strip(validated.visuals)
        return validated.values

    results = measure_all(model, dataset, measure)
    for image, strip in strips.items():
        tb_logger.add_image(f'{name}/{image}', strip, current_iter, dataformats='HWC')
    keep_results(model, name, results, current_iter, tb_logger)
    return results


def check_validation(model: Any, dataset: SampleDataset, metrics: dict[str, Any] | None) -> None:
    """Find what would end the validation of a dataset by `validate`, without validating.

    Args:
        model: that will be validated; one with a validation of its own may name images twice and need no ground truth.
        dataset: its first sample is read where there are metrics, and its ground truth measured against itself.
        metrics: `val.metrics`.

    Raises:
        DataError: an image is listed twice.
        OptionError: a metric needs ground truth, of which the dataset has none, or does not take its arguments.
    """
    is_ours, name = is_measured_here(model), dataset.opt['name']
    if is_ours:
        result_names(dataset)
    if not metrics or not len(dataset):
        return
    with same_rng_afterwards():
        gt = read_item(dataset, 0).get('gt')
        comparing = [metric for metric, block in metrics.items() if _compares(block)]
        if is_ours and comparing and gt is None:
            raise _no_ground_truth(comparing[0], name)
        if gt is None or gt.ndim != 3:
            return  # videos have models and metrics of their own
        image = tensor2img([gt[None]])
        for metric, block in metrics.items():
            with building(f'val.metrics.{metric}', f'{block["type"]} of the first image of {name}'):
                calculate_metric({'img': image, 'img2': image}, block)


def is_measured_here(model: Any) -> bool:
    """Whether a model is validated by `measure_all`."""
    module = type(model).validation.__module__
    return _inherits_validation(model) or module.partition('.')[0] == __name__.partition('.')[0]


def _inherits_validation(model: Any) -> bool:
    """Whether a model is validated as SRModel is, with no validation of its own."""
    kind = type(model)
    return (
        kind.validation is BaseModel.validation
        and getattr(kind, 'nondist_validation', None) is SRModel.nondist_validation
    )


def _compares(block: dict[str, Any]) -> bool:
    """Whether a metric needs ground truth."""
    return 'img2' in signature(METRIC_REGISTRY.get(block['type'])).parameters


def _no_ground_truth(metric: str, dataset_name: str) -> OptionError:
    return OptionError(
        f'val.metrics.{metric}',
        f'ground truth in dataset {dataset_name}',
        'none',
        'Remove the metric or use a dataset that has it.',
    )


def measure_all(
    model: Any,
    dataset: SampleDataset,
    measure: Callable[[Sample, str], dict[str, float]],
    progress: Progress | None = None,
) -> Results:
    """Measure every sample of a dataset, dealt to the ranks in turn.

    Args:
        model: offers `net_g` and `opt`.
        dataset: gives `lq_path`.
        measure: gives the values of a sample in a batch of one, and of the name of its image.
        progress: of a larger work, in which the images are counted; None for one of this dataset.

    Returns:
        {image: {name: value}}, on all ranks; images are named as by `result_names`.

    Raises:
        Interrupted: as `validate`.
        DataError: an image is listed twice.
    """
    names = result_names(dataset)
    if names is None:
        names = _names_in_samples(dataset)
    rank, world_size = model.opt['rank'], model.opt['world_size']
    hidden = rank != 0 or model.opt['val'].get('pbar') is False
    own = range(rank, len(dataset), world_size)
    mine: Results = {}
    title = f'Validation {dataset.opt["name"]}'
    with bare_networks(model), Progress(title, len(own), hidden=hidden or progress is not None) as alone:
        for index in own:
            if interrupt.requested() and world_size == 1:
                raise interrupt.Interrupted
            sample = default_collate([read_item(dataset, index)])
            mine[names[index]] = measure(sample, names[index])
            (progress or alone).update()
    results: Results = {}
    for part in distributed.gather(mine):
        results.update(part)
    return dict(sorted(results.items()))


def keep_results(model: Any, name: str, results: Results, current_iter: int | str, tb_logger: Any) -> None:
    """Leave the values of a dataset in the model, and log the means; see `validate`."""
    carrying(model).validation_results[name] = results
    metrics = model.opt['val'].get('metrics') or {}
    if metrics:
        _log(model, name, metrics, current_iter, tb_logger)


def validate_with(
    model: Any, dataset: SampleDataset, opt: dict[str, Any], current_iter: int | str, tb_logger: Any
) -> Scores:
    """Validate in the way that belongs to the model.

    Stock models that inherit SRModel's validation get the one above. A model with a validation of its own (videos,
    HiFaceGAN, HAT's, a user's) runs that; its values are those it leaves in `validation_results`, or else in
    `metric_results`, as BasicSR's models do. Where it leaves none, a warning says so.
    """
    save_img = opt['val']['save_img']
    if _inherits_validation(model):
        results = validate(model, dataset, current_iter, tb_logger, save_img)
        return Scores(means(results), results)
    name = dataset.opt['name']
    block = next(block for block in opt['datasets'].values() if block['name'] == name)
    loader = build_dataloader(dataset, block, opt['num_gpu'], opt['dist'], None, opt['manual_seed'])
    best = deepcopy(getattr(model, 'best_metric_results', {}))
    vars(model).pop('metric_results', None)  # those of another dataset
    model.validation(loader, current_iter, tb_logger, save_img)
    if carrying(model).in_warmup:  # whose scores say little about the network afterwards
        model.best_metric_results = best
    results = carrying(model).validation_results.get(name, {})
    scores = Scores(means(results), results) if results else _own_scores(model)
    if opt['val'].get('metrics') and not scores.means and opt['rank'] == 0:
        get_root_logger().warning(
            f'Validation {name}: {type(model).__name__} has a validation of its own, which leaves no values in '
            'metric_results: nothing is known of val.metrics, and nothing decides about the best checkpoint.'
        )
    return scores


def _own_scores(model: Any) -> Scores:
    """The values in `metric_results`: means of metrics, or of video models {folder: frames x metrics}."""
    found = getattr(model, 'metric_results', None) or {}
    names = list(model.opt['val'].get('metrics') or {})
    if all(isinstance(value, torch.Tensor) and value.ndim == 2 for value in found.values()):
        results = {
            folder: dict(zip(names, values.mean(dim=0).tolist(), strict=True)) for folder, values in found.items()
        }
        return Scores(means(results), results)
    return Scores({metric: float(value) for metric, value in found.items()}, {})


_names_read: WeakKeyDictionary[SampleDataset, list[str]] = WeakKeyDictionary()


def _names_in_samples(dataset: SampleDataset) -> list[str]:
    """The names of the images of a dataset that tells its files in its samples alone; they are read once, by all ranks.

    Raises:
        DataError: an image is there twice.
    """
    if dataset not in _names_read:
        rank, world_size = distributed.rank_and_world()
        mine = {index: str(read_item(dataset, index)['lq_path']) for index in range(rank, len(dataset), world_size)}
        paths: dict[int, str] = {}
        for part in distributed.gather(mine):
            paths.update(part)
        folder = os.path.commonpath([os.path.dirname(path) for path in paths.values()]) if paths else ''
        items = [Item(os.path.relpath(paths[index], folder or '.'), 0, 0) for index in range(len(dataset))]
        _names_read[dataset] = distinct_names(items, f'dataset {dataset.opt["name"]}')
    return _names_read[dataset]


class Validated(NamedTuple):
    """An image that was restored and measured.

    Attributes:
        values: metric -> value, and what the model adds of its own.
        visuals: the tensors `lq`, `result` and, where there is one, `gt`.
        seconds: that the network took; reading and measuring are not in it.
    """

    values: dict[str, float]
    visuals: dict[str, torch.Tensor]
    seconds: float


def validate_image(
    model: Any, sample: Sample, dataset_name: str, metrics: dict[str, Any], saved_as: Path | None
) -> Validated:
    """Restore and measure an image.

    Args:
        model: as in `validate`.
        sample: a batch of one: `lq` and, for metrics, `gt`, 1 x C x H x W in [0, 1].
        dataset_name: named in errors.
        metrics: `val.metrics`.
        saved_as: the file to write the restored image to; None for none.

    Raises:
        OptionError: a metric needs ground truth, and there is none.
        DataError: the output is not finite, in a test.
    """
    model.feed_data(sample)
    began = clock.seconds()
    model.test()
    seconds = clock.seconds() - began
    visuals = model.get_current_visuals()
    is_finite = gives_finite(model, visuals['result'], f'{dataset_name}, {sample["lq_path"][0]}')
    images = {'img': tensor2img([visuals['result']])}
    if 'gt' in visuals:
        images['img2'] = tensor2img([visuals['gt']])
    forget_images(model)
    if saved_as is not None and is_finite:
        imwrite(images['img'], str(saved_as))
    for metric, block in metrics.items():
        if 'img2' not in images and _compares(block):
            raise _no_ground_truth(metric, dataset_name)
    values = {
        metric: float(calculate_metric(images, block)) if is_finite else math.nan for metric, block in metrics.items()
    }
    extra: dict[str, float] = model.extra_results(images['img'], saved_as) if hasattr(model, 'extra_results') else {}
    return Validated({**values, **extra}, visuals, seconds)


def gives_finite(model: Any, output: torch.Tensor, image: str) -> bool:
    """Whether the output for an image is finite; in training a warning says so, as its scores are then NaN.

    Raises:
        DataError: it is not, in a test.
    """
    if output.isfinite().all():
        return True
    if not model.opt['is_train']:
        raise DataError(
            image,
            f'finite output of {type(model).__name__}',
            'NaN or infinite values',
            'Take other weights, or a precision with a wider range.',
        )
    get_root_logger().warning(f'{image}: the output of {type(model).__name__} is not finite, nor are its scores.')
    return False


def image_path(opt: dict[str, Any], image: str, dataset_name: str, current_iter: int | str) -> Path:
    """The file of a restored image.

    Args:
        opt: completed options.
        image: its name.
        dataset_name: of its data set.
        current_iter: iteration, in training.
    """
    folder = Path(opt['path']['visualization'])
    if opt['is_train']:
        has_others = sum(block['phase'] in ('val', 'test') for block in opt.get('datasets', {}).values()) > 1
        return folder / (dataset_name if has_others else '') / image / f'{Path(image).name}_{current_iter}.png'
    return folder / dataset_name / f'{image}_{opt["val"].get("suffix") or opt["name"]}.png'


def _log(model: Any, name: str, metrics: dict[str, Any], current_iter: int | str, tb_logger: Any) -> None:
    mean = means(model.validation_results[name])
    model.metric_results = {metric: value for metric, value in mean.items() if metric in metrics}
    in_warmup = carrying(model).in_warmup  # whose scores say little about the network afterwards
    if not in_warmup or hasattr(model, 'best_metric_results'):
        model._initialize_best_metric_results(name)
    if not in_warmup:
        for metric, value in model.metric_results.items():
            model._update_best_metric_result(name, metric, value, current_iter)
    model._log_validation_metric_values(current_iter, name, tb_logger)
    extra = ', '.join(f'{key} {value:.4g}' for key, value in mean.items() if key not in metrics)
    if extra:
        get_root_logger().info(f'Validation {name}: {extra}')
    if any(map(math.isinf, model.metric_results.values())):
        get_root_logger().warning(f'Validation {name}: an infinite mean; an image equals its ground truth.')
    if any(map(math.isnan, model.metric_results.values())):
        get_root_logger().warning(f'Validation {name}: a mean that is no number; files hold null, and it is no best.')


def means(results: Results) -> dict[str, float]:
    """The mean of every metric over the images."""
    names = next(iter(results.values()), {})
    return {metric: sum(values[metric] for values in results.values()) / len(results) for metric in names}


def write_metrics(path: Path, results: dict[str, Scores], best: dict[str, Any] | None = None) -> None:
    """Write `{dataset: {metric: mean}, "per_image": {dataset: {image: {metric: value}}}}` as JSON, null for NaN.

    Args:
        path: the file.
        results: name of a dataset -> what its validation found.
        best: the score of the best checkpoint of a training, which is written under `best`.
    """
    per_image = {name: scores.images for name, scores in results.items()}
    content = {**{name: scores.means for name, scores in results.items()}, 'per_image': per_image}
    write_json(path, {**content, **({'best': best} if best else {})})


def forget_images(model: Any) -> None:
    """Let go of the images of a model: a large one should not stay in memory beside the next one."""
    for held in ('lq', 'gt', 'output'):
        vars(model).pop(held, None)


@contextmanager
def bare_networks(model: Any) -> Iterator[None]:
    """Take `net_g` out of its DistributedDataParallel wrapper, whose forward waits for the other ranks."""
    wrapped = model.net_g
    model.net_g = model.get_bare_model(wrapped)
    try:
        yield
    finally:
        model.net_g = wrapped
