"""Puts every registered class of this package into BasicSR's registries, as soon as BasicSR is imported.

Importing BasicSR takes seconds, so `import basicsr_ext` leaves it to whoever needs it first: the user's own import, or
that of a room of this package. Around this import BasicSR is repaired and our names are registered.
"""

import importlib
import importlib.abc
import importlib.util
import pkgutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# package -> ending of the modules that register something, as in BasicSR
ROOMS = {
    'archs': '_arch',
    'data': '_dataset',
    'losses': '_loss',
    'metrics': '_metric',
    'models': '_model',
    'selection.patches': '_criterion',
    'selection.complexity': '_criterion',
    'selection.coreset': '_order',
    'selection.audit': '_finding',
}


class BasicSRFinder(importlib.abc.MetaPathFinder):
    """Finds BasicSR as Python does, and lets its import end with `activate`."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname != 'basicsr':
            return None
        sys.meta_path.remove(self)
        _compat().prepare()
        spec = importlib.util.find_spec('basicsr')
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return spec
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            try:
                load(module)
                activate()
            except BaseException as error:
                sys.meta_path.insert(0, self)  # the next attempt registers
                if isinstance(error, Exception):
                    _compat().explain_foreign(Path(str(spec.origin)).parent, error)
                raise

        loader.exec_module = exec_module
        return spec


def activate_with_basicsr() -> None:
    """Repair BasicSR and register our names when it is imported, or now if it is there already."""
    if 'basicsr' in sys.modules:
        _compat().prepare()
        activate()
    elif not any(isinstance(finder, BasicSRFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, BasicSRFinder())


def activate() -> None:
    """Repair BasicSR, which is imported, and register our names."""
    _compat().install()
    register_all()


def register_all() -> None:
    """Import every module of this package whose name ends as one that registers something."""
    for room, ending in ROOMS.items():
        package = importlib.import_module(f'basicsr_ext.{room}')
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith(ending):
                importlib.import_module(f'{package.__name__}.{module.name}')


def _compat() -> Any:
    return importlib.import_module('basicsr_ext._compat')
