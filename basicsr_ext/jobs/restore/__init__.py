"""The job `restore`: restore image files, folders of them or a video with a trained network."""

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from basicsr.utils import get_root_logger

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.named_network import NamedNetwork, find_network
from basicsr_ext.inference.restorer import Restorer
from basicsr_ext.jobs.restore.command import build_parser, settings_of
from basicsr_ext.jobs.restore.comparison import compare, report_file, rows_in
from basicsr_ext.jobs.restore.notes import Notes
from basicsr_ext.jobs.restore.plan import Work, plan, remove_unfinished, with_truth
from basicsr_ext.jobs.restore.worker import Worker, made_with
from basicsr_ext.options.load import find_file
from basicsr_ext.reports.beside import write_beside
from basicsr_ext.reports.restored_page import write_restored_page
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.folder_lock import locked
from basicsr_ext.runtime.progress import Progress

__all__ = ['EXAMPLE', 'build_parser', 'restore_pipeline']

EXAMPLE = 'basicsr-ext restore noisy -o restored --weights experiments/IRCNN_demo/models/net_g_latest.pth'
STOPPED = 'Stopped. What is restored is kept; the same command continues.'


def restore_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Restore as the command line says.

    Args:
        root_path: the folder in which relative paths start.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with files, weights or options, before work starts; or, when all others are
            restored, that some could not be, which are named in the log.
    """
    args = build_parser().parse_args(argv)
    try:
        if args.launcher != 'none':
            distributed.start(args.launcher, 'gloo')  # several may share a GPU, and only words are exchanged
        if distributed.rank_and_world()[0] == 0:
            get_root_logger().setLevel(logging.INFO)
        return interrupt.run(lambda: _restore(Path(root_path), args), STOPPED)
    finally:
        distributed.stop()


def _restore(root: Path, args: argparse.Namespace) -> None:
    source, output = root / args.input, root / args.output
    works = plan(source, output, args.format)
    rank, world = distributed.rank_and_world()
    if world > 1 and any(work.is_video for work in works):
        raise OptionError('--launcher', 'images to share out', 'a video, whose frames go to one file', 'Remove it.')
    if args.compare is not None:
        works = with_truth(works, root / args.compare, source)
    named = find_network(root / find_file(args.weights), args.opt, args.imports)
    settings, fits_tiles = settings_of(named, args)
    restorer = Restorer.from_named(named, settings, args.device, args.ema)
    if args.pointer is not None and not isinstance(restorer.net, ExitNetwork):
        raise OptionError('--pointer', 'a network that has exits, as FlexIR', named.block['type'], 'Remove it.')
    _say(named, restorer, works)
    folder = output if source.is_dir() else output.parent
    notes = Notes(folder, made_with(named, restorer, fits_tiles, args.overlap), rank)
    report = report_file(source, output, args.overwrite) if args.compare is not None else None
    with locked(output, rank == 0):
        done = notes.done(works, args.overwrite)
        distributed.barrier()  # nothing is written before all ranks have looked
        if rank == 0:
            remove_unfinished(works)
        distributed.barrier()
        worker = Worker(restorer, notes, args.overlap if fits_tiles else None, fits_tiles)
        failed = _work([work for work in works if work.name not in done][rank::world], worker, rank)
        failures = {name: said for each in distributed.gather(failed) for name, said in each.items()}
        if report is not None:
            failures.update(compare([work for work in works if work.name not in failures], report))
        if rank == 0 and source.is_dir():
            _write_page(works, report, failures, output, args)
    _finish(works, done, failures, args.output)


def _say(named: NamedNetwork, restorer: Restorer, works: Sequence[Work]) -> None:
    place = next((parameter.device for parameter in restorer.net.parameters()), 'cpu')
    get_root_logger().info(
        f'{len(works)} file{"s" if len(works) > 1 else ""}, {named.block["type"]} on {place}, as {named.source} says.'
    )


def _work(works: Sequence[Work], worker: Worker, rank: int) -> dict[str, str]:
    """Restore one file after the other; the names of those that failed, and why."""
    failed = {}
    with Progress('restore', len(works), unit='file', hidden=rank > 0) as progress:
        for work in works:
            if interrupt.requested():
                raise interrupt.Interrupted
            said = worker.attempt(work)
            if said is not None:
                failed[work.name] = said
            progress.update()
    return failed


def _write_page(
    works: Sequence[Work], report: Path | None, failures: Mapping[str, str], output: Path, args: argparse.Namespace
) -> None:
    """Write the page beside the results."""
    shown = [work for work in works if work.name not in failures and not work.is_video]
    rows = rows_in(report) if report is not None and report.is_file() else []
    asked = {
        'IN': args.input,
        '--weights': args.weights,
        **{f'--{name}': str(value) for name in ('compare', 'tile', 'pointer') if (value := getattr(args, name))},
    }

    def write(folder: Path, page: Path) -> None:
        files = [(work.name, Path(work.source), Path(work.target)) for work in shown]
        write_restored_page(page, asked, files, rows, failures)

    page = write_beside(output / 'results', 'restore', write)
    if page is not None:
        get_root_logger().info(f'Report: {page}')


def _finish(works: Sequence[Work], done: set[str], failures: dict[str, str], output: str) -> None:
    logger = get_root_logger()
    earlier = f', {len(done)} of them before' if done else ''
    logger.info(f'{len(works) - len(failures)} of {len(works)} restored{earlier}: {output}')
    if failures:
        for said in failures.values() if distributed.rank_and_world()[0] == 0 else ():
            logger.error(said)
        raise DataError(
            'IN',
            'files that can be restored and compared',
            f'{len(failures)} of {len(works)} that cannot, named above',
            'Correct or remove them; the same command then does what is left.',
        )
