"""Restore images: regions, early exits, files."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room

from basicsr_ext.inference.exit_map import draw_exit_map
from basicsr_ext.inference.exit_scores import EXIT_SCORES, ExitScore
from basicsr_ext.inference.restore import Restored, restore
from basicsr_ext.inference.restorer import Restorer
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings, read_settings
from basicsr_ext.networks.tiling import Padded

__all__ = [
    'EXIT_SCORES',
    'AdaptiveSettings',
    'ExitScore',
    'InferenceSettings',
    'Padded',
    'Restored',
    'Restorer',
    'draw_exit_map',
    'read_settings',
    'restore',
]
