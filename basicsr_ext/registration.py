"""Puts every registered class of this package into BasicSR's registries."""

import importlib
import pkgutil

# package -> ending of the modules that register something, as in BasicSR
ROOMS = {'archs': '_arch', 'data': '_dataset', 'losses': '_loss', 'metrics': '_metric', 'models': '_model'}


def register_all() -> None:
    """Import every `*_arch.py`, `*_dataset.py`, `*_loss.py`, `*_metric.py` and `*_model.py` of this package."""
    for room, ending in ROOMS.items():
        package = importlib.import_module(f'basicsr_ext.{room}')
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith(ending):
                importlib.import_module(f'{package.__name__}.{module.name}')
