"""The job `calibrate`: find the pointer or the threshold of early exits that meets a budget, on unlabelled images."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from basicsr.data import build_dataset
from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from torch import Tensor
from tqdm import tqdm

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.errors import OptionError
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.budget import TOLERANCE, choose, choose_by_time
from basicsr_ext.inference.calibration import as_block, evaluate, format_operations, sweep, uncertainty
from basicsr_ext.inference.exit_costs import exit_costs
from basicsr_ext.inference.observation import Observations, observe
from basicsr_ext.inference.realised import realised_time
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.jobs.calibrate.options import FILE, CalibrateSettings
from basicsr_ext.jobs.option_file import run_job
from basicsr_ext.jobs.resumable import open_log
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.reports.calibration_plot import draw_calibration
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.spread import spread
from basicsr_ext.schedule.sample import SampleDataset

EXAMPLE = 'basicsr-ext calibrate -opt options/calibrate/calibrate_FlexIR_light_color_sigma25.yml'


def calibrate_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Calibrate as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, or a budget that cannot be met.
    """
    return run_job(FILE, calibrate, root_path, argv, stopped='Stopped; nothing is written.')


def calibrate(opt: Options, settings: CalibrateSettings, only_check: bool = False) -> None:
    """Write `results/<name>/calibration.json` and its picture.

    Args:
        opt: completed and checked options.
        settings: the block `calibrate`.
        only_check: try the first image, write nothing.

    Raises:
        OptionError: the network has no exits, or the budget cannot be met.
        Interrupted: a stop was asked for.
    """
    folder = Path(opt['path']['results_root'])
    with open_log(opt, 'calibrate') as open_log_file:
        logger = get_root_logger()
        set_random_seed(opt['manual_seed'])
        net = trained_network(opt).eval()
        if not isinstance(net, ExitNetwork):
            raise OptionError(f'network_g.type: expected one with exits, as FlexIR, got {type(net).__name__}.')
        datasets = _datasets(opt)
        chosen = _spread(datasets, 1 if only_check else settings.images)
        observed = settings.observed()
        first = next(_images(datasets, chosen[:1], ''))
        costs = exit_costs(net, first.shape[0], observed.grid(first.shape[1], first.shape[2]).region_size)
        observations = observe(net, _images(datasets, chosen, 'Exits'), observed, costs)
        if only_check:
            logger.info(f'{opt["name"]}: options, files and the first image are sound.')
            return
        folder.mkdir(parents=True, exist_ok=True)
        open_log_file()
        pointers, thresholds = sweep(observations, observed, settings.thresholds)
        logger.info(
            f'{len(chosen)} images, {len(observations.pixels)} regions:\n{format_operations(pointers + thresholds)}'
        )
        images = partial(_images, datasets, chosen, 'Time')
        inference, taken = _meet(settings, observed, observations, lambda choice: realised_time(net, images(), choice))
        operation = None if inference is None else evaluate(observations, inference)
        content: dict[str, Any] = {
            'name': opt['name'],
            'inference': None if inference is None else as_block(inference),
            'chosen': None if operation is None else {**asdict(operation), 'measured_ms_per_megapixel': taken},
            'options': {
                'calibrate': asdict(settings),
                **{key: opt[key] for key in ('network_g', 'datasets', 'manual_seed')},
            },
            'weights': weights_digest(net),
            'images': {
                'number': len(chosen),
                'regions': len(observations.pixels),
                'fingerprint': observations.fingerprint,
            },
            'pointers': [asdict(row) for row in pointers],
            'thresholds': [asdict(row) for row in thresholds],
        }
        draw_calibration(pointers, thresholds, operation, folder / 'calibration.png')
        write_json(folder / 'calibration.json', content)
        if inference is not None and operation is not None:
            error = uncertainty(observations, observations.macs, inference)
            if not 2 * error < TOLERANCE:
                logger.warning(
                    f'calibrate.images: {len(chosen)} tell the cost on other images to {2 * error:.1%} (two standard '
                    'errors). Take more to be surer.'
                )
            logger.info(f'Chosen, {taken:.1f} ms per megapixel when run:\n{format_operations([operation])}')
        logger.info(f'Written to {folder / "calibration.json"}.')


def _meet(
    settings: CalibrateSettings, observed: InferenceSettings, observations: Observations, measure: Any
) -> tuple[InferenceSettings | None, float]:
    """What the budget leads to, if there is one, and the time per megapixel that it took."""
    if settings.budget is not None:
        inference = choose(observations, observed, observations.macs, settings.budget, 'calibrate.budget')
        return inference, measure(inference)
    if settings.budget_ms is None:
        return None, 0.0
    inference, taken = choose_by_time(observations, observed, settings.budget_ms, 'calibrate.budget_ms', measure)
    if taken > (1 + TOLERANCE) * settings.budget_ms:
        get_root_logger().warning(
            f'calibrate.budget_ms: {settings.budget_ms:.1f} is not met: {taken:.1f} ms. Is the machine busy?'
        )
    return inference, taken


def _datasets(opt: Options) -> list[SampleDataset]:
    datasets = []
    for key, block in sorted(opt['datasets'].items()):
        dataset: SampleDataset = build_dataset(block)
        check_dataset(dataset, f'datasets.{key}')
        datasets.append(dataset)
    return datasets


def _spread(datasets: Sequence[SampleDataset], number: int | None) -> list[tuple[int, int]]:
    """Dataset and index of so many images, evenly spread."""
    every = [(which, index) for which, dataset in enumerate(datasets) for index in range(len(dataset))]
    return [every[place] for place in spread(len(every) if number is None else number, len(every))]


def _images(datasets: Sequence[SampleDataset], chosen: Sequence[tuple[int, int]], what: str) -> Iterator[Tensor]:
    """The degraded images, C x H x W, one after the other, with a progress bar if it has a name."""
    for which, index in tqdm(chosen, what, unit='image', leave=False, disable=None if what else True):
        if interrupt.requested():
            raise interrupt.Interrupted
        image: Tensor = datasets[which][index]['lq']
        yield image
