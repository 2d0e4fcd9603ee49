"""A first batch through a network whose derivatives are to be taken."""

from basicsr.utils import get_root_logger

from basicsr_ext.networks.fits import refuse_other_shape, try_network
from basicsr_ext.selection.influence.batches import Batch
from basicsr_ext.selection.influence.derivatives import Derivatives


def refuse_misfit(derivatives: Derivatives, batch: Batch, where: str, of_input: str, of_output: str) -> None:
    """Run the network on a batch.

    Args:
        derivatives: of the network.
        batch: on its device.
        where: the dataset that gave it, named in errors.
        of_input, of_output: what to do where the network does not take it, or gives another shape.

    Raises:
        OptionError: it does not take the batch, or gives another shape than that of the clean images.
    """
    name, given = type(derivatives.net).__name__, str(tuple(batch.lq.shape))
    shape = try_network(lambda: derivatives.output_shape(batch), name, given, where, of_input)
    refuse_other_shape(shape, batch.gt.shape, name, where, of_output)


def settle_forward_mode(derivatives: Derivatives, batch: Batch, exact_hessian: bool = False) -> None:
    """Leave forward mode, with a warning, if the network has an operation without such a derivative.

    Args:
        derivatives: of the network.
        batch: on its device, that is tried.
        exact_hessian: whether second derivatives are needed too.
    """
    missing = derivatives.leave_forward_mode_if_missing(batch, exact_hessian)
    if missing is not None:
        get_root_logger().warning(
            f'{type(derivatives.net).__name__} has no forward-mode derivative, gradients are taken instead, which '
            f'takes longer ({missing})'
        )
