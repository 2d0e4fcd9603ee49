"""The job `calibrate`: find the pointer, or the rule of early exits, that makes most of a budget."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from basicsr.utils import get_root_logger
from torch import Tensor

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.inventory import content_digest
from basicsr_ext.data.read_item import read_item
from basicsr_ext.errors import OptionError
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.budget import TOLERANCE, Choice, choose, choose_by_time
from basicsr_ext.inference.calibration import as_block, evaluate, format_operations
from basicsr_ext.inference.calibration_tables import tabulate
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.exit_rules import Judged
from basicsr_ext.inference.observation import ImageObservation, Observations, Observing
from basicsr_ext.inference.realised import realised_time
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.jobs.calibrate.options import FILE, CalibrateSettings
from basicsr_ext.jobs.option_file import run_job
from basicsr_ext.jobs.resumable import identity, resumable
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.load import Options
from basicsr_ext.reports.calibration_page import write_calibration_page
from basicsr_ext.reports.calibration_plot import draw_calibration
from basicsr_ext.reports.calibration_words import in_words
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.progress import Progress, with_progress
from basicsr_ext.runtime.saved_state import SavedState, within
from basicsr_ext.runtime.shared_map import shared_map
from basicsr_ext.runtime.spread import spread
from basicsr_ext.runtime.unfinished import read_identity
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training.building import build_dataset

RESULT = 'calibration.json'
ASKED = ('budget', 'budget_ms', 'thresholds')  # of what is observed, which does not depend on it

EXAMPLE = 'basicsr-ext calibrate -opt options/calibrate/calibrate_FlexIR_light_color_sigma25.yml'


def calibrate_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Calibrate as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, or a budget that cannot be met.
    """
    return run_job(FILE, calibrate, root_path, argv)


def calibrate(opt: Options, settings: CalibrateSettings, only_check: bool = False) -> None:
    """Write `results/<name>/calibration.json`, its picture and its page.

    Args:
        opt: completed and checked options.
        settings: the block `calibrate`.
        only_check: try the first image and decode all, write nothing.

    Raises:
        OptionError: the network has no exits, or the budget cannot be met.
        Interrupted: a stop was asked for; what was observed is saved.
    """
    with resumable(opt, 'calibrate', RESULT, partial(read_identity, key='made_from'), write_calibration_page) as run:
        logger = get_root_logger()
        net = trained_network(opt).eval()
        if not isinstance(net, ExitNetwork):
            raise OptionError('network_g.type', 'one with exits, as FlexIR', type(net).__name__, 'Name another one.')
        datasets = _datasets(opt)
        chosen = _spread(datasets, settings.images)
        observed = settings.observed()
        first = _images(datasets, chosen[0])[0]
        costs = known_costs(net, first.shape[0], observed.grid(first.shape[1], first.shape[2]).region_size)
        observing = Observing(net, observed, costs)
        if only_check:
            observing.observed(*_images(datasets, chosen[0]))
            for key, dataset in zip(sorted(opt['datasets']), datasets, strict=True):
                check_pixels(dataset, f'datasets.{key}')
            run.sound(f'{len(chosen)} images and the network')
            return
        contents = {key: content_digest(data) for key, data in zip(sorted(opt['datasets']), datasets, strict=True)}
        made_from = identity('calibrate', opt, {'calibrate': settings}, {'g': net}, ASKED, contents=contents)
        asked = {key: getattr(settings, key) for key in ASKED}
        if not run.begin(made_from, {'asked': asked}):
            return
        _observe(observing, SavedState(run.unfinished / 'observations.pth'), datasets, chosen)
        distributed.barrier()  # every rank has read what the first one removes now
        if not run.is_first:
            return
        observations = observing.result()
        found = tabulate(observations, observed, settings.thresholds, settings.budget, **settings.told())
        logger.info(f'{len(chosen)} images, {len(observations.pixels)} regions:\n{format_operations(found.rows())}')
        for sentence in in_words(found):
            logger.info(sentence)
        measured = partial(_measured, net, datasets, chosen)
        choice, taken = _meet(settings, observed, observations, found.judged, measured)
        inference = None if choice is None else choice.inference
        operation = None if inference is None else evaluate(observations, inference)
        content: dict[str, Any] = {
            'name': opt['name'],
            'made_from': {**made_from, 'asked': asked},
            'inference': None if inference is None else as_block(inference),
            'chosen': None
            if operation is None or choice is None
            else {**asdict(operation), 'reason': choice.reason, 'measured_ms_per_megapixel': taken},
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
            **found.as_tables(),
        }
        draw_calibration(found, operation, run.folder / 'calibration.png')
        write_json(run.result, content)
        if choice is not None and operation is not None:
            logger.info(
                f'Chosen, {taken:.1f} ms per megapixel when run: {choice.reason}.\n{format_operations([operation])}'
            )
        run.finish(f'{len(chosen)} images: {run.result}')


def _observe(
    observing: Observing, saved: SavedState, datasets: Sequence[SampleDataset], chosen: Sequence[tuple[int, int]]
) -> None:
    """Observe the images that are left, which ranks share out."""

    def observed(place: tuple[int, int]) -> ImageObservation:
        return observing.observed(*_images(datasets, place))

    state = saved.load()
    if state is not None:
        with saved.fitting():
            observing.load(state)
            within(len(observing.seen), len(chosen))
    done = len(observing.seen)
    with Progress('Exits', len(chosen), done, hidden=distributed.rank_and_world()[0] > 0) as progress:
        for seen in shared_map(observed, chosen[done:]):
            observing.seen.append(seen)
            progress.update()
            saved.offer(observing.state)
    saved.save(observing.state())


def _measured(
    net: ExitNetwork, datasets: Sequence[SampleDataset], chosen: Sequence[tuple[int, int]], choice: InferenceSettings
) -> float:
    """The time per megapixel that a choice takes."""

    def images() -> Iterator[Tensor]:
        for place in with_progress(chosen, 'Time', len(chosen)):
            if interrupt.requested():
                raise interrupt.Interrupted
            yield _images(datasets, place)[0]

    return realised_time(net, images(), choice)


def _meet(
    settings: CalibrateSettings,
    observed: InferenceSettings,
    observations: Observations,
    judged: Judged,
    measure: Callable[[InferenceSettings], float],
) -> tuple[Choice | None, float]:
    """What the budget leads to, if there is one, and the time per megapixel that it took."""
    if settings.budget is not None:
        found = choose(observations, observed, judged, observations.macs, settings.budget, 'calibrate.budget')
        return found, measure(found.inference)
    if settings.budget_ms is None:
        return None, 0.0
    where = 'calibrate.budget_ms'
    found, taken = choose_by_time(observations, observed, judged, settings.budget_ms, where, measure)
    if taken > (1 + TOLERANCE) * settings.budget_ms:
        get_root_logger().warning(f'{where}: {settings.budget_ms:.1f} is not met: {taken:.1f} ms. Is the machine busy?')
    return found, taken


def _datasets(opt: Options) -> list[SampleDataset]:
    datasets = []
    for key, block in sorted(opt['datasets'].items()):
        dataset: SampleDataset = build_dataset(block, f'datasets.{key}')
        check_dataset(dataset, f'datasets.{key}')
        datasets.append(dataset)
    return datasets


def _spread(datasets: Sequence[SampleDataset], number: int | None) -> list[tuple[int, int]]:
    """Dataset and index of so many images, evenly spread."""
    every = [(which, index) for which, dataset in enumerate(datasets) for index in range(len(dataset))]
    return [every[place] for place in spread(len(every) if number is None else number, len(every))]


def _images(datasets: Sequence[SampleDataset], place: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """The degraded image, C x H x W, at a dataset and an index, and the ground truth, where there is one."""
    item = read_item(datasets[place[0]], place[1])
    return item['lq'], item.get('gt')
