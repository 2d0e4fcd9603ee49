"""The job `complexity`: count the parameters and multiply-accumulates of a network, for each pointer."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.options import dict2str
from torch import nn

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.checks import FILE_KEYS
from basicsr_ext.jobs.option_file import JobFile
from basicsr_ext.networks.deployed import deployed_network
from basicsr_ext.networks.described import CuttableNetwork, input_channels
from basicsr_ext.networks.fits import try_network
from basicsr_ext.networks.macs import PAPER_SIZE, Complexity, at_pointer, format_table, full_macs, paper_count
from basicsr_ext.options.blocks import read_block, refuse_unknown, require
from basicsr_ext.options.command_line import read_options
from basicsr_ext.options.file_names import check_file_name
from basicsr_ext.options.load import Options
from basicsr_ext.reports.beside import write_beside
from basicsr_ext.reports.complexity_page import write_complexity_page
from basicsr_ext.runtime.files import write_new_json
from basicsr_ext.runtime.log import job_log

EXAMPLE = 'basicsr-ext complexity -opt options/complexity/complexity_FlexIR_color.yml'


@dataclass(frozen=True)
class ComplexitySettings:
    """The block `complexity`.

    Attributes:
        input_size: height and width of the image that is restored, in pixels; the paper's by default.
    """

    input_size: list[int] = field(default_factory=lambda: list(PAPER_SIZE))

    def __post_init__(self) -> None:
        if len(self.input_size) != 2 or min(self.input_size) < 1:
            raise OptionError('input_size', 'a height and a width', self.input_size, 'Correct them.')


# One for `train` or `test` does as well.
FILE = JobFile(
    job='complexity',
    settings=ComplexitySettings,
    datasets={},
    needs_datasets=False,
    networks={'g': 'the network to count'},
    used=lambda settings: {'g': False},
)


def complexity_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Count what the option file names; one for `train` or `test` does as well.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0.

    Raises:
        OptionError: an option is wrong, or the network does not take an image of that size.
    """
    opt, args = read_options('complexity', argv)
    require(opt, ('name', 'network_g'))
    if 'model_type' not in opt:  # otherwise it is the file of another job, which checks it
        refuse_unknown(opt, (*FILE_KEYS, 'network_g'))
    settings = read_block(ComplexitySettings, opt.get('complexity', {}), 'complexity')
    check_file_name(opt['name'], 'name')
    net = deployed_network(opt)
    folder = Path(root_path, 'results', str(opt['name']))
    noted = {'name': opt['name'], 'network_g': opt['network_g'], 'complexity': asdict(settings)}
    with job_log('complexity', opt['name'], folder, True, dict2str(noted)) as open_log_file:
        rows = complexity_rows(net, opt, settings)
        height, width = settings.input_size
        get_root_logger().info(f'{opt["network_g"]["type"]}, input {height} x {width}:\n{format_table(rows)}')
        if not args.check:
            result = folder / 'complexity.json'
            write_new_json(result, [asdict(row) for row in rows])
            open_log_file()
            get_root_logger().info(f'{len(rows)} rows: {result}')
            write_beside(result, 'complexity', partial(write_complexity_page, noted))
    return 0


def complexity_rows(net: nn.Module, opt: Options, settings: ComplexitySettings) -> list[Complexity]:
    """One row per branch of a network that has several, in ascending order; one for any other network."""
    channels, size = input_channels(net, opt['network_g']), settings.input_size

    def count() -> list[Complexity]:
        if isinstance(net, CuttableNetwork):
            return [_branch_row(net, pointer, channels, size) for pointer in range(1, net.num_branches + 1)]
        image = torch.zeros(1, channels, *size)
        stored = sum(parameter.numel() for parameter in net.parameters())
        return [Complexity(None, *paper_count(net, image), stored, full_macs(net, image))]

    advice = 'Correct it or network_g.'
    return try_network(count, type(net).__name__, f'{channels} channels of {size}', 'complexity.input_size', advice)


def _branch_row(net: nn.Module, pointer: int, channels: int, size: Sequence[int]) -> Complexity:
    """Regular inference: one tail."""
    branched = cast(CuttableNetwork, net)
    image, times = at_pointer(branched, pointer, channels, size)
    kept, _ = branched.cut(pointer)
    stored = sum(value.numel() for name, value in net.named_parameters() if name in kept)
    one = Complexity(pointer, *paper_count(net, image), stored, full_macs(net, image))
    return replace(one, macs_paper=one.macs_paper * times, macs_full=one.macs_full * times)
