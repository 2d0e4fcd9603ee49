"""JSON schemas of option blocks, for editors that complete and check YAML."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, Registry

from basicsr_ext.options.blocks import marks_of, plain
from basicsr_ext.options.calls import Registered
from basicsr_ext.options.dataset_blocks import INHERITED_KEYS, LoaderOptions
from basicsr_ext.options.described import keys_of

Schema = dict[str, Any]
DIALECT = 'http://json-schema.org/draft-07/schema#'
PLAIN: dict[Any, Schema] = {
    int: {'type': 'integer'},
    float: {'type': 'number'},
    bool: {'type': 'boolean'},
    str: {'type': 'string'},
    type(None): {'type': 'null'},
    Any: {},
}


def schema_of_block(kind: type, more: Mapping[str, Schema] | None = None, inherited: Collection[str] = ()) -> Schema:
    """The schema of the block that a dataclass checks.

    Args:
        kind: the dataclass.
        more: keys that somebody else reads, which may stand in the block too.
        inherited: keys that may come from a block around it.
    """
    keys = keys_of(kind)
    properties = {key.name: {**schema_of(key.hint), **_annotations(key.meaning, key.default)} for key in keys}
    required = [key.name for key in keys if key.required and key.name not in inherited]
    return block_of({**properties, **(more or {})}, required)


def block_of(properties: Mapping[str, Schema], required: list[str], is_open: bool = False) -> Schema:
    """The schema of a block with these keys.

    Args:
        properties: key -> schema.
        required: keys that have to be there.
        is_open: whether others may be there too.
    """
    return {
        'type': 'object',
        'properties': dict(properties),
        **({'required': required} if required else {}),
        'additionalProperties': is_open,
    }


def schema_of(hint: Any) -> Schema:
    """The schema of an annotation, bounds included."""
    found = dict(_schema_of_plain(plain(hint)))
    for mark in marks_of(hint):
        if isinstance(mark, Registered):
            found = {'$ref': f'#/definitions/{mark.registry._name}'}
        elif hasattr(mark, 'names'):
            found['enum'] = list(mark.names)
        else:
            found.update(_bounds(mark))
    return found


def definitions() -> dict[str, Schema]:
    """The schemas of blocks that name something registered: the `definitions` to which `schema_of` refers."""
    loader = schema_of_block(LoaderOptions)['properties']
    datasets = {
        name: schema_of_block(kind.Options, loader, inherited=INHERITED_KEYS) if hasattr(kind, 'Options') else {}
        for name, kind in _named(DATASET_REGISTRY)
    }
    called = {
        registry._name: {name: schema_of_call(target) for name, target in _named(registry)}
        for registry in (ARCH_REGISTRY, LOSS_REGISTRY)
    }
    metrics = {name: schema_of_call(target, ('img', 'img2')) for name, target in _named(METRIC_REGISTRY)}
    kinds = {DATASET_REGISTRY._name: datasets, **called, METRIC_REGISTRY._name: metrics}
    return {name: choice_of('type', blocks) for name, blocks in kinds.items()}


def choice_of(key: str, blocks: Mapping[str, Schema], required: bool = True) -> Schema:
    """The schema of a block whose other keys depend on the value of one of them; other values leave it open.

    Args:
        key: the one.
        blocks: its known values -> schema of the block then.
        required: whether it has to be there.
    """
    names = {'anyOf': [{'enum': list(blocks)}, {'type': 'string'}]}
    cases = [
        {'if': {'properties': {key: {'const': value}}, 'required': [key]}, 'then': block}
        for value, block in blocks.items()
        if block
    ]
    needed = {'required': [key]} if required else {}
    return {'type': 'object', 'properties': {key: names}, **needed, 'allOf': cases}


def schema_of_call(target: Callable[..., Any], given: Collection[str] = ()) -> Schema:
    """The schema of a block that holds arguments of a class or function beside its `type`.

    Args:
        target: the class or function.
        given: arguments that its caller passes.
    """
    parameters = inspect.signature(target).parameters.values()
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in given]
    properties = {p.name: {'default': p.default} if _is_json(p.default) else {} for p in named}
    required = [p.name for p in named if p.default is p.empty]
    return block_of({'type': {}, **properties}, required, is_open)


def _named(registry: Registry) -> list[tuple[str, Any]]:
    return sorted({name.removesuffix('_basicsr'): target for name, target in registry}.items())


def _is_json(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | list) and value is not inspect.Parameter.empty


def _schema_of_plain(hint: Any) -> Schema:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {'anyOf': [schema_of(option) for option in arguments]}
    if origin is Literal:
        return {'enum': list(arguments)}
    if origin is list:
        return {'type': 'array', 'items': schema_of(arguments[0])}
    if hasattr(hint, 'schema'):
        own: Schema = hint.schema()
        return own
    if dataclasses.is_dataclass(hint):
        return schema_of_block(hint)  # type: ignore[arg-type]
    return {'type': 'object'} if origin is dict or hint is dict else PLAIN[hint]


def _bounds(mark: Any) -> Schema:
    if isinstance(mark, Interval):
        return {key: value for part in mark for key, value in _bounds(part).items()}
    names = {Ge: 'minimum', Gt: 'exclusiveMinimum', Le: 'maximum', Lt: 'exclusiveMaximum'}
    return {names[type(mark)]: next(iter(dataclasses.astuple(mark)))}


def _annotations(meaning: str, default: Any) -> Schema:
    return {'description': meaning, **({} if default is None else {'default': default})}
