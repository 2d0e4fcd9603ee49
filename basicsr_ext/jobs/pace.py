"""How fast a training is on this machine: a few iterations are tried."""

import itertools
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from torch.utils.data import default_collate

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.read_item import read_item
from basicsr_ext.jobs import checks
from basicsr_ext.options.complete import complete
from basicsr_ext.options.load import Options
from basicsr_ext.runtime import clock, distributed
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training.building import build_dataset, build_model
from basicsr_ext.training.loader import build_train_loader, build_validation_sets
from basicsr_ext.training.validation import bare_networks

TRIED = 8.0  # seconds of iterations, and half as many of validations
FIRST = 3  # iterations that are not counted: they are slower


@dataclass(frozen=True)
class Pace:
    """How fast a training is, in seconds.

    Attributes:
        before: from the start of the training to its first iteration, but for the import of libraries.
        iteration: of an iteration.
        validation: of a validation of all sets.
        saving: of a state.
        device: what computes.
    """

    before: float
    iteration: float
    validation: float
    saving: float
    device: str

    def seconds_of(self, iterations: int, validations: int) -> float:
        """How long a training takes, with a saved state at each validation."""
        return self.before + iterations * self.iteration + validations * (self.validation + self.saving)

    def as_json(self) -> dict[str, Any]:
        """Rounded, as a file keeps it."""
        return {
            key: float(f'{value:.4g}') if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def counted(number: int, thing: str) -> str:
    """A number of things: 1 thread, 2 threads."""
    return f'{number} {thing}{"s" if number != 1 else ""}'


def in_words(seconds: float) -> str:
    """A length of time: 45 s, 12 min, 2.5 h."""
    if seconds < 100:
        return f'{seconds:.3g} s' if seconds < 10 else f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


def measure(options: Options, root: Path, folder: Path) -> Pace:
    """Begin the training of an option file, without writing its folder, and time it.

    Args:
        options: as they will stand in the file.
        root: the current folder.
        folder: for a trial state, which is removed.

    Raises:
        BasicsrExtError: the training would not begin.
    """
    opt = deepcopy(options)
    complete(opt, root, is_train=True)
    checks.check_options(opt)
    began = time.monotonic()
    train_set = build_dataset(opt['datasets']['train'], 'datasets.train')
    val_sets = build_validation_sets(opt)
    for dataset in (train_set, *val_sets):
        check_dataset(dataset, f'dataset {dataset.opt["name"]}')
    model = build_model(opt)
    checks.check_first_batches(model, {'datasets.train': train_set, **{each.opt['name']: each for each in val_sets}})
    before = time.monotonic() - began
    opt['train']['total_iter'] = 10**6  # as long as it takes
    iteration = _seconds_of_iterations(model, build_train_loader(train_set, opt, 0))
    validation = sum(_seconds_of_validation(model, each, TRIED / 2 / len(val_sets)) for each in val_sets)
    saving = _timed(lambda: torch.save([model.net_g.state_dict(), model.optimizers[0].state_dict()], folder / 'trial'))
    (folder / 'trial').unlink()
    distributed.stop()
    device = (
        torch.cuda.get_device_name() if opt['num_gpu'] else f'{counted(torch.get_num_threads(), "thread")} of the CPU'
    )
    return Pace(before, iteration, validation, saving, device)


def _seconds_of_iterations(model: Any, loader: Any) -> float:
    batches = iter(loader)
    numbers = itertools.count(1)

    def step() -> None:
        number = next(numbers)
        batch = next(batches)
        model.update_learning_rate(number, warmup_iter=-1)
        model.feed_data(batch)
        model.optimize_parameters(number)

    for _ in range(FIRST):
        _timed(step)
    times = list(_until(lambda: _timed(step), TRIED))
    return sum(times) / len(times)


def _seconds_of_validation(model: Any, dataset: SampleDataset, seconds: float) -> float:
    """Of all its images, as far as those tell that are restored in some seconds."""
    metrics = model.opt['val']['metrics']
    numbers = itertools.cycle(range(len(dataset)))

    def measure_image() -> None:
        model.feed_data(default_collate([read_item(dataset, next(numbers))]))
        model.test()
        visuals = model.get_current_visuals()
        pair = {'img': tensor2img([visuals['result']]), 'img2': tensor2img([visuals['gt']])}
        for block in metrics.values():
            calculate_metric(pair, block)

    with bare_networks(model):
        measure_image()  # the first one of a size is slower
        times = list(_until(lambda: _timed(measure_image), seconds, at_most=len(dataset)))
    return sum(times) / len(times) * len(dataset)


def _until(work: Callable[[], float], seconds: float, at_most: int = 10**6) -> Iterator[float]:
    """How long a work took each time, until so many seconds have passed; twice at least."""
    passed = 0.0
    for number in range(at_most):
        if passed >= seconds and number >= 2:
            return
        took = work()
        passed += took
        yield took


def _timed(work: Callable[[], object]) -> float:
    began = clock.seconds()
    work()
    return clock.seconds() - began
