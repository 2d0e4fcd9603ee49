"""Weights of a network on disk: read whatever is common, refuse what does not fit, write atomically."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping, Set
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import safetensors.torch
import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from basicsr_ext.errors import CheckpointError, first_line, shown
from basicsr_ext.runtime.files import atomic_open

# Where the weights may stand in a checkpoint, tried in this order after the key that was asked for.
PARAM_KEYS = ('params', 'params_ema', 'state_dict', 'model')
NETWORK = 'network'  # where a file says what network it is of, in JSON; BasicSR reads the keys above alone
NAMES_SHOWN = 5


def atomic_torch_save(obj: object, path: str | os.PathLike[str]) -> None:
    """`torch.save` that leaves either the whole new file or the old one.

    Raises:
        CheckpointError: the file cannot be written (disk full, no permission, ...).
    """
    try:
        with atomic_open(path) as file:
            torch.save(obj, file)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f'checkpoint {path}',
            'to write it',
            error,
            'Free disk space or change the permissions, then continue with --auto_resume.',
        ) from error


def save_network_weights(
    path: str | os.PathLike[str],
    weights: Mapping[Any, Mapping[str, Tensor]],
    network: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a network, on the CPU, as `load_network_weights` and BasicSR read them.

    Args:
        path: the file.
        weights: state dicts by their keys, `params` mostly.
        network: `type` and arguments of the network, which stand beside the weights; None for none.

    Raises:
        CheckpointError: the file cannot be written.
    """
    content = {key: {name: value.cpu() for name, value in state.items()} for key, state in weights.items()}
    atomic_torch_save({**content, **network_note(network)}, path)


def network_note(network: Mapping[str, Any] | None) -> dict[str, str]:
    """What says in a file what network it is of; nothing where that is not known."""
    return {NETWORK: json.dumps(network, default=str)} if network else {}


def block_of(opt: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The block of a network in options, by its label in BasicSR: `net_g` or another letter; empty for none."""
    return opt.get(f'network_{label.removeprefix("net_")}') or {}


def save_safetensors(path: str | os.PathLike[str], weights: Mapping[str, Tensor], network: Mapping[str, Any]) -> None:
    """Write the weights of a network atomically as safetensors, with its block of the option file in the metadata.

    Args:
        path: the file.
        weights: a state dict.
        network: `type` and arguments of the network.

    Raises:
        CheckpointError: the file cannot be written.
    """
    own = {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}  # tied ones are refused
    try:
        with atomic_open(path) as file:
            file.write(safetensors.torch.save(own, {'format': 'pt', NETWORK: json.dumps(network)}))
    except OSError as error:
        raise CheckpointError(
            f'checkpoint {path}', 'to write it', error, 'Free disk space or change the permissions.'
        ) from error


def save_for_use(
    opt: Mapping[str, Any], path: str | os.PathLike[str], label: str, states: Mapping[Any, Mapping[str, Tensor]]
) -> None:
    """Write the weights that are used beside a checkpoint, under `logger.checkpoint_format: safetensors`.

    Args:
        opt: completed options.
        path: of the checkpoint.
        label: of the network, `net_g` or another letter.
        states: the weights in the checkpoint by their keys; `params_ema` are used before others.
    """
    if (opt.get('logger') or {}).get('checkpoint_format') == 'safetensors':
        weights = states.get('params_ema', next(iter(states.values())))
        save_safetensors(os.path.splitext(path)[0] + '.safetensors', weights, block_of(opt, label))


def network_in(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The block of the network that a file of weights holds beside them; None if it holds none.

    Raises:
        CheckpointError: the file cannot be read, or what it says is no network.
    """
    checkpoint = read_checkpoint(path)
    note: Any = checkpoint.get(NETWORK) if isinstance(checkpoint, Mapping) else None
    if _is_safetensors(path):
        with safetensors.safe_open(path, 'pt') as file:
            note = (file.metadata() or {}).get(NETWORK)
    if not isinstance(note, str):  # a tensor or a state dict of that name is a part of the weights
        return None
    try:
        network = json.loads(note)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f'checkpoint {path}', f'a block in JSON under {NETWORK}', first_line(error), 'Save it again.'
        ) from error
    if not isinstance(network, dict) or not isinstance(network.get('type'), str):
        raise CheckpointError(
            f'checkpoint {path}', f'a block with a type under {NETWORK}', shown(network), 'Save it again.'
        )
    return network


def has_both(path: str | os.PathLike[str]) -> bool:
    """Whether a checkpoint holds weights of training and averaged ones.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    return isinstance(checkpoint, Mapping) and all(_is_state_dict(checkpoint.get(key)) for key in PARAM_KEYS[:2])


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Load a checkpoint of torch (as data, `weights_only=True`) or of safetensors onto the CPU.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it holds more than tensors and plain values.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f'checkpoint {path}', 'a file', 'none', 'Correct the path in the option file.')
    if _is_safetensors(path):
        return _read_safetensors(path)
    if _is_torchscript(path):
        raise CheckpointError(
            f'checkpoint {path}',
            'tensors and plain values',
            'a TorchScript archive, a program with its weights',
            'Where you trust it, save these: torch.save(torch.jit.load(path).state_dict(), other_path).',
        )
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except PermissionError as error:
        raise CheckpointError(
            f'checkpoint {path}', 'a file that may be read', error.strerror, 'Change its permissions.'
        ) from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'checkpoint {path}',
            'tensors and plain values',
            f'something that would run code or is damaged ({_said_of_pickle(error)})',
            'Save it again with torch.save(network.state_dict(), path).',
        ) from error
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise CheckpointError(
            f'checkpoint {path}',
            'a file written by torch.save',
            f'a damaged one ({first_line(error)})',
            'Fetch or save it again.',
        ) from error


def _said_of_pickle(error: pickle.UnpicklingError) -> str:
    """What the file holds: the class that torch names behind a page of advice, or else the first line."""
    found = re.search(r'(?:GLOBAL|class) ([\w.]+)', str(error))
    return f'an object of class {found[1]}, as of a whole network' if found else first_line(error)


def _is_torchscript(path: str | os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith('/constants.pkl') for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):  # torch says what is wrong
        return False


def _is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether the ending says so, or the first bytes do: the length of a header in JSON, and its first brace."""
    if os.fspath(path).endswith('.safetensors'):
        return True
    with suppress(OSError), open(path, 'rb') as file:
        start = file.read(9)
        return start[8:] == b'{' and int.from_bytes(start[:8], 'little') < os.path.getsize(path)
    return False


def _read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = safetensors.torch.load_file(path)
        return weights
    except Exception as error:
        raise CheckpointError(
            f'checkpoint {path}', 'a file of safetensors', first_line(error), 'Fetch or save it again.'
        ) from error


def extract_weights(
    checkpoint: Any, param_key: str | None, path: str | os.PathLike[str]
) -> tuple[dict[str, Tensor], str]:
    """Find the state dict inside a checkpoint.

    Args:
        checkpoint: what `read_checkpoint` gave.
        param_key: the key to prefer, as BasicSR's `param_key_g`; None prefers a plain state dict.
        path: named in errors.

    Returns:
        The state dict without the prefixes `module.` and `_orig_mod.` of wrapped and compiled networks, and the key it
        was found under (`'plain'` for none).

    Raises:
        CheckpointError: there is no state dict in it, or its tensors are sparse, quantised or without values.
    """
    if isinstance(checkpoint, Mapping):
        for key in dict.fromkeys((*([param_key] if param_key else []), *PARAM_KEYS)):
            if _is_state_dict(checkpoint.get(key)):
                return _plain_weights(checkpoint[key], path), key
        if _is_state_dict(checkpoint):
            return _plain_weights(checkpoint, path), 'plain'
        if any(str(name).endswith('_packed_params') for name in checkpoint):
            raise CheckpointError(
                f'checkpoint {path}',
                'weights as they are trained',
                'those of a quantised network',
                'Take the file from before it was quantised.',
            )
    found = f'keys {_some(list(checkpoint))}' if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
    raise CheckpointError(
        f'checkpoint {path}',
        f'a state dict, plain or under one of {", ".join(PARAM_KEYS)}',
        found,
        'Name the key with path.param_key_g.',
    )


def load_network_weights(
    net: nn.Module, path: str | os.PathLike[str], strict: bool = True, param_key: str | None = 'params'
) -> str:
    """Load weights into a bare network from BasicSR's, official or plain checkpoints.

    Args:
        net: the network, not wrapped in DistributedDataParallel; its method `adapt_state_dict(weights)`, if it has one,
            first turns weights of a relative into its own.
        path: a file written by `torch.save`, or one of safetensors.
        strict: whether every name has to agree; without it only names and shapes that agree are loaded, and a warning
            names the others.
        param_key: the key to prefer.

    Returns:
        The key the weights were found under, `'plain'` for a bare state dict.

    Raises:
        CheckpointError: the file is not readable or does not fit the network; names the keys.
    """
    weights, key = extract_weights(read_checkpoint(path), param_key, path)
    adapt = getattr(net, 'adapt_state_dict', None)
    if adapt is not None:
        weights = adapt(weights)
    expected = net.state_dict()
    weights = _below_prefix(weights, expected)
    misshaped = [
        f'{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}'
        for name in weights
        if name in expected and weights[name].shape != expected[name].shape
    ]
    unlike = [name for name in weights if name in expected and weights[name].is_complex() > expected[name].is_complex()]
    if unlike:
        raise CheckpointError(
            f'checkpoint {path} (key {key})',
            'real weights',
            f'complex ones in {_some(unlike)}',
            'Correct network_g or the path.',
        )
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    if strict and (misshaped or missing or unexpected):
        raise CheckpointError(
            f'checkpoint {path} (key {key})',
            f'the {len(expected)} names of {type(net).__name__}',
            f'{len(missing)} missing {_some(missing)}, {len(unexpected)} unexpected {_some(unexpected)}, '
            f'{len(misshaped)} of another shape {_some(misshaped)}',
            'Correct network_g or the path, or set path.strict_load_g: false to load only what fits.',
        )
    fitting = {k: v for k, v in weights.items() if k in expected and v.shape == expected[k].shape}
    if not fitting:
        raise CheckpointError(
            f'checkpoint {path} (key {key})',
            f'weights of {type(net).__name__}',
            f'none that fit: {_some(unexpected)}',
            'Correct network_g or the path.',
        )
    _refuse_non_finite(fitting, {name for name, _ in net.named_parameters()}, path)
    net.load_state_dict(fitting, strict=strict)
    absent = [name for name in expected if name not in fitting]
    if absent or len(fitting) < len(weights):
        get_root_logger().warning(
            f'checkpoint {path} (key {key}): {len(absent)} of {len(expected)} tensors of {type(net).__name__} were not '
            f'loaded and keep the values that they were built with: {_some(absent)}; {len(unexpected)} in the file are '
            f'of no use: {_some(unexpected)}; {len(misshaped)} are of another shape: {_some(misshaped)}.'
        )
    return key


def _below_prefix(weights: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network that is a part of a larger module, as Lightning saves it: `net_g.conv.weight`.

    Where several parts would do, as beside a moving average, it is `net_g`.
    """
    if weights.keys() & expected.keys():
        return weights
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        part, _, own = name.partition('.')
        parts.setdefault(part, {})[own] = value
    whole = {part: own for part, own in parts.items() if expected.keys() <= own.keys()}
    return whole.get('net_g', next(iter(whole.values()))) if len(whole) == 1 or 'net_g' in whole else weights


def _refuse_non_finite(weights: Mapping[str, Tensor], parameters: Set[str], path: str | os.PathLike[str]) -> None:
    """Refuse NaN everywhere and infinite numbers in parameters; a buffer may be a mask that holds some."""
    broken = [
        name
        for name, value in weights.items()
        if (value.is_floating_point() or value.is_complex())
        and (value.isnan().any() or (name in parameters and value.isinf().any()))
    ]
    if broken:
        raise CheckpointError(
            f'checkpoint {path}',
            'finite weights',
            f'NaN or infinite ones in {len(broken)} of {len(weights)} tensors {_some(broken)}',
            'Take a checkpoint from before the training diverged.',
        )


def weights_digest(net: nn.Module) -> str:
    """A digest of the names and values of all weights and buffers."""
    digest = blake2b(digest_size=16)
    for name, value in net.state_dict().items():
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Tensor) for item in value.values())


def _plain_weights(weights: Mapping[str, Tensor], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    for name, value in weights.items():
        kinds = {
            'sparse': value.layout is not torch.strided,
            'quantised': value.is_quantized,
            'without values, on the device meta': value.is_meta,
        }
        for kind, is_so in kinds.items():
            if is_so:
                raise CheckpointError(
                    f'checkpoint {path}',
                    'weights as they are trained',
                    f'{name}, which is {kind}',
                    'Save them as dense tensors of floating-point numbers.',
                )
    return {name.removeprefix('module.').removeprefix('_orig_mod.'): value for name, value in weights.items()}


def _some(names: list[str]) -> str:
    more = ', ...' if len(names) > NAMES_SHOWN else ''
    return f'[{", ".join(map(str, names[:NAMES_SHOWN]))}{more}]'
