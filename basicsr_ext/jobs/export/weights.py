"""A trained network for use: weights without training-only parts, or ONNX."""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from basicsr.archs.swinir_arch import SwinTransformerBlock
from torch import nn

from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.networks.deployed import deployed_network
from basicsr_ext.networks.described import CuttableNetwork, input_channels
from basicsr_ext.networks.fits import try_network
from basicsr_ext.options.load import Options
from basicsr_ext.runtime.checkpoint import load_network_weights, save_network_weights, save_safetensors
from basicsr_ext.runtime.files import atomic_open

TOLERANCE = 1e-4  # of images in [0, 1]


def export_weights(
    weights: Path,
    opt: Options,
    output: Path,
    pointer: int | None = None,
    size: Sequence[int] | None = None,
    param_key: str | None = None,
) -> str:
    """Write a network for use.

    Args:
        weights: a checkpoint of `network_g`, in any form that a pretrained network may have.
        opt: an option file with `network_g`.
        output: .pth for weights, .safetensors for weights that say what network they are of, .onnx for a model that
            needs neither BasicSR nor torch.
        pointer: the branch of FlexIR that is restored; of weights the last that is kept. None is the last.
        size: height and width of the images that an ONNX model takes; None lets FlexIR's take any.
        param_key: which weights of the checkpoint, such as `params_ema`; None is `path.param_key_g` of the options,
            else `params`.

    Returns:
        What is said of the file: how the weights are loaded, or which images the model takes.

    Raises:
        OptionError: the options do not fit the network or the output.
        CheckpointError: the weights do not fit, or onnxruntime restores another image than torch.
    """
    ending = output.suffix.lower()
    if ending not in ('.pth', '.safetensors', '.onnx'):
        raise OptionError(f'-o {output.name}', 'a name in .pth, .safetensors or .onnx', 'another ending', 'Rename it.')
    net = deployed_network(opt)
    if pointer is not None:
        if not isinstance(net, CuttableNetwork):
            raise OptionError('--pointer', f'none for {type(net).__name__}', pointer, 'Remove it.')
        net.pointer = pointer
    wanted = param_key or (opt.get('path') or {}).get('param_key_g', 'params')
    found = load_network_weights(net, weights, param_key=wanted)
    if param_key is not None and found != param_key:
        raise CheckpointError('--param_key', f'{param_key} in {weights}', f'{found} alone', 'Name that or none.')
    if ending == '.onnx':
        return _export_onnx(net, input_channels(net, opt['network_g']), output, size)
    if size is not None:
        raise OptionError('--input_size', 'an output in .onnx', f'{ending}, which fits any size', 'Remove it.')
    kept: dict[str, torch.Tensor] = net.state_dict()
    options: dict[str, Any] = {}
    if pointer is not None and isinstance(net, CuttableNetwork):
        kept, options = net.cut(pointer)
    if ending == '.safetensors':
        save_safetensors(output, kept, {**opt['network_g'], **options})
    else:
        save_network_weights(output, {'params': kept}, {**opt['network_g'], **options})
    cut = ', '.join(f'{key}: {value}' for key, value in options.items())
    return f'{len(kept)} tensors for {f"network_g with {cut}" if cut else "the same network_g"}'


def _export_onnx(net: nn.Module, channels: int, output: Path, size: Sequence[int] | None) -> str:
    onnx, onnxruntime, _ = (_needed(name) for name in ('onnx', 'onnxruntime', 'onnxscript'))
    any_size = size is None
    sizes = net.sizes_to_try() if isinstance(net, CuttableNetwork) else ()
    if size is None:
        if not sizes:
            raise OptionError(
                '--input_size',
                f'height and width for {type(net).__name__}, whose ONNX model takes one size',
                'none',
                'Add it.',
            )
        size, *others = sizes  # the exporter leaves out padding that its example does not need
    example = _example(net, channels, size)
    model = _onnx_model(net, example, any_size)
    note = f'{size[0]} x {size[1]}'
    checked = [tuple(size)]
    if any_size:
        note = f'any, sides of more than {min(map(min, sizes)) // 2}'  # mirroring reaches no further
        checked += others
    properties = {
        'network': type(net).__name__,
        'input_size': note,
        'input': f'1 x {channels} x H x W, RGB or grey, [0, 1]',
    }
    if isinstance(net, CuttableNetwork):
        properties['pointer'] = str(net.pointer)
    onnx.helper.set_model_props(model, properties)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    for shape in checked:
        _compare(net, session, torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(0)))
    with atomic_open(output) as file:
        file.write(content)
    return f'input {note}'


def _example(net: nn.Module, channels: int, size: Sequence[int]) -> torch.Tensor:
    if min(size) < 1:
        raise OptionError('--input_size', 'sides of at least 1', list(size), 'Correct them.')
    image = torch.zeros(1, channels, *size)
    with torch.no_grad():
        try_network(lambda: net(image), type(net).__name__, str(list(size)), '--input_size', 'Correct it.')
    return image


def _onnx_model(net: nn.Module, image: torch.Tensor, any_size: bool) -> Any:
    free = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad(), _shared_masks(net):
        warnings.simplefilter('ignore')  # of the exporter about itself
        program = torch.onnx.export(
            net,
            (image,),
            input_names=['image'],
            output_names=['restored'],
            dynamic_shapes=({2: free, 3: free},) if any_size else None,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise CheckpointError('ONNX export', 'a model of torch', 'none', 'Report the version of torch.')
    return program.model_proto


@contextmanager
def _shared_masks(net: nn.Module) -> Iterator[None]:
    """Let the blocks of a Swin transformer share the masks of an image: those of free sizes take long to export."""
    masks: dict[int, torch.Tensor] = {}
    blocks = [module for module in net.modules() if isinstance(module, SwinTransformerBlock)]

    def mask(block: SwinTransformerBlock, size: tuple[int, int]) -> torch.Tensor:
        if block.shift_size not in masks:
            masks[block.shift_size] = SwinTransformerBlock.calculate_mask(block, size)
        return masks[block.shift_size]

    hook = net.register_forward_pre_hook(lambda *_: masks.clear())
    for block in blocks:
        block.calculate_mask = partial(mask, block)
    try:
        yield
    finally:
        hook.remove()
        for block in blocks:
            del block.calculate_mask


def _compare(net: nn.Module, session: Any, image: torch.Tensor) -> None:
    with torch.no_grad():
        expected = net(image)
    restored = torch.from_numpy(session.run(None, {'image': image.numpy()})[0])
    difference = (restored - expected).abs().max().item() if restored.shape == expected.shape else float('inf')
    if not difference <= TOLERANCE:
        raise CheckpointError(
            'ONNX export',
            f'the image of torch within {TOLERANCE} for {tuple(image.shape)}',
            f'a difference of {difference:.3g}',
            'Nothing is written; set --input_size or report the versions of torch and onnx.',
        )


def _needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(
            '-o', f'the package {name} for an output in .onnx', 'none', 'Run pip install "basicsr-ext[onnx]".'
        ) from error
