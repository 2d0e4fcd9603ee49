"""A run of a job whose result is made once: stopped and continued at will, never mixed with another one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger
from basicsr.utils.misc import set_random_seed
from basicsr.utils.options import dict2str
from torch import nn

from basicsr_ext.data.inventory import content_digest, inventory
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.options.load import Options
from basicsr_ext.reports.beside import Write, page_of, write_beside
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.files import remove_stale
from basicsr_ext.runtime.folder_lock import locked
from basicsr_ext.runtime.log import job_log
from basicsr_ext.runtime.unfinished import begin, forget
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item, fingerprint, manifest_header


@contextmanager
def open_log(opt: Options, job: str) -> Iterator[Callable[[], None]]:
    """`job_log` of completed options."""
    with job_log(job, opt['name'], Path(opt['path']['log']), opt['rank'] == 0, dict2str(opt)) as open_file:
        yield open_file


class Run:
    """One run of a job.

    Args:
        opt: completed options.
        result: name of the file in `results/NAME/` that is written last.
        open_log_file: opens the log file.
        made_from: reads the identity in a result.
        job: that makes the result.
        page: writes its page; None for none.

    Attributes:
        folder: `results/NAME`.
        result: the file that is written last.
        unfinished: folder of what is kept until then.
        is_first: whether this process writes the result.
        lock: that the run holds from `begin` on.
    """

    def __init__(
        self,
        opt: Options,
        result: str,
        open_log_file: Callable[[], None],
        made_from: Callable[[Path], Mapping[str, Any]],
        job: str,
        page: Write | None,
    ) -> None:
        self.folder = Path(opt['path']['results_root'])
        self.result, self.unfinished = self.folder / result, self.folder / 'unfinished'
        self.name, self.is_first = opt['name'], opt['rank'] == 0
        self._open_log_file, self._made_from = open_log_file, made_from
        self._job, self._page = job, page
        self.lock = ExitStack()

    def sound(self, what: str) -> None:
        """Say that `--check` found nothing wrong."""
        get_root_logger().info(f'{self.name}: options, {what} are sound.')

    def begin(self, identity: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> bool:
        """Look at what earlier runs left; every rank has to come here.

        Args:
            identity: all that decides the unfinished work, as JSON values.
            asked: what else decides the result.

        Returns:
            Whether there is work to do; not if the result is there.

        Raises:
            OptionError: what is there was made from something else, or another process works on it.
        """
        self.lock.enter_context(locked(self.folder, self.is_first))
        has_work = begin(self.result, self.unfinished, identity, self._made_from, asked or {})
        if has_work:
            self._open_log_file()
        elif self.is_first and not page_of(self.folder, self._job).is_file():  # of a run killed at its very end
            remove_stale(self.folder)
            self._write_page()
        return has_work

    def finish(self, said: str) -> None:
        """Forget what was kept for continuing, now that the result is written, say what it is, and write its page."""
        forget(self.unfinished)
        get_root_logger().info(said)
        self._write_page()

    def _write_page(self) -> None:
        if self._page is not None and self.is_first:
            page = write_beside(self.result, self._job, self._page)
            if page is not None:
                get_root_logger().info(f'Report: {page}')


@contextmanager
def resumable(
    opt: Options,
    job: str,
    result: str,
    made_from: Callable[[Path], Mapping[str, Any]] = manifest_header,
    page: Write | None = None,
) -> Iterator[Run]:
    """The frame of a job: its log, its seed, its folder, which no other process may work in.

    Args:
        opt: completed options.
        job: its name.
        result: name of the file in `results/NAME/` that is written last.
        made_from: reads the identity in such a file.
        page: writes its page; None for none.
    """
    with open_log(opt, job) as open_log_file:
        set_random_seed(opt['manual_seed'])
        run = Run(opt, result, open_log_file, made_from, job, page)
        with run.lock:
            yield run


def identity(
    method: str,
    opt: Options,
    blocks: Mapping[str, Any],
    networks: Mapping[str, nn.Module] | None = None,
    without: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """All that decides a result, as JSON values; what decides only how it is worked on is left out.

    Args:
        method: what is done.
        opt: completed options.
        blocks: name of the block of the job -> its dataclass.
        networks: end of the key `network_...` -> the network with its weights.
        without: keys of the block that change no result, such as `workers`.
        more: what else decides, such as `source_of` of a dataset.
    """
    networks = networks or {}
    settings = {
        name: {key: value for key, value in asdict(block).items() if key not in without}
        for name, block in blocks.items()
    }
    datasets = {
        name: {key: value for key, value in block.items() if key not in LOADER_KEYS}
        for name, block in opt['datasets'].items()
    }
    return {
        'method': method,
        'seed': opt['manual_seed'],
        'options': {**settings, 'datasets': datasets, **{key: opt[key] for key in opt if key.startswith('network_')}},
        'weights': {f'network_{name}': weights_digest(net) for name, net in networks.items()},
        **more,
    }


def source_of(dataset: SampleDataset, items: Sequence[Item] | None = None) -> dict[str, str]:
    """What identifies a dataset: digests of the names and sizes of its images, and of its files.

    Args:
        dataset: one that `inventory` accepts.
        items: its inventory, if it is known.
    """
    names = inventory(dataset) if items is None else items
    return {'fingerprint': fingerprint(names), 'content': content_digest(dataset)}
