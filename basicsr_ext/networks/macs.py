"""The numbers of parameters and multiply-accumulates (MACs) of a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from basicsr_ext.networks.described import CuttableNetwork

COUNTED = (_ConvNd, nn.Linear, _NormBase, nn.LayerNorm, nn.Softmax)
PAPER_SIZE = (128, 128)  # height and width of the image in the tables of "FlexIR"


@dataclass(frozen=True)
class Complexity:
    """Parameters and multiply-accumulates of a network for one image, or of one pointer of FlexIR.

    Attributes:
        pointer: branch whose image is computed; None for a network without branches.
        params_paper, macs_paper: as `paper_count` counts.
        params_stored: parameters in a file of weights.
        macs_full: as `full_macs` counts.
    """

    pointer: int | None
    params_paper: int
    macs_paper: int
    params_stored: int
    macs_full: int


def paper_count(net: nn.Module, image: Tensor) -> tuple[int, int]:
    """Count module by module what runs for one image, as the tables of "FlexIR" do.

    Reading chosen: the paper does not name its tool; the rules of THOP (github.com/ultralytics/thop) give its figures.
    They take a multiplication by each weight in convolutions and linear layers, without biases, 4 operations an
    element in affine norms (2 in others) and 3 n - 1 in a softmax over n. What is computed between modules, such as
    products of queries and keys, and parameters outside of these modules, such as relative-position tables, are left
    out.

    Args:
        net: in evaluation mode.
        image: N x C x H x W.

    Returns:
        Parameters of the modules that ran, and MACs.
    """
    ran: set[nn.Module] = set()
    macs = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal macs
        ran.add(module)
        macs += _paper_macs(module, inputs[0], output)

    hooks = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, COUNTED)]
    try:
        with torch.no_grad():
            net(image)
    finally:
        for hook in hooks:
            hook.remove()
    params = {parameter for module in ran for parameter in module.parameters(recurse=False)}
    return sum(parameter.numel() for parameter in params), macs


def _paper_macs(module: nn.Module, given: Tensor, output: Tensor) -> int:
    if isinstance(module, _ConvNd):
        positions, channels = (given, 'in') if isinstance(module, _ConvTransposeNd) else (output, 'out')
        return positions.numel() // getattr(module, f'{channels}_channels') * module.weight.numel()
    if isinstance(module, nn.Linear):
        return given.numel() * module.out_features
    if isinstance(module, nn.Softmax):
        width = output.shape[-1 if module.dim is None else module.dim]
        return given.numel() // width * (3 * width - 1)
    return given.numel() * (4 if module.weight is not None else 2)


def full_macs(net: nn.Module, image: Tensor) -> int:
    """MACs of all that runs for one image, attention products included, by mmengine's analysis.

    It traces the network and counts convolutions, linear layers and products of matrices; a layer norm counts 5
    operations an element, additions, activations and softmax nothing.

    Args:
        net: in evaluation mode.
        image: N x C x H x W.
    """
    from mmengine.analysis import FlopAnalyzer  # here, because registering a model shall not import it

    analyzer = FlopAnalyzer(net, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analyzer.set_op_handle('aten::scaled_dot_product_attention', _attention_macs).tracer_warnings('none')
    with torch.no_grad():
        return int(analyzer.total())


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-accumulates of softmax(q k^T) v, for q of ... x n x d, k of ... x m x d and v of ... x m x e."""
    query, key, value = (node.type().sizes() for node in inputs[:3])
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def at_pointer(net: CuttableNetwork, pointer: int, channels: int, size: Sequence[int]) -> tuple[Tensor, int]:
    """Let a network restore by one of its branches, and tell what part of an image has to be counted how often.

    Args:
        net: its pointer is set.
        pointer: the branch, from 1.
        channels: of the image.
        size: its height and width.

    Returns:
        The part, 1 x C x h x w, zeros; the number of such parts that the image costs.
    """
    net.pointer = pointer
    tile, times = net.equal_part(size[0], size[1])
    return torch.zeros(1, channels, *tile), times


def format_table(rows: Sequence[Complexity]) -> str:
    """The rows for people: parameters in millions, MACs in thousand millions."""
    lines = [
        f'{"":>7}  {"as the paper counts":^22}  {"all of it":^22}',
        f'{"pointer":>7}  {"params [M]":>10}  {"MACs [G]":>10}  {"params [M]":>10}  {"MACs [G]":>10}',
    ]
    for row in rows:
        figures = (row.params_paper / 1e6, row.macs_paper / 1e9, row.params_stored / 1e6, row.macs_full / 1e9)
        lines.append('  '.join([f'{row.pointer or "-":>7}', *(f'{figure:10.2f}' for figure in figures)]))
    return '\n'.join(lines)
