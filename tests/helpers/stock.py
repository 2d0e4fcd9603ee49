"""What tests of BasicSR's own option files share: jobs in this process, each with a log of its own, and a small VGG."""

import logging
from types import SimpleNamespace

from basicsr.archs import vgg_arch
from basicsr.utils import logger as basicsr_logger
from torch import nn

from basicsr_ext.__main__ import main


def small_vgg19(pretrained: bool = False) -> SimpleNamespace:
    """The layers of VGG19 with three channels; the real weights would come from the network."""
    layers = [
        nn.Conv2d(3, 3, 3, padding=1) if name.startswith('conv') else nn.ReLU() for name in vgg_arch.NAMES['vgg19']
    ]
    return SimpleNamespace(features=nn.Sequential(*layers))


def fresh_logger() -> None:
    """BasicSR's logger keeps the file of the first job of a process."""
    basicsr_logger.initialized_logger.clear()
    found = logging.getLogger('basicsr')
    for handler in list(found.handlers):
        found.removeHandler(handler)
        handler.close()


def run(*arguments: str) -> int:
    fresh_logger()
    try:
        return main(arguments)
    finally:
        fresh_logger()
