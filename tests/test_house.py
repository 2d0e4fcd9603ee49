"""The rooms of the package: what may import what (basicsr_ext/README.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'basicsr_ext'
ORDER = (  # a room imports only what stands before it
    {'errors', 'version'},
    {'runtime'},
    {'options', 'images', 'schedule'},
    {'networks'},
    {'alignment', 'selection', 'metrics'},
    {'archs', 'losses', 'inference', 'distillation'},
    {'data'},
    {'training', 'reports'},
    {'models'},
    {'jobs'},
)
AT_THE_ROOT = {'__init__', '__main__', '_compat', 'registration', 'train'}
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(PACKAGE.rglob('*.py'))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(tree: ast.Module) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each module of ours that is imported, as its parts below the package, and whether a function hides it."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            top, *parts = name.split('.')
            if top == PACKAGE.name:
                yield tuple(parts), node not in tree.body


@pytest.mark.parametrize('file', FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_before_it(file: Path) -> None:
    room = room_of(file)
    assert room in FLOOR or room in AT_THE_ROOT
    for (to, *_), is_hidden in imports(ast.parse(file.read_text(encoding='utf-8'))):
        assert room == '_compat' or not is_hidden, f'an import of {to} inside a function'
        if room in FLOOR and to != room:
            assert FLOOR.get(to, len(ORDER)) < FLOOR[room], f'{room} imports {to}'


EXCEPTIONS = {('calibrate', 'rank'), ('distill', 'rank'), ('mine', 'rank'), ('distill', 'export'), ('align', 'export')}


def test_a_job_imports_no_other_job() -> None:
    jobs = {file.name.removesuffix('.py') for file in (PACKAGE / 'jobs').iterdir() if file.name != '__init__.py'}
    for file in (PACKAGE / 'jobs').rglob('*.py'):
        own = file.relative_to(PACKAGE / 'jobs').parts[0].removesuffix('.py')
        for room, *rest in (parts for parts, _ in imports(ast.parse(file.read_text(encoding='utf-8')))):
            if room == 'jobs' and rest and own != '__init__':
                assert rest[0] in {own, 'checks'} or rest[0] not in jobs or (own, rest[0]) in EXCEPTIONS, (
                    f'{own} imports {rest[0]}'
                )
