"""FlexIRModel: RestorationModel with progressive self-distillation."""

from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.flexir_arch import BranchOutput, FlexIR
from basicsr_ext.errors import OptionError
from basicsr_ext.images.pixels import swap_order
from basicsr_ext.inference.exit_costs import ExitCosts, known_costs
from basicsr_ext.inference.exit_map import draw_exit_map, exit_shares, rule_in_words
from basicsr_ext.inference.regions import RegionGrid
from basicsr_ext.inference.restore import restore
from basicsr_ext.models.flexir_options import FlexIRModelOptions, FlexIRTrainOptions, FlexIRValOptions
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.models.restoration_options import ModelOptions, TrainOptions, ValOptions
from basicsr_ext.runtime import distributed
from basicsr_ext.training.state import refusing_foreign_values


@MODEL_REGISTRY.register()
class FlexIRModel(RestorationModel):
    """Train the branches of a FlexIR together, from the first to the last, with the full network as their teacher.

    "FlexIR", Sec. 3.2 and Algorithm 1 (progressive self-distillation, PSD). The pointer of an iteration is that of its
    stage; branches beyond it are not computed. The teacher is frozen: a FlexIR with the weights, also of a SwinIR,
    of `path.pretrain_network_t`, built as `network_t` or else as `network_g` says; without such weights the network as
    it was when training started. It is not computed where the loss gives it no weight. The ablations of Table 6 are one
    option each: SD with `train.progressive: false`, PSD by default, PSD with channel-wise scoring by
    `network_g.channel_scoring: true`.

    With `train.milestones: auto` a stage ends when the loss of its newest branch alone has stopped falling: of
    `distillation_opt` on that branch, averaged over the ranks. It lasts no longer than a stage of `milestones: ~`.

    Readings chosen: one backward pass for the sum of all branches (Eq. 5); `train.detach_between_blocks: true` is
    Algorithm 1 by the letter, where the loss of a branch changes its own block only. `pixel_opt`, `perceptual_opt` and
    `losses` are optional and add to the loss of the last active branch. Validation during training uses that branch.

    `val.inference` restores region by region, regularly or with early exits (Algorithm 2), as `InferenceSettings` says.
    The values of an image then include `macs`, in parts of those of the full network on the whole image, and with early
    exits `exit_mean` and `exit_1` to `exit_n`, the shares of the area that each exit restored; with `save_img` a
    picture of the exits stands beside the image.

    Args:
        opt: the whole option file, completed.

    Raises:
        OptionError: a key of these options is unknown or wrong, a network is not a FlexIR, or student and teacher have
            features of different width.
        CheckpointError: the weights do not fit.

    Example:

    .. code-block:: yaml

        model_type: FlexIRModel
        num_gpu: auto
        network_g:
          type: FlexIR
          upscale: 1
          in_chans: 1
          img_size: 16
          window_size: 4
          depths: [2, 2]
          embed_dim: 12
          num_heads: [2, 2]
          mlp_ratio: 2
          upsampler: ''
          channel_scoring: true
        path:
          pretrain_network_g: ~
        train:
          total_iter: 1000
          optim_g:
            type: Adam
            lr: 1e-5
          progressive: true
          milestones: [250]  # or auto, or {window: 50, tolerance: 0.01}
          detach_between_blocks: false
          distillation_opt:
            type: ProgressiveDistillationLoss
            alpha: 0.1
    """

    ModelOptions: ClassVar[type[ModelOptions]] = FlexIRModelOptions
    TrainOptions: ClassVar[type[TrainOptions]] = FlexIRTrainOptions
    ValOptions: ClassVar[type[ValOptions]] = FlexIRValOptions

    train_options: FlexIRTrainOptions
    val_options: FlexIRValOptions
    net_t: FlexIR
    exits: tuple[RegionGrid, RegionGrid, Tensor] | None = None  # grids of the input and of the output, rows x columns
    exit_costs: ExitCosts | None = None

    # ---- building ----

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        if self.val_options.settings is not None and not self.is_train:
            self.val_options.settings.check_weights(self.net_in_use(), 'val.inference.calibration')

    def init_training_settings(self) -> None:
        """Build losses, optimiser, schedule, moving average and teacher."""
        super().init_training_settings()
        student = _flexir(self.get_bare_model(self.net_g), 'network_g')
        self.stages = self.train_options.stages(student.num_branches)
        self.distillation = build_loss(self.train_options.distillation_opt).to(self.device)
        self.needs_teacher: bool = getattr(self.distillation, 'needs_teacher', True)
        self._build_teacher(student)
        self._watched: list[Tensor] = []  # the loss of the newest branch on each part of a batch
        self._point(0)

    def _build_teacher(self, student: FlexIR) -> None:
        path = self.opt['path']
        self.teacher_is_initial = path.get('pretrain_network_t') is None
        if self.teacher_is_initial and 'network_t' in self.opt:
            raise OptionError(
                'path.pretrain_network_t',
                'weights of network_t',
                'none',
                'Name a file, or remove network_t to learn from the network as it is at the start.',
            )
        if self.teacher_is_initial:
            self.net_t = deepcopy(student)
        else:
            block = self.opt.get('network_t', self.opt['network_g'])
            self.net_t = _flexir(build_network(block), 'network_t').to(self.device)
            strict = path.get('strict_load_t', True)
            self.load_network(self.net_t, path['pretrain_network_t'], strict, path.get('param_key_t', 'params'))
        widths = [net.conv_first.out_channels for net in (student, self.net_t)]
        if widths[0] != widths[1]:
            raise OptionError(
                'network_t.embed_dim', f'{widths[0]} as in network_g', widths[1], 'Take a teacher as wide.'
            )
        self.net_t.eval().requires_grad_(False)

    # ---- training ----

    def _point(self, iteration: int) -> None:
        """Activate the branches of an iteration in the network and in its moving average."""
        for net in (self.get_bare_model(self.net_g), getattr(self, 'net_g_ema', None)):
            if net is not None:
                net.pointer = self.stages.at(iteration)

    def optimize_parameters(self, current_iter: int) -> None:
        """One optimiser step on the branches that are active in this iteration; see RestorationModel."""
        self._point(current_iter)
        self._watched.clear()
        super().optimize_parameters(current_iter)
        if self.stages.is_watching:
            self._watch(current_iter)

    def _watch(self, current_iter: int) -> None:
        """Let the loss of the newest branch decide, averaged over the batches of all ranks."""
        loss = distributed.add_up(torch.stack(self._watched).mean()) / self.opt['world_size']
        reason = self.stages.observe(current_iter, loss.item())
        self.stage_state = self.stages.state()
        if reason:
            newest = self.stages.at(current_iter)
            get_root_logger().info(
                f'Branch {newest + 1} is active from iteration {current_iter + 1} on. Of branch {newest} {reason}.'
            )

    def compute_losses(self, lq: Tensor, gt: Tensor) -> OrderedDict[str, Tensor]:
        """The loss of the active branches, and what other losses say of the last one."""
        with self._autocast():
            branches: list[BranchOutput] = self.net_g(lq, self.train_options.detach_between_blocks)
            teacher_feature = self._teacher_feature(lq).float() if self.needs_teacher else None
        if self.model_options.use_amp:
            branches = [branch.float() for branch in branches]
        self.output = branches[-1].image
        if self.stages.is_watching:
            with torch.no_grad():
                self._watched.append(self.distillation(branches[-1:], gt, teacher_feature))
        losses = OrderedDict(l_distill=self.distillation(branches, gt, teacher_feature))
        losses.update(self.losses(self.output, gt))
        return losses

    @torch.no_grad()
    def _teacher_feature(self, lq: Tensor) -> Tensor:
        """F_t of Eq. 4: what the teacher's last RSTB gives."""
        state = self.net_t.begin(lq)
        for _ in range(self.net_t.num_branches):
            state = self.net_t.step(state)
        return state.feature

    # ---- testing ----

    @torch.no_grad()
    def test(self) -> None:
        """Restore `lq` with the averaged network if there is one, as `val.inference` says."""
        settings = self.val_options.settings
        if settings is None:
            super().test()
            return
        net = _flexir(self.net_in_use(), 'network_g')
        with self._autocast():
            restored = restore(net, self.lq, settings)
        height, width = self.lq.shape[2:]
        self.output = restored.image
        self.exits = settings.grid(height, width), restored.grid, restored.exits[0]
        self.exit_costs = known_costs(net, self.lq.shape[1], self.exits[0].region_size)

    def extra_results(self, image: np.ndarray, saved_as: Path | None) -> dict[str, float]:
        """The cost of `val.inference`, and the exits by which regions left; see `validate`."""
        settings = self.val_options.settings
        if settings is None or self.exits is None or self.exit_costs is None:
            return {}
        grid, scaled, exits = self.exits
        values = {'macs': self.exit_costs.fraction(grid, exits, settings.tails_passed)}
        if settings.adaptive is None:
            return values
        branches = len(self.exit_costs.regular)
        shares = exit_shares(scaled, exits, branches)
        values['exit_mean'] = sum(branch * share for branch, share in enumerate(shares, 1))
        values.update({f'exit_{branch}': share for branch, share in enumerate(shares, 1)})
        if saved_as is not None:
            path = saved_as.with_name(f'{saved_as.stem}_exits.png')
            rule = rule_in_words(settings, settings.pointer or _flexir(self.net_in_use(), 'network_g').pointer)
            draw_exit_map(swap_order(image), scaled, exits, branches, path, values['macs'], rule)
        return values

    # ---- saving ----

    def save(self, epoch: int, current_iter: int) -> None:
        """Write the networks and the state; the teacher too where nothing else keeps its weights."""
        if self.teacher_is_initial:
            self.save_network(self.net_t, 'net_t', current_iter)
        super().save(epoch, current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Put back what `save` wrote."""
        super().resume_training(resume_state)
        iteration = resume_state['iter']
        if self.teacher_is_initial:
            self.load_network(self.net_t, f'{self.opt["path"]["models"]}/net_t_{iteration}.pth')
        with refusing_foreign_values(resume_state):
            self.stages.restore(self.stage_state, iteration)
        self._point(iteration)


def _flexir(net: nn.Module, where: str) -> FlexIR:
    if not isinstance(net, FlexIR):
        raise OptionError(f'{where}.type', 'FlexIR', type(net).__name__, 'Take another model_type.')
    return net
