"""What is computed on two devices and has to agree: the networks, the engines and the trainings.

`python -m tests.helpers.device_cases FILE` computes every case on the CPU and on the pretended device, and writes what
went wrong to FILE: name -> one line, '' where nothing did.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import basicsr_ext as bx  # first: it repairs BasicSR

# isort: split
import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.models.base_model import BaseModel
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from basicsr_ext.__main__ import main as program
from basicsr_ext.alignment.channel_statistics import measure
from basicsr_ext.alignment.comparison import sample_features
from basicsr_ext.alignment.diversity import diversity
from basicsr_ext.alignment.restoration_loss import RestorationLoss
from basicsr_ext.alignment.tuning import Tuning, TuningSettings
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.exit_scores import EXIT_SCORES
from basicsr_ext.inference.observation import observe
from basicsr_ext.inference.restore import restore
from basicsr_ext.inference.settings import read_settings
from basicsr_ext.networks.tiling import run_padded, run_tiled
from basicsr_ext.runtime import distributed
from basicsr_ext.selection.complexity.networks import Restoration, Scorer
from basicsr_ext.selection.coreset.encoder_features import EncoderScan
from basicsr_ext.selection.influence.batches import Batch
from basicsr_ext.selection.influence.derivatives import Derivatives, smooth_loss
from tests.helpers.flexir import NETWORK as FLEXIR
from tests.helpers.training import prepare

Case = Callable[[torch.device], Any]

GREY = {'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
RESTORMER = {'dim': 8, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1, 'heads': [1, 1, 1, 1]}
NETWORKS: dict[str, dict[str, Any]] = {
    'IRCNN': GREY,
    'DnCNN': {**GREY, 'num_layers': 3, 'with_bn': True},
    'EDSRDenoiser': {**GREY, 'num_block': 1},
    'Restormer': {'num_in_ch': 1, 'num_out_ch': 1, **RESTORMER},
    'PromptIR': {'num_in_ch': 1, 'num_out_ch': 1, **RESTORMER},
    'AdaIR': {'num_in_ch': 1, 'num_out_ch': 1, **RESTORMER},
    'UHDformer': {'num_in_ch': 1, 'num_out_ch': 1, 'dim': 8, 'num_groups': 1, 'num_blocks': 1, 'num_heads': 2},
    'FFDNet': {**GREY, 'num_layers': 3},
    'RDN': {**GREY, 'num_grow_ch': 4, 'num_block': 1, 'num_layers': 2},
    'OISR': {'num_feat': 4, 'num_block': 1},
    'MIRNetv2': {'num_in_ch': 1, 'num_out_ch': 1, 'dim': 16, 'num_blocks': 1},
    'FlexIR': {**{k: v for k, v in FLEXIR.items() if k != 'type'}, 'channel_scoring': True, 'drop_rate': 0.0},
    'DistributionTuner': {'in_channels': 1, 'width': 4, 'depth': 2},
    'FilterBankEncoder': {},
    'ComplexityScorer': {'backbone': 'test_resnet', 'input_size': 32},
    'SpandrelArch': {'architecture': 'Compact', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4, 'num_conv': 1},
}

COLOURED = ('FilterBankEncoder', 'OISR')  # take three channels


class ColouredLoss(nn.Module):
    """Mean absolute difference of filtered images: a loss with a buffer, as those that compare features have."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.register_buffer('filter', torch.tensor([[-1.0, 2.0, -1.0]])[None, None])

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Of grey images."""
        return self.loss_weight * nn.functional.conv2d(output - gt, self.filter).abs().mean()  # type: ignore[arg-type]


class AttentionNet(nn.Module):
    """A network with torch's fused attention, whose kernels have no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Conv2d(1, 24, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x 1 x H x W."""
        rows = self.qkv(x).flatten(2).transpose(1, 2).unflatten(2, (3, 1, 8)).permute(2, 0, 3, 1, 4).contiguous()
        attended: Tensor = nn.functional.scaled_dot_product_attention(*rows.unbind())
        return x + self.out(attended[:, 0].transpose(1, 2).unflatten(2, x.shape[2:]))


def built(name: str, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = build_network({'type': name, **NETWORKS[name]})
    return net.to(device)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pairs(number: int = 4, side: int = 24) -> list[tuple[Tensor, Tensor]]:
    images = [drawn(1, side, side, seed=number) for number in range(number)]
    return [((image + 0.1).clamp(0, 1), image) for image in images]


# ---- networks ----


def network(name: str, device: torch.device) -> Any:
    """A step of training and an image."""
    net, image = built(name, device), drawn(2, 3 if name in COLOURED else 1, 32, 32).to(device)
    learnt = net.train()(image)
    images = [branch.image for branch in learnt] if isinstance(learnt, list) else [learnt]
    loss = sum((each - 0.5).abs().mean() for each in images)
    if any(parameter.requires_grad for parameter in net.parameters()):
        loss.backward()
    with torch.no_grad():
        restored = net.eval()(image)
    return loss, [parameter.grad for parameter in net.parameters()], restored


def losses(device: torch.device) -> Any:
    first, second = drawn(2, 3, 8, 8).to(device), drawn(2, 3, 8, 8, seed=2).to(device)
    branches = built('FlexIR', device).train()(first[:, :1])
    distil = build_loss({'type': 'ProgressiveDistillationLoss'})
    return (
        build_loss({'type': 'FeatureKLLoss'})(first, second),
        build_loss({'type': 'GradientMatchingLoss', 'per_layer': True})([first], [second]),
        distil(branches, second[:, :1], branches[-1].feature.detach()),
    )


# ---- inference ----


def tiles(device: torch.device) -> Any:
    net = built('IRCNN', device).eval()
    with torch.no_grad():
        return run_tiled(partial(run_padded, net, sides=8), drawn(1, 1, 30, 41).to(device), 12, 8)


def regions(block: dict[str, Any], device: torch.device) -> Any:
    """Of images on the device, and of some in main memory."""
    net, images = built('FlexIR', device).eval(), drawn(2, 1, 32, 40)
    settings = read_settings({'regions': 4, 'overlap': 4, **block}, 'inference')
    return [(found.image, found.exits) for found in (restore(net, images.to(to), settings) for to in (device, 'cpu'))]


def observed(device: torch.device) -> Any:
    net, settings = built('FlexIR', device).eval(), read_settings({'regions': 4, 'adaptive': {'threshold': 0}}, 'x')
    seen = observe(net, [drawn(1, 32, 40)], settings, known_costs(net, 1, (16, 20)))
    return seen.scores, seen.looks, seen.differences


def calibrated(device: torch.device) -> Any:
    return bx.calibrate(built('FlexIR', device).eval(), [drawn(1, 32, 40)], budget=0.9, regions=4).pointer


def restorer(device: torch.device) -> Any:
    image = (255 * drawn(30, 41, 3)).byte().numpy()
    return bx.Restorer(built('FlexIR', device).eval(), channels=1).restore(image).astype(np.float32)


# ---- selection ----


def derivatives(make: Callable[[torch.device], nn.Module], device: torch.device) -> Any:
    work = Derivatives(make(device))
    batch = Batch(drawn(2, 1, 8, 8), drawn(2, 1, 8, 8, seed=2), torch.arange(2), torch.ones(2)).to(device)
    missing = work.leave_forward_mode_if_missing(batch, exact_hessian=True)
    vector = drawn(work.size).to(device)
    return (
        missing is None,
        work.gradient(batch, smooth_loss),
        work.gauss_newton_product(batch, vector),
        work.hessian_product(batch, vector),
        work.directional(batch, smooth_loss, vector[None]),
        work.directional(batch, smooth_loss, torch.stack([vector, -vector])),
        work.curvature(batch, vector[None]),
        work.losses(batch, smooth_loss),
    )


def attention(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return AttentionNet().to(device)


def ranked(settings: dict[str, Any], device: torch.device) -> Any:
    settings = {'iterations': 3, 'method': 'influence', 'grad_loss': {'type': 'ColouredLoss'}, **settings}
    column = settings['method'] if settings['method'] in ('influence', 'graddot', 'loss') else 'rank'
    return bx.rank(pairs(), pairs(2), built('IRCNN', device), **settings).array(column)


def mined(device: torch.device) -> Any:
    found = bx.mine(
        pairs(), ['loss', 'influence'], built('IRCNN', device), pairs(2), patch_size=8, stride=8,
        influence={'iterations': 3},
    )  # fmt: skip
    return found.array('loss'), found.array('influence')


def scored(device: torch.device) -> Any:
    return (
        Scorer(built('ComplexityScorer', device))(drawn(2, 3, 32, 32)),
        Restoration(built('IRCNN', device), 8, tile_size=16)(drawn(1, 30, 41)),  # type: ignore[arg-type]
    )


def encoded(device: torch.device) -> Any:
    images: Any = [drawn(1, 32, 32, seed=number) for number in range(3)]
    net = built('FilterBankEncoder', device).eval()
    with TemporaryDirectory() as folder:
        features = EncoderScan(images, net, Path(folder), 'Images', device).values()
    distances = diversity(images, net, device=device)
    return features, sample_features(images, net, device=device), list(vars(distances).values())


# ---- making images ----


def distilled(settings: dict[str, Any], device: torch.device) -> Any:
    made = bx.distill(
        pairs(), partial(built, 'IRCNN', device), size=2, image_size=16, steps=3, batch_size=2,
        **{'loss': {'type': 'ColouredLoss'}, **settings},
    )  # fmt: skip
    return [list(pair) for pair in made]


def darker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image * np.float32(0.9)


def tuned(device: torch.device) -> Any:
    class Inputs:
        opt: dict[str, Any] = {}

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {'lq': drawn(1, 32, 32, seed=index) * 0.9}

    images: Any = [drawn(1, 32, 32, seed=number) for number in range(3)]
    tuner, encoder = built('DistributionTuner', device), built('FilterBankEncoder', device).eval()
    settings = TuningSettings(iterations=3, patch_size=16, batch_size=2, restoration_weight=1.0)
    loss: Any = RestorationLoss(built('IRCNN', device), Inputs())  # type: ignore[arg-type]
    Tuning(tuner, images, encoder, measure(images, encoder, 'Target', device=device), settings, 0, loss).run()
    return [parameter.detach() for parameter in tuner.parameters()]


# ---- trainings ----


def trained(changes: dict[str, Any], device: torch.device) -> Any:
    """Stopped in the middle, and resumed."""
    here = Path.cwd()
    BaseModel.device = property(lambda self: device, lambda self, value: None)
    try:
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            root = Path(folder)
            for total in (2, 4):
                file = prepare(
                    root / 'data', **{'train__total_iter': total, 'logger__save_checkpoint_freq': 2, **changes}
                )
                more = ['--auto_resume'] if total == 4 else []
                if program(['train', '-opt', str(file), *more]):
                    raise RuntimeError('the training fails, see above')
            found: Any = torch.load(root / 'experiments/run/models/net_g_latest.pth', weights_only=True)
            return {key: found[key] for key in ('params', 'params_ema') if key in found}
    finally:
        os.chdir(here)
        del BaseModel.device


FORECAST = {'scores': ['noise', 'change'], 'weights': [[0.3, -0.2, 0.0]]}
FLEXIR_TRAINING = {
    'model_type': 'FlexIRModel',
    'network_g': {**FLEXIR, 'channel_scoring': True},
    'train__distillation_opt': {'type': 'ProgressiveDistillationLoss'},
    'val': None,
}
CASES: dict[str, Case] = {
    **{f'network {name}': partial(network, name) for name in NETWORKS},
    'losses': losses,
    'tiles': tiles,
    'regions': partial(regions, {'pointer': 1}),
    **{
        f'exits by {score} {relative}': partial(
            regions, {'adaptive': {'threshold': 1.0, 'score': score, 'relative': relative}}
        )
        for score in EXIT_SCORES
        for relative in (None, *(['input'] if score != 'change' else []))
    },
    'exits by a budget': partial(regions, {'adaptive': {'budget': 0.9, 'forecast': FORECAST}}),
    'observations': observed,
    'calibrate': calibrated,
    'Restorer': restorer,
    'derivatives': partial(derivatives, partial(built, 'IRCNN')),
    'derivatives of FlexIR': partial(derivatives, lambda device: built('FlexIR', device).eval()),
    'derivatives of attention': partial(derivatives, attention),
    'rank by influence': partial(ranked, {}),
    'rank by tiles': partial(ranked, {'tile_size': 12}),
    'rank by the stochastic solver': partial(ranked, {'solver': 'stochastic', 'times': 4}),
    'rank by cg': partial(ranked, {'solver': 'cg', 'damping': 1.0}),
    'rank by gradients': partial(ranked, {'method': 'graddot'}),
    'rank by losses': partial(ranked, {'method': 'loss'}),
    'rank by matching': partial(ranked, {'method': 'matching', 'size': 2}),
    'mine': mined,
    'scorer and restored images': scored,
    'encoder': encoded,
    'distill': partial(distilled, {}),
    'distill with training': partial(
        distilled, {'networks': {'matching_steps': 2, 'train_every': 1, 'train_steps': 1}}
    ),
    'distill a known degradation': partial(distilled, {'degrade': darker}),
    'align': tuned,
    'train': partial(trained, {'train__ema_decay': 0.9, 'train__grad_clip': 1.0, 'train__accum_iter': 1}),
    'train FlexIR': partial(trained, FLEXIR_TRAINING),
}
# What a GPU refuses: where the pretended one did not, the cases above would tell nothing.
REFUSED: dict[str, Case] = {
    'a sum of both': lambda device: drawn(2).to(device) + (drawn(2) if device.type != 'cpu' else 0),
    'a generator of the CPU': lambda device: torch.rand(2, device=device, generator=torch.Generator()),
    'an array': lambda device: drawn(2).to(device).numpy(),
    'an array of NumPy': lambda device: np.asarray(drawn(2).to(device)),
}


# ---- both devices ----


def leaves(value: Any) -> Iterator[Any]:
    """Tensors, arrays and numbers in an order."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, Tensor):
        yield value.detach().cpu()
    else:
        yield torch.as_tensor(0.0 if value is None else value)


def agrees(case: Case, device: torch.device) -> str:
    """What is wrong with a case, in a line."""
    try:
        here, there = (list(leaves(case(each))) for each in (torch.device('cpu'), device))
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-5)
    except Exception as error:
        traceback.print_exc()
        return f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
    return ''


def refusing_tensors_of(device: torch.device, send: Callable[[Any], Any], value: Any) -> Any:
    """Send to other processes what they can take up: their GPU is another one."""
    if any(
        leaf.device.type == device.type for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, Tensor)
    ):
        raise RuntimeError(f'a tensor on {device} is sent to other processes')
    return send(value)


def run_all(file: str, names: list[str]) -> None:
    """Write what is wrong with each case."""
    from tests.helpers.pretend_device import DEVICE

    LOSS_REGISTRY.register(ColouredLoss)
    for name in ('from_first', 'gather'):
        setattr(distributed, name, partial(refusing_tensors_of, DEVICE, getattr(distributed, name)))
    cases = {**CASES, **REFUSED}
    wrong = {name: agrees(cases[name], DEVICE) for name in names or cases}
    Path(file).write_text(json.dumps(wrong))


if __name__ == '__main__':
    run_all(sys.argv[1], sys.argv[2:])
