"""Derivatives of per-image losses with respect to all parameters of a network, as products with one flat vector."""

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from basicsr_ext.errors import first_line
from basicsr_ext.networks.tiling import Sides, run_padded
from basicsr_ext.selection.influence.batches import Batch

ImageLoss = Callable[[Tensor, Tensor], Tensor]


def smooth_loss(output: Tensor, gt: Tensor) -> Tensor:
    """Eq. 7 of the influence paper, averaged over the pixels: d^2 / 2 where |d| < 1, |d| - 1/2 elsewhere.

    Args:
        output, gt: (N, C, H, W), [0, 1].

    Returns:
        (N,).
    """
    return nn.functional.smooth_l1_loss(output, gt, reduction='none').flatten(1).mean(1)


class Derivatives:
    """A network, in evaluation mode, as a function of its parameters.

    Vectors are flat, float32 (or the type of the parameters), in the order of `net.parameters()`; parameters that need
    no gradient are constants. Losses are summed over a batch with its weights.

    Args:
        net: a network that maps (N, C, H, W) to (N, C', H scale, W scale); it is set to evaluation mode.
        sides: what it asks of the sides of its input, a number is a multiple; images are padded and the result is cut.
        bfloat16: run it in bfloat16; losses and sums stay in float32.
        forward_mode: derivatives along a vector by forward-mode differentiation; without it by gradients, which works
            for every network and takes longer.
    """

    def __init__(
        self, net: nn.Module, sides: Sides | int = 1, bfloat16: bool = False, forward_mode: bool = True
    ) -> None:
        # Channels-last: on CPUs it makes the forward-mode pass a quarter faster, and bfloat16 too.
        self.net = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.sides, self.bfloat16, self.forward_mode = sides, bfloat16, forward_mode
        self.names = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.size = sum(parameter.numel() for parameter in self.parameters)

    def in_bfloat16(self) -> 'Derivatives':
        """The same of the same network, run in bfloat16."""
        other = copy(self)
        other.bfloat16 = True
        return other

    # ---- sums over the images of a batch, (size,) ----

    def gradient(self, batch: Batch, loss: ImageLoss) -> Tensor:
        """The gradient of the weighted sum of losses."""
        return self._gradients(self._total(batch, loss, self.parameters))

    def gauss_newton_product(self, batch: Batch, vector: Tensor) -> Tensor:
        """sum_i w_i J_i^T D_i J_i v / pixels, with the Jacobian J of the output and D = 1 where the smooth loss is
        quadratic, else 0 (Schraudolph, 2002): positive semi-definite."""
        output, moved = self._jvp(batch, vector)
        curved = (output.detach() - batch.gt).abs() < 1
        weights = batch.weights / batch.gt[0].numel()
        return self._gradients(output, moved * curved * weights[:, None, None, None])

    def hessian_product(self, batch: Batch, vector: Tensor) -> Tensor:
        """The exact Hessian of the weighted sum of smooth losses times a vector."""
        if not self.forward_mode:
            gradient = self._gradients(self._total(batch, smooth_loss, self.parameters), create_graph=True)
            return self._gradients(gradient @ vector)
        with forward_ad.dual_level():
            duals = self._duals([parameter.detach().requires_grad_() for parameter in self.parameters], vector)
            gradients = torch.autograd.grad(self._total(batch, smooth_loss, duals), duals, materialize_grads=True)
            tangents = [forward_ad.unpack_dual(gradient).tangent for gradient in gradients]
            zeros = (torch.zeros_like(parameter) for parameter in self.parameters)
            return self._flat([zero if t is None else t for t, zero in zip(tangents, zeros, strict=True)]).detach()

    # ---- one number per image ----

    def losses(self, batch: Batch, loss: ImageLoss) -> Tensor:
        """The loss of every row of the batch, (N,)."""
        with torch.no_grad():
            return loss(self.outputs(batch), batch.gt)

    def outputs(self, batch: Batch) -> Tensor:
        """What the network makes of a batch, in the shape of `batch.gt`, without graph."""
        with torch.no_grad():
            return self._output(batch, self.parameters)

    def directional(self, batch: Batch, loss: ImageLoss, directions: Tensor) -> Tensor:
        """The derivative of every row's loss along every direction.

        One direction costs one forward-mode pass and no backward one. Of several directions, each row's gradient is
        taken once and multiplied by all.

        Args:
            batch: N rows.
            loss: its losses.
            directions: (D, size).

        Returns:
            (N, D).
        """
        if self.forward_mode and len(directions) == 1:
            with torch.no_grad(), forward_ad.dual_level():
                losses = loss(self._output(batch, self._duals(self.parameters, directions[0])), batch.gt)
                tangent = forward_ad.unpack_dual(losses).tangent
                return (torch.zeros_like(losses) if tangent is None else tangent)[:, None]
        rows = [self.gradient(batch.row(number), loss) for number in range(len(batch.lq))]
        return torch.stack(rows) @ directions.T

    def curvature(self, batch: Batch, directions: Tensor) -> Tensor:
        """The Gauss-Newton matrix of every row's loss between directions, v^T J_i^T D_i J_i v' / pixels.

        Args:
            batch: N rows.
            directions: (D, size).

        Returns:
            (N, D, D).
        """
        pairs = [self.moved_output(batch, direction) for direction in directions]
        curved = (pairs[0][0] - batch.gt).abs() < 1
        moved = torch.stack([(tangent * curved).flatten(1) for _, tangent in pairs], 1)
        return moved @ moved.mT / batch.gt[0].numel()

    def moved_output(self, batch: Batch, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The output and its derivative J v along a vector, both without graph.

        One forward-mode pass; without forward mode two backward ones.

        Args:
            batch: N rows.
            vector: v, (size,).

        Returns:
            Twice the shape of `batch.gt`.
        """
        with torch.set_grad_enabled(not self.forward_mode):
            output, moved = self._jvp(batch, vector)
        return output.detach(), moved.detach()

    def output_shape(self, batch: Batch) -> torch.Size:
        """The shape of what the network makes of a batch, margins included."""
        return self.run(batch.lq).shape

    def leave_forward_mode_if_missing(self, batch: Batch, exact_hessian: bool) -> str | None:
        """Try forward mode on a batch and leave it if the network has an operation without such a derivative.

        Returns:
            What is missing, in PyTorch's words; None if nothing is.
        """
        vector = torch.zeros(self.size, device=batch.lq.device, dtype=self.parameters[0].dtype)
        try:
            self.directional(batch, smooth_loss, vector[None])
            if exact_hessian:
                self.hessian_product(batch, vector)
        except (NotImplementedError, RuntimeError) as error:
            if 'forward' not in str(error):
                raise
            self.forward_mode = False
            return first_line(error)
        return None

    # ---- how ----

    def run(self, lq: Tensor) -> Tensor:
        """The restored images of (N, C, H, W), without graph."""
        with torch.no_grad():
            return self._restored(lq, self.parameters)

    def _output(self, batch: Batch, parameters: Sequence[Tensor]) -> Tensor:
        """What `batch.gt` is compared with."""
        return batch.within(self._restored(batch.lq, parameters))

    def _restored(self, lq: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """The restored images in float32 (or the type of the parameters)."""
        named = dict(zip(self.names, parameters, strict=True))
        lq = lq.contiguous(memory_format=torch.channels_last)
        mixed = torch.autocast(lq.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False)
        with mixed, sdpa_kernel(SDPBackend.MATH):  # fused attention has neither forward mode nor a second derivative
            output = run_padded(lambda image: functional_call(self.net, named, (image,)), lq, self.sides)
        return output.float() if self.bfloat16 else output

    def _total(self, batch: Batch, loss: ImageLoss, parameters: Sequence[Tensor]) -> Tensor:
        """The weighted sum of the losses of a batch."""
        return (loss(self._output(batch, parameters), batch.gt) * batch.weights).sum()

    def _jvp(self, batch: Batch, vector: Tensor) -> tuple[Tensor, Tensor]:
        """The output, with its graph, and its derivative along the vector, without."""
        if self.forward_mode:
            with forward_ad.dual_level():
                dual = self._output(batch, self._duals(self.parameters, vector))
                output, tangent = forward_ad.unpack_dual(dual)
                return output, torch.zeros_like(output) if tangent is None else tangent.detach()
        output = self._output(batch, self.parameters)
        # J v is the derivative of u -> (J^T u) v, which is linear in u (Townsend, 2017).
        dummy = torch.zeros_like(output, requires_grad=True)
        pulled = self._gradients(output, dummy, create_graph=True)
        return output, torch.autograd.grad(pulled @ vector, dummy, retain_graph=True)[0]

    def _duals(self, parameters: Sequence[Tensor], vector: Tensor) -> list[Tensor]:
        tangents = vector.split([parameter.numel() for parameter in parameters])
        return [forward_ad.make_dual(p, t.view_as(p).to(p.dtype)) for p, t in zip(parameters, tangents, strict=True)]

    def _gradients(self, output: Tensor, cotangent: Tensor | None = None, create_graph: bool = False) -> Tensor:
        """The gradients of the parameters; zero for those that the output does not depend on."""
        gradients = torch.autograd.grad(
            output, self.parameters, cotangent, create_graph=create_graph, materialize_grads=True
        )
        return self._flat(gradients)

    @staticmethod
    def _flat(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor.reshape(-1) for tensor in tensors])


def per_image(loss: nn.Module) -> ImageLoss:
    """A loss of BasicSR, which averages over a batch, for each image: (N, C, H, W) twice to (N,)."""

    def losses(output: Tensor, gt: Tensor) -> Tensor:
        return torch.stack([loss(output[i : i + 1], gt[i : i + 1]) for i in range(len(output))])

    return losses
