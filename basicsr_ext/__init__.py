"""basicsr_ext: less data, less compute, in BasicSR's own option files.

Importing the package lets BasicSR 1.4.2 be repaired where it fails on current libraries, and every name of ours be
registered in BasicSR's five registries, when BasicSR is imported. The functions in `__all__` do from Python what the
command line does from option files; they are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from basicsr_ext.registration import activate_with_basicsr
from basicsr_ext.version import __version__

if TYPE_CHECKING:
    from basicsr_ext.api.aligning import align
    from basicsr_ext.api.calibrating import calibrate
    from basicsr_ext.api.distilling import distill
    from basicsr_ext.api.mining import mine
    from basicsr_ext.api.ranking import rank
    from basicsr_ext.inference.restorer import Restorer
    from basicsr_ext.jobs.train import train_pipeline
    from basicsr_ext.selection.coreset.stored import Predictor
    from basicsr_ext.selection.manifest import read_manifest

__all__ = [
    'Predictor',
    'Restorer',
    '__version__',
    'align',
    'calibrate',
    'distill',
    'mine',
    'rank',
    'read_manifest',
    'train_pipeline',
]

# name -> module that holds it
_PUBLIC = {
    'align': 'basicsr_ext.api.aligning',
    'calibrate': 'basicsr_ext.api.calibrating',
    'distill': 'basicsr_ext.api.distilling',
    'mine': 'basicsr_ext.api.mining',
    'rank': 'basicsr_ext.api.ranking',
    'Restorer': 'basicsr_ext.inference.restorer',
    'train_pipeline': 'basicsr_ext.jobs.train',
    'Predictor': 'basicsr_ext.selection.coreset.stored',
    'read_manifest': 'basicsr_ext.selection.manifest',
}

activate_with_basicsr()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
