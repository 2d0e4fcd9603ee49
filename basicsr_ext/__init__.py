"""basicsr_ext: less data, less compute, in BasicSR's own option files.

Importing the package repairs BasicSR 1.4.2 where it fails on current libraries and registers every name of ours in
BasicSR's five registries.
"""

from basicsr_ext import _compat
from basicsr_ext.version import __version__

_compat.install()

from basicsr_ext.registration import register_all  # noqa: E402  BasicSR imports only once it is repaired

register_all()

__all__ = ['__version__']
