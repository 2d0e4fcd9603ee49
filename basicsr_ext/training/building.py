"""Build what an option file names; an error says which block it was."""

from collections.abc import Iterator
from typing import Any

import basicsr.data
import basicsr.models
from basicsr.archs import build_network
from basicsr.losses import build_loss

from basicsr_ext.errors import BasicsrExtError
from basicsr_ext.options.calls import building
from basicsr_ext.schedule.sample import SampleDataset


def build_dataset(block: dict[str, Any], where: str) -> SampleDataset:
    """The dataset of a block.

    Raises:
        OptionError: its class refuses the values; says where.
    """
    with building(where, block['type']):
        return basicsr.data.build_dataset(block)


def build_model(opt: dict[str, Any]) -> Any:
    """The model of completed options.

    Raises:
        OptionError: a value that a network, a loss or the model itself refuses; says where.
    """
    blocks = dict(_parts(opt))
    with building('model_type', opt['model_type']):
        try:
            return basicsr.models.build_model(opt)
        except BasicsrExtError:
            raise
        except Exception:
            for where, block in blocks.items():  # which of them was it?
                with building(where, block['type']):
                    (build_network if where.startswith('network_') else build_loss)(block)
            raise


def _parts(opt: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Networks and losses, which can be built alone; copies, as models take keys out of the options."""
    for key, block in opt.items():
        if key.startswith('network_'):
            yield key, dict(block)
    for key, block in (opt.get('train') or {}).items():
        if key.endswith('_opt') and isinstance(block, dict) and 'type' in block:
            yield f'train.{key}', dict(block)
