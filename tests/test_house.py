"""The rooms of the package: what may import what (basicsr_ext/README.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from basicsr_ext import errors
from basicsr_ext.jobs import jobs
from basicsr_ext.registration import ROOMS

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
    {'api'},
    {'jobs'},
)
AT_THE_ROOT = {'__init__', '__main__', '_compat', 'registration', 'train'}
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(PACKAGE.rglob('*.py'))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(node: ast.AST, is_hidden: bool = False) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each module of ours that is imported, as its parts below the package, and whether a function hides it."""
    names = []
    if isinstance(node, ast.ImportFrom):
        names = [f'{node.module}.{alias.name}' for alias in node.names]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    for name in names:
        top, *parts = name.split('.')
        if top == PACKAGE.name:
            yield tuple(parts), is_hidden
    for child in ast.iter_child_nodes(node):
        yield from imports(child, is_hidden or isinstance(node, ast.FunctionDef))


def test_a_room_imports_only_what_stands_before_it() -> None:
    wrong = []
    for file in FILES:
        room = room_of(file)
        assert room in FLOOR or room in AT_THE_ROOT, f'{room} has no place in the order'
        for (to, *_), is_hidden in imports(ast.parse(file.read_text(encoding='utf-8'))):
            if is_hidden and room != '_compat':
                wrong.append(f'{file}: an import of {to} inside a function')
            if room in FLOOR and to != room and FLOOR.get(to, len(ORDER)) >= FLOOR[room]:
                wrong.append(f'{file}: {room} imports {to}')
    assert wrong == []


def test_a_job_imports_no_other_job() -> None:
    for job in jobs():
        files = [PACKAGE / 'jobs' / f'{job}.py', *(PACKAGE / 'jobs' / job).rglob('*.py')]
        for file in files:
            tree = ast.parse(file.read_text(encoding='utf-8') if file.exists() else '')
            others = {parts[1] for parts, _ in imports(tree) if parts[0] == 'jobs' and len(parts) > 1}
            assert not (others & set(jobs())) - {job, 'jobs'}


def test_a_registered_room_imports_no_registered_class_of_another() -> None:
    """But for models, which know their networks."""
    for room in set(ROOMS) - {'selection.patches', 'selection.complexity', 'selection.coreset', 'selection.audit'}:
        for file in (PACKAGE / room).rglob('*.py'):
            for (to, *rest), _ in imports(ast.parse(file.read_text(encoding='utf-8'))):
                is_registered = to in ROOMS and any(part.endswith(ROOMS[to]) for part in rest)
                assert to == room or not is_registered or (room, to) == ('models', 'archs'), f'{file} imports {to}'


def test_an_error_says_where_what_was_expected_what_was_got_and_what_to_do() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    raised, wrong = 0, []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                raised += 1
                is_whole = any(isinstance(part, ast.Starred) for part in node.args) or len(node.args) == 4
                if not is_whole or any(isinstance(part, ast.Constant) and not part.value for part in node.args[1:]):
                    wrong.append(f'{file}:{node.lineno}')
    assert raised > 300 and wrong == []
