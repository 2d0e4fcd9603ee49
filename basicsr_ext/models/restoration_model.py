"""RestorationModel: SRModel's protocol with the training features that a long run needs."""

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import fields
from typing import Any, ClassVar

import torch
from basicsr.losses import build_loss
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from basicsr_ext.errors import DivergenceError, OptionError
from basicsr_ext.models.restoration_options import ModelOptions, TrainOptions, ValOptions
from basicsr_ext.networks.described import input_sides, output_scale
from basicsr_ext.networks.tiling import evaluating, run_padded, run_tiled
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import building
from basicsr_ext.runtime.checkpoint import block_of, load_network_weights, save_for_use, save_network_weights
from basicsr_ext.training import learning_rate, state
from basicsr_ext.training.loader import samples_per_rank
from basicsr_ext.training.losses import WeightedLosses
from basicsr_ext.training.validation import validate


@MODEL_REGISTRY.register()
class RestorationModel(SRModel):
    """One network trained on pairs `lq`, `gt`; runs in this package's loop and in BasicSR's.

    Beyond SRModel it has any optimiser of torch.optim, mixed precision, channels-last layout, torch.compile, gradient
    accumulation and clipping, an exponential moving average that includes buffers, several losses, a guard against non-
    finite gradients, validation shared by all ranks, tiles, padding to what the network divides, and checkpoints that
    are written whole or not at all. The options are those of `ModelOptions`, `TrainOptions` and `ValOptions`.

    Images are padded to what the network asks for: its attributes `size_multiple`, `size_minimum` and `size_square`, or
    `window_size` of its option block.

    Args:
        opt: the whole option file, completed.

    Raises:
        OptionError: a key of these options is unknown or wrong.
        CheckpointError: the weights do not fit.

    Example:

    .. code-block:: yaml

        model_type: RestorationModel
        num_gpu: auto
        use_amp: true
        amp_bf16: true
        network_g:
          type: IRCNN
          num_in_ch: 1
          num_out_ch: 1
        path:
          pretrain_network_g: ~
        train:
          total_iter: 1000
          optim_g:
            type: AdamW
            lr: 1e-3
          scheduler:
            type: CosineAnnealingLR
            T_max: 1000
          warmup_iter: 100
          ema_decay: 0.999
          accum_iter: 2
          grad_clip: 10
          pixel_opt:
            type: L1Loss
          losses:
            - type: MSELoss
              loss_weight: 0.1
        val:
          val_freq: 500
          save_img: false
          tile_size: 256
          tile_overlap: 32
          metrics:
            psnr:
              type: calculate_psnr
              crop_border: 0
    """

    ModelOptions: ClassVar[type[ModelOptions]] = ModelOptions
    TrainOptions: ClassVar[type[TrainOptions]] = TrainOptions
    ValOptions: ClassVar[type[ValOptions]] = ValOptions
    own_metrics: ClassVar[Mapping[str, Any]] = {}  # measured beside `val.metrics`

    net_g: nn.Module
    net_g_ema: nn.Module
    output: Tensor

    def __init__(self, opt: dict[str, Any]) -> None:
        flags = {field.name: opt[field.name] for field in fields(self.ModelOptions) if field.name in opt}
        self.model_options = read_block(self.ModelOptions, flags, 'options')
        self.val_options = read_block(self.ValOptions, opt.get('val') or {}, 'val')
        super().__init__(opt)
        scale = output_scale(self.get_bare_model(self.net_g))
        if scale not in (None, opt.get('scale', 1)):
            raise OptionError(
                'scale',
                f'{scale}, the factor by which network_g enlarges',
                opt.get('scale', 1),
                'Correct it or network_g.',
            )

    # ---- building ----

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Move a network to the device, in the layout, compiled and wrapped as the options say."""
        net = net.to(self.device)
        if self.model_options.use_channels_last:
            net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        in_one_process = self.opt['num_gpu'] > 1 and not self.opt['dist']
        if self.model_options.use_compile:
            if in_one_process:  # the copies of DataParallel would all run what was compiled for the first GPU
                raise OptionError(
                    'use_compile', 'num_gpu: 1, or a process for each GPU', self.opt['num_gpu'], 'Start with torchrun.'
                )
            arguments = self.model_options.use_compile
            net.compile(**(arguments if isinstance(arguments, dict) else {}))
        if self.opt['dist']:
            return DistributedDataParallel(
                net,
                device_ids=[torch.cuda.current_device()] if self.device.type == 'cuda' else None,
                find_unused_parameters=self.model_options.find_unused_parameters,
            )
        return DataParallel(net) if in_one_process else net

    def init_training_settings(self) -> None:
        """Build losses, optimiser, schedule and the moving average."""
        self.train_options = read_block(self.TrainOptions, self.opt['train'], 'train')
        self.net_g.train()
        self.ema_decay = self.train_options.ema_decay
        if self.ema_decay > 0:
            self.net_g_ema = deepcopy(self.get_bare_model(self.net_g)).eval()
            path = self.opt['path'].get('pretrain_network_g')
            if path is not None:
                self.load_network(self.net_g_ema, path, self.opt['path'].get('strict_load_g', True), 'params_ema')
        self.losses = WeightedLosses(self.train_options.named_losses(), build_loss).to(self.device)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.model_options.use_amp and not self.model_options.amp_bf16
        )
        self.skipped_in_a_row = 0
        self.setup_optimizers()
        self.setup_schedulers()

    def setup_optimizers(self) -> None:
        """Build `train.optim_g` over the parameters that need a gradient."""
        frozen = [name for name, parameter in self.net_g.named_parameters() if not parameter.requires_grad]
        if frozen:
            get_root_logger().warning(f'{len(frozen)} parameters will not be optimized: {", ".join(frozen[:5])}.')
        block = self.train_options.optim_g
        kind = learning_rate.optimizer_class(block, 'train.optim_g')
        self.parameters = [p for p in self.net_g.parameters() if p.requires_grad]
        with building('train.optim_g', kind.__name__):
            self.optimizer_g = learning_rate.build(kind, self.parameters, block)
        self.optimizers.append(self.optimizer_g)

    def setup_schedulers(self) -> None:
        """Build `train.scheduler` for every optimiser."""
        block = self.train_options.scheduler or {'type': 'MultiStepLR', 'milestones': []}
        kind = learning_rate.scheduler_class(block, 'train.scheduler')
        with building('train.scheduler', kind.__name__):
            self.schedulers += [learning_rate.build(kind, optimizer, block) for optimizer in self.optimizers]

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load weights from BasicSR's, official or plain checkpoints (see `load_network_weights`)."""
        key = load_network_weights(self.get_bare_model(net), load_path, strict, param_key)
        get_root_logger().info(f'Loaded {type(self.get_bare_model(net)).__name__} from {load_path}, key: {key}.')

    # ---- training ----

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Set the rate of an iteration, counted from 1."""
        learning_rate.set_learning_rate(self.schedulers, current_iter, warmup_iter)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: `lq` and, where there is one, `gt`, both N x C x H x W in [0, 1]."""
        self.lq = self._to_device(data['lq'])
        if 'gt' in data:
            self.gt = self._to_device(data['gt'])

    def _to_device(self, batch: Tensor) -> Tensor:
        is_map = self.model_options.use_channels_last and batch.ndim == 4
        layout = torch.channels_last if is_map else torch.preserve_format
        return batch.to(self.device, non_blocking=True, memory_format=layout)

    def optimize_parameters(self, current_iter: int) -> None:
        """One optimiser step on the batch that was fed, in `accum_iter` equal parts.

        Raises:
            OptionError: the batch does not hold `accum_iter` times `batch_size_per_gpu` samples.
            DivergenceError: the gradient was not finite `nan_limit` times in a row.
        """
        parts = self.train_options.accum_iter
        if parts > 1 and len(self.lq) != samples_per_rank(self.opt):
            raise OptionError(
                'train.accum_iter',
                f'batches of {samples_per_rank(self.opt)} samples',
                f'{len(self.lq)}: this loop does not accumulate',
                'Run `python -m basicsr_ext train` or use `from basicsr_ext.jobs.train import train_pipeline`.',
            )
        self.optimizer_g.zero_grad(set_to_none=True)
        sums: OrderedDict[str, Tensor] = OrderedDict()
        for part, (lq, gt) in enumerate(zip(self.lq.chunk(parts), self.gt.chunk(parts), strict=True), start=1):
            with self._synchronised(part == parts):
                losses = self.compute_losses(lq, gt)
                self.scaler.scale(torch.stack(list(losses.values())).sum() / parts).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / parts
        self.output = self.output.detach()
        self._losses = sums
        if self._step(current_iter) and self.ema_decay > 0:
            self.model_ema(self.ema_decay)

    def compute_losses(self, lq: Tensor, gt: Tensor) -> OrderedDict[str, Tensor]:
        """Run the network on a part of a batch; returns the losses whose sum is minimised, and sets `output`."""
        with self._autocast():
            self.output = self.net_g(lq)
        output = self.output.float() if self.model_options.use_amp else self.output
        return self.losses(output, gt)

    def _step(self, current_iter: int) -> bool:
        """Clip and apply the gradient; returns whether it was finite and so applied."""
        self.scaler.unscale_(self.optimizer_g)
        limit = self.train_options.grad_clip or float('inf')
        # The same on all ranks, as the gradients are.
        self.grad_norm = nn.utils.clip_grad_norm_(self.parameters, limit)
        finite = bool(torch.isfinite(self.grad_norm))
        # Loss scaling probes for the largest scale: overflow is expected while the scale is above one.
        probing = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimizer_g)
        self.scaler.update()
        self.skipped_in_a_row = 0 if finite or probing else self.skipped_in_a_row + 1
        if not finite and not probing:
            self._report_skip(current_iter)
        return finite

    def _report_skip(self, current_iter: int) -> None:
        losses = ', '.join(f'{name} {value.item():.4g}' for name, value in self._losses.items())
        message = f'Iteration {current_iter}: the gradient is not finite ({losses}); its step was skipped'
        limit = self.train_options.nan_limit
        if self.skipped_in_a_row >= limit:
            raise DivergenceError(
                f'iteration {current_iter}',
                'a finite gradient',
                f'none in {limit} iterations in a row ({losses})',
                'Lower train.optim_g.lr, set train.grad_clip, or look at the images of these iterations; the last '
                'saved state is intact.',
            )
        get_root_logger().warning(f'{message} ({self.skipped_in_a_row} of {limit}).')

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = torch.bfloat16 if self.model_options.amp_bf16 else torch.float16
        return torch.autocast(self.device.type, dtype, enabled=self.model_options.use_amp)

    def _synchronised(self, last: bool) -> AbstractContextManager[object]:
        """Average gradients over the ranks only with the last part of an accumulated batch."""
        waits = isinstance(self.net_g, DistributedDataParallel) and not last
        return self.net_g.no_sync() if waits else nullcontext()  # type: ignore[operator]

    @torch.no_grad()
    def model_ema(self, decay: float = 0.999) -> None:
        """ema <- decay * ema + (1 - decay) * weights; buffers are copied."""
        net = self.get_bare_model(self.net_g)
        torch._foreach_lerp_(list(self.net_g_ema.parameters()), list(net.parameters()), 1 - decay)
        for average, buffer in zip(self.net_g_ema.buffers(), net.buffers(), strict=True):
            average.copy_(buffer)

    def get_current_log(self) -> OrderedDict[str, float]:
        """The losses of the last iteration, averaged over the ranks; to be called on all of them."""
        values = torch.stack(list(self._losses.values()))
        if self.opt['dist']:
            torch.distributed.all_reduce(values)
            values /= self.opt['world_size']
        return OrderedDict(zip(self._losses, values.tolist(), strict=True))

    # ---- testing ----

    def net_in_use(self) -> nn.Module:
        """The network that is tested: the averaged one if there is one."""
        net: nn.Module = self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)
        return net

    @torch.no_grad()
    def test(self) -> None:
        """Restore `lq` with the averaged network if there is one."""
        net = self.net_in_use()
        sides = input_sides(net, self.opt['network_g'])

        def restore(image: Tensor) -> Tensor:
            with self._autocast():
                restored = run_padded(net, image, sides)
            return restored.float() if self.model_options.use_amp else restored

        with evaluating(net):
            tile_size = self.val_options.tile_size
            if tile_size is None:
                self.output = restore(self.lq)
            else:
                self.output = run_tiled(restore, self.lq, tile_size, self.val_options.tile_overlap)

    def validation(self, dataloader: Any, current_iter: int | str, tb_logger: Any, save_img: bool = False) -> None:
        """Validate on `dataloader.dataset`, shared by all ranks; the results are in `validation_results`."""
        validate(self, dataloader.dataset, current_iter, tb_logger, save_img)

    # ---- saving ----

    @master_only
    def save_network(
        self,
        net: nn.Module | list[nn.Module],
        net_label: str,
        current_iter: int | str,
        param_key: str | list[str] = 'params',
    ) -> None:
        """Write `<label>_<iter>.pth` atomically, the weights of each network under its key; -1 stands for latest."""
        nets, keys = (item if isinstance(item, list) else [item] for item in (net, param_key))
        states = {key: self.get_bare_model(item).state_dict() for item, key in zip(nets, keys, strict=True)}
        name = 'latest' if current_iter == -1 else current_iter
        path = f'{self.opt["path"]["models"]}/{net_label}_{name}.pth'
        save_network_weights(path, states, block_of(self.opt, net_label))
        save_for_use(self.opt, path, net_label, states)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Write the complete state of the run; to be called on all ranks."""
        state.save_training_state(self, epoch, current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Put back what `save_training_state` wrote, or BasicSR."""
        state.resume(self, super().resume_training, resume_state)
