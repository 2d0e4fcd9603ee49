"""Testing by several settings in turn: the tables of "FlexIR" (Tables 3 to 6) for any network with exits."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.inventory import content_digest
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.jobs.resumable import identity, resumable
from basicsr_ext.jobs.test.parts import prepare, try_first
from basicsr_ext.jobs.test.rows import Row, kind_of, rows_of
from basicsr_ext.models.flexir_model import FlexIRModel
from basicsr_ext.networks.deployed import deployed_network
from basicsr_ext.networks.described import CuttableNetwork, input_channels
from basicsr_ext.networks.fits import try_network
from basicsr_ext.networks.macs import PAPER_SIZE, at_pointer, paper_count
from basicsr_ext.options.load import Options, find_file
from basicsr_ext.reports.sweep_report import write_sweep
from basicsr_ext.reports.sweep_table import Swept, lines_of
from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.files import finite
from basicsr_ext.runtime.progress import Progress
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.runtime.unfinished import read_identity
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.training.carried import Results
from basicsr_ext.training.validation import image_path, measure_all, validate_image

RESULT = 'sweep.json'
ASIDE = ('val_freq', 'pbar', 'log_images')  # keys of val that change nothing

Found = dict[str, Results]  # data set -> image -> name of a value -> value


def sweep(opt: Options, asked: Options, only_check: bool = False) -> None:
    """Test by every row of `val.sweep`; writes `results/<name>/sweep.json`, `.csv`, `.md`, `.png` and `.html`.

    A row that is finished is kept where the work is stopped. `metrics.json`, which holds one test, is not written.

    Args:
        opt: completed and checked options.
        asked: the options before they were completed, for the page.
        only_check: decode all images, and restore the first of each set as the first row says; write nothing.

    Raises:
        OptionError: the model knows no sweep, or a row does not fit it.
        Interrupted: a stop was asked for.
    """
    with resumable(opt, 'test', RESULT, partial(read_identity, key='made_from')) as run:
        model, datasets = prepare(opt)
        exits = _exits(model)
        rows = rows_of(model.val_options, exits)
        made_from = _made_from(opt, model, datasets, rows, _load_all(model, rows))
        kind = kind_of(model.val_options)
        for row in rows if kind == 'budgets' else rows[:1]:  # one of which may be less than any exit costs
            _restore_by(model, row, 0)
            try_first(model, datasets)
        counts = _counts(opt, rows)
        if only_check:
            for dataset in datasets:
                check_pixels(dataset, f'dataset {dataset.opt["name"]}')
            run.sound(f'{len(rows)} rows and the images')
            return
        if not run.begin(made_from):
            return
        found = _measure_rows(opt, model, datasets, rows, SavedState(run.unfinished / 'rows.pth', interval=0))
        distributed.barrier()  # every rank has read what the first one removes now
        if run.is_first:
            swept = Swept(opt['name'], kind, opt['val']['metrics'], found, counts, len(rows[0].passes))
            get_root_logger().info('\n'.join(['The sweep:', *lines_of(swept)]))
            write_sweep(swept, run.folder, asked, made_from)
            run.finish(f'{len(rows)} rows: {run.folder}/sweep.md, .csv, .json, .png, .html')


def _exits(model: Any) -> int:
    """The number of exits of the network.

    Raises:
        OptionError: the model, or its network, has none.
    """
    if not isinstance(model, FlexIRModel):
        got = type(model).__name__
        raise OptionError('val.sweep', 'FlexIRModel, which restores by exits', got, 'Remove it.')
    net = model.net_in_use()
    if not isinstance(net, CuttableNetwork):
        raise OptionError('val.sweep', 'a network with exits, as FlexIR', type(net).__name__, 'Take another network_g.')
    return net.num_branches


def _load_all(model: FlexIRModel, rows: Sequence[Row]) -> dict[str, str]:
    """A digest of the weights of each row that names a file; leaves those of the first row in the network.

    Raises:
        OptionError: a file is not there, or may leave weights of another row.
        CheckpointError: it does not fit.
    """
    digests = {}
    for row in (*rows[1:], rows[0]):
        if row.weights is not None:
            if not model.opt['path'].get('strict_load_g', True):
                raise OptionError('path.strict_load_g', 'true beside val.sweep.weights', 'false', 'Set it.')
            path = find_file(row.weights)
            if not os.path.isfile(path):
                raise OptionError(f'val.sweep.weights.{row.name}', 'a file', shown(path), 'Correct the path.')
            _load(model, row)
            digests[row.name] = weights_digest(model.net_in_use())
    return digests


def _load(model: FlexIRModel, row: Row) -> None:
    """Load the weights of a row, as those of the option file are."""
    if row.weights is not None:
        key = model.opt['path'].get('param_key_g', 'params')
        model.load_network(model.net_g, find_file(row.weights), True, key)


def _restore_by(model: FlexIRModel, row: Row, number: int) -> None:
    model.val_options = replace(model.val_options, inference=row.passes[number])


def _counts(opt: Options, rows: Sequence[Row]) -> dict[str, tuple[int, int | None]]:
    """Parameters and MACs as the paper counts them, of rows that name a pointer; no MACs of early exits."""
    pointers = {row.name: row.pointer for row in rows if row.pointer is not None}
    if not pointers:
        return {}
    net = deployed_network(opt)
    channels = input_channels(net, opt['network_g'])

    def count(pointer: int) -> tuple[int, int]:
        image, times = at_pointer(cast(CuttableNetwork, net), pointer, channels, PAPER_SIZE)
        params, macs = paper_count(net, image)
        return params, macs * times

    given = f'{channels} channels of {PAPER_SIZE}, at which the paper counts'
    counts = try_network(
        lambda: {name: count(pointer) for name, pointer in pointers.items()},
        type(net).__name__,
        given,
        'network_g',
        'Leave out ape.',
    )
    early = {row.name for row in rows if row.passes[0].adaptive is not None}
    return {name: (params, None if name in early else macs) for name, (params, macs) in counts.items()}


def _made_from(
    opt: Options, model: FlexIRModel, datasets: Sequence[SampleDataset], rows: Sequence[Row], swept: Mapping[str, str]
) -> dict[str, Any]:
    """All that decides the rows, among it digests of the weights that are swept."""
    more = {
        'rows': [row.name for row in rows],
        'contents': {dataset.opt['name']: content_digest(dataset) for dataset in datasets},
        'swept_weights': dict(swept),
    }
    networks = {} if swept else {'g': model.net_in_use()}
    options = replace(model.val_options, inference=model.val_options.settings)  # what a calibration says
    blocks = {'val': options, 'model': model.model_options}
    made_from: dict[str, Any] = finite(identity('sweep', opt, blocks, networks, ASIDE, **more))
    return made_from


def _measure_rows(
    opt: Options, model: FlexIRModel, datasets: Sequence[SampleDataset], rows: Sequence[Row], saved: SavedState
) -> dict[str, Found]:
    """Measure the rows that are left; returns all of them."""
    found: dict[str, Found] = {}
    state = saved.load()
    if state is not None:
        with saved.fitting():
            found = {row.name: state['rows'][row.name] for row in rows[: len(state['rows'])]}
    each = sum(len(range(opt['rank'], len(dataset), opt['world_size'])) for dataset in datasets)
    is_hidden = opt['rank'] != 0 or opt['val'].get('pbar') is False
    with Progress('Sweep', each * len(rows), each * len(found), hidden=is_hidden) as progress:
        for row in rows:
            if row.name in found:
                continue
            set_random_seed(opt['manual_seed'])
            _load(model, row)
            found[row.name] = {
                dataset.opt['name']: measure_all(model, dataset, partial(_measure, opt, model, dataset, row), progress)
                for dataset in datasets
            }
            saved.offer(lambda: {'rows': found})
    return found


def _measure(
    opt: Options, model: FlexIRModel, dataset: SampleDataset, row: Row, sample: Sample, image: str
) -> dict[str, float]:
    """The values of an image, and the seconds that the network took: means over the passes of the row."""
    name, passes = dataset.opt['name'], []
    for number in range(len(row.passes)):
        _restore_by(model, row, number)
        saved_as = _saved_as(opt, row, number, name, image) if opt['val']['save_img'] else None
        validated = validate_image(model, sample, name, opt['val']['metrics'], saved_as)
        passes.append({**validated.values, 'seconds': validated.seconds})
    return {key: sum(values[key] for values in passes) / len(passes) for key in passes[0]}


def _saved_as(opt: Options, row: Row, number: int, dataset_name: str, image: str) -> Path:
    """Below a folder of the row, and of the exit where a row has several."""
    folder = Path(opt['path']['visualization'], row.name)
    folder = folder / f'exit_{number + 1}' if len(row.passes) > 1 else folder
    return image_path({**opt, 'path': {'visualization': folder}}, image, dataset_name, opt['name'])
