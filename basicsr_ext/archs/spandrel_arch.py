"""The architectures of spandrel, for training."""

import importlib
import math
from inspect import signature
from typing import Any, get_args

import torch
from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import CheckpointError, OptionError, nearest, shown
from basicsr_ext.options.calls import check_call
from basicsr_ext.options.load import find_file
from basicsr_ext.runtime.checkpoint import extract_weights, read_checkpoint

# With any other upsampler, DRCT's default '' too, these networks return their input.
UPSAMPLERS = {'DAT': ('pixelshuffle', 'pixelshuffledirect'), 'DRCT': ('pixelshuffle',), 'HAT': ('pixelshuffle',)}


@ARCH_REGISTRY.register()
def SpandrelArch(
    architecture: str | None = None, checkpoint: str | None = None, variant: str | None = None, **arguments: Any
) -> nn.Module:
    """Build a network of spandrel, from scratch or as a checkpoint file asks for.

    The result is spandrel's own module, so that its state dict has the official keys and loads wherever they are known.
    What it asks of the sides of its input, and the factor by which it enlarges it, are what spandrel says of its
    weights, in its attributes `size_multiple`, `size_minimum`, `size_square` and `output_scale`; RestorationModel pads
    by them and refuses another scale. Where spandrel cannot tell from the weights of a fresh network, it is trained
    without them, a warning is logged, and images are padded to `window_size` of the block, if any.

    Spandrel infers architecture and arguments from the names and shapes of the weights. Some arguments leave no trace
    there (GRL's `window_size`, `stripe_size`, `stripe_shift`, `anchor_window_down_factor` and `anchor_proj_type`,
    SwinIR's `img_range`): give them beside
    `checkpoint`, and they replace what was inferred.

    Networks that take a mask (LaMa) or return several images (GFPGAN) build, but need a model of their own to train.

    .. code-block:: yaml

        network_g:
          type: SpandrelArch
          architecture: GRL
          embed_dim: 16
          depths: [1, 1]
          num_heads_window: [1, 1]
          num_heads_stripe: [1, 1]
          mlp_ratio: 2.0

    Args:
        architecture: its name in spandrel; may be left out beside `checkpoint`.
        checkpoint: a file of weights, `.pth` or `.safetensors`, under `params`, `params_ema`, `state_dict`, `model` or
            plain.
        variant: the class, for an architecture that has several.
        **arguments: those of spandrel's class, by its own names (`in_channels`, `in_chans`, ...).

    Returns:
        The network, in training mode.

    Raises:
        OptionError: spandrel is not installed, a name or an argument that it does not know, or arguments with which
            its network cannot be built or returns its input unchanged.
        CheckpointError: the file cannot be read, or holds no weights that spandrel knows.
    """
    spandrel = _import('spandrel')
    if architecture is not None:
        architecture = _known(architecture, spandrel.MAIN_REGISTRY)
    if checkpoint is not None:
        return _from_checkpoint(spandrel, architecture, checkpoint, variant, arguments)
    if architecture is None:
        raise OptionError('SpandrelArch.architecture', 'a name or a checkpoint', 'neither', 'Add one of them.')
    description = spandrel.MAIN_REGISTRY[architecture].architecture
    net = _construct(_variant(description, variant), arguments)
    try:
        with torch.random.fork_rng(devices=[]):  # spandrel builds a second network; the next one shall not notice
            _note_sides(net, description.load(dict(net.state_dict())))
    except Exception as error:  # spandrel's inference fails in every way that Python has
        get_root_logger().warning(
            f'network {architecture}: spandrel cannot tell which images it takes ({_line(error)}); they are padded '
            'to window_size, if the option block has one.'
        )
    return net


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(
            'SpandrelArch', 'spandrel to be installed', error, 'Run: pip install "basicsr-ext[archs]"'
        ) from error


def _known(name: str, registry: Any) -> str:
    """The name of an architecture if spandrel has it; capitals do not matter to the advice."""
    known = {support.architecture.id.lower(): support.architecture.id for support in registry}
    if name in known.values():
        return name
    same = known.get(str(name).lower())
    advice = f'Did you mean {same}?' if same else nearest(name, known.values())
    raise OptionError('SpandrelArch.architecture', 'one of spandrel', shown(name), advice)


def _variant(description: Any, variant: str | None) -> type[nn.Module]:
    """The class of an architecture, which its description names as type parameter: `Architecture[GRL]`."""
    (kind,) = get_args(type(description).__orig_bases__[0])
    classes = {choice.__name__: choice for choice in get_args(kind) or (kind,)}
    if variant is None and len(classes) == 1:
        return next(iter(classes.values()))
    if variant not in classes:
        raise OptionError(
            'SpandrelArch.variant', f'one of {description.id}', shown(variant), f'Known names: {", ".join(classes)}.'
        )
    return classes[variant]


def _construct(kind: type[nn.Module], arguments: dict[str, Any]) -> nn.Module:
    check_call(kind, arguments, 'SpandrelArch', strict=True)
    try:
        net = kind(**arguments)
    except Exception as error:  # spandrel's networks do not check their arguments
        raise OptionError(
            'SpandrelArch', f'arguments that make a {kind.__name__}', f'{arguments} and {_line(error)}', 'Correct them.'
        ) from error
    upsamplers = UPSAMPLERS.get(kind.__name__)
    if upsamplers is not None and net.upsampler not in upsamplers:
        raise OptionError(
            'SpandrelArch.upsampler',
            f'{" or ".join(upsamplers)}, because {kind.__name__} returns its input unchanged with any other',
            shown(net.upsampler),
            'Use upsampler: pixelshuffle, with upscale: 1 for images of the same size.',
        )
    return net


def _line(error: Exception) -> str:
    """An error of spandrel's in one line; some have no text."""
    return ': '.join([type(error).__name__, *str(error).splitlines()[:1]])


def _note_sides(net: Any, descriptor: Any) -> None:
    """Let `basicsr_ext.networks.described` find what spandrel says, and RestorationModel the scale."""
    asked = descriptor.size_requirements
    sides: Any = getattr(net, 'window_size', None) or getattr(net, 'win_size', 1)
    window = sides if isinstance(sides, int) else max(sides)
    # spandrel's numbers are those of the published windows, of 16 pixels at most.
    net.size_multiple = math.lcm(asked.multiple_of, window) if asked.multiple_of > 1 else 1
    net.size_minimum = max(asked.minimum, window // 2 + 1) if window > 16 else asked.minimum
    net.size_square, net.output_scale = asked.square, descriptor.scale
    net.input_channels = descriptor.input_channels


# ---- checkpoints ----


def _from_checkpoint(
    spandrel: Any, architecture: str | None, path: str, variant: str | None, arguments: dict[str, Any]
) -> nn.Module:
    path = find_file(path)
    weights = _read(path)
    try:
        found = spandrel.MAIN_REGISTRY.load(weights)
    except Exception as error:  # unknown to spandrel, or known by names whose shapes then surprise it
        raise CheckpointError(
            f'checkpoint {path}',
            f'weights of an architecture of spandrel {spandrel.__version__}',
            _line(error),
            'Name architecture and arguments, and the file in path.pretrain_network_g.',
        ) from error
    for key, asked, got in (
        ('architecture', architecture, found.architecture.id),
        ('variant', variant, type(found.model).__name__),
    ):
        if asked not in (None, got):
            raise OptionError(
                f'SpandrelArch.{key}',
                f'{got}, as the weights in {path} are',
                shown(asked),
                'Correct it or leave it out.',
            )
    kind = type(found.model)
    inferred = {key: value for key, value in found.model.hyperparameters.items() if key in signature(kind).parameters}
    net = _construct(kind, {**inferred, **arguments})
    try:
        net.load_state_dict(found.model.state_dict())
    except RuntimeError as error:
        raise CheckpointError(
            f'checkpoint {path}',
            f'weights for {arguments}',
            f'another shape: {str(error).splitlines()[-1]}',
            'Correct these arguments or leave them out.',
        ) from error
    _note_sides(net, found)
    return net


def _read(path: str) -> dict[str, Tensor]:
    return extract_weights(read_checkpoint(path), None, path)[0]
