"""Rows of gpu_check.py within one process: agreement with the CPU, speed, memory, ways of training."""

import math
import statistics
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import basicsr_ext as bx  # first: it repairs BasicSR

# isort: split
import torch
from alternate import alternate, median_ratio
from basicsr.archs.swinir_arch import SwinIR
from gpu_rows import (
    WEIGHTS,
    Found,
    Place,
    Row,
    denoiser,
    exact_float32,
    noisy_pairs,
    peak_mib,
    picture,
    quiet,
    relative,
    timed,
    write_pictures,
)
from scipy.stats import spearmanr
from torch import Tensor, nn

from basicsr_ext.archs.flexir_arch import FlexIR
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings
from basicsr_ext.losses.flexir_loss import ProgressiveDistillationLoss
from basicsr_ext.options.complete import complete
from basicsr_ext.runtime.repeatable import compute_repeatably
from basicsr_ext.selection.influence.batches import Batch
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.training.building import build_model

CPU = torch.device('cpu')
USUAL = {
    'upscale': 1, 'in_chans': 3, 'window_size': 8, 'img_range': 1.0, 'depths': [6] * 6, 'embed_dim': 180,
    'num_heads': [6] * 6, 'mlp_ratio': 2, 'upsampler': '', 'drop_path_rate': 0.0,
}  # fmt: skip
TINY = {**USUAL, 'depths': [2, 2], 'embed_dim': 24, 'num_heads': [2, 2]}
ITERATIONS = 20  # of each way of training


# ---- agreement with the CPU ----


def scores(place: Place, device: torch.device) -> Tensor:
    """By influence."""
    number, side = place.of(32, 5), place.of(64, 24)
    ranking = bx.rank(
        noisy_pairs(number, side), noisy_pairs(4, side, number), denoiser(device), method='influence',
        iterations=place.of(10, 2), output=place.folder / 'ranking.parquet',
    )  # fmt: skip
    return torch.from_numpy(ranking.array('influence').copy())


def ranked(exact: bool, place: Place) -> Found:
    """Ranks and scores on the device against those on the CPU."""
    here = scores(place, CPU)
    if exact:
        with exact_float32():
            there = scores(place, place.device)
    else:
        there = scores(place, place.device)
    order, difference = float(spearmanr(here, there)[0]), relative(there, here)
    least, most = (0.999, 1e-2) if exact else (0.99, 1.0)
    return Found(f'Spearman {order:.5f}, scores to {difference:.1e}', order >= least and difference <= most)


def mined(place: Place) -> Found:
    """Losses and influences of patches."""
    number, side = place.of(8, 2), place.of(96, 32)

    def patches(device: torch.device) -> list[Tensor]:
        found = bx.mine(
            noisy_pairs(number, side), ['loss', 'influence'], denoiser(device), noisy_pairs(2, side, number),
            patch_size=16, stride=16, influence={'iterations': place.of(8, 2)}, output=place.folder / 'mined.parquet',
        )  # fmt: skip
        return [torch.from_numpy(found.array(name).copy()) for name in ('loss', 'influence')]

    with exact_float32():
        differences = [relative(*pair) for pair in zip(patches(place.device), patches(CPU), strict=True)]
    measured = ', '.join(f'{name} {value:.1e}' for name, value in zip(('loss', 'influence'), differences, strict=True))
    return Found(measured, max(differences) <= 1e-2)


def distilled(place: Place) -> Found:
    """Images that were optimised."""

    def images(device: torch.device) -> Tensor:
        made = bx.distill(
            noisy_pairs(6, 48), partial(denoiser, device), size=2, image_size=32, steps=place.of(10, 2), batch_size=2
        )
        return torch.stack([gt for _, gt in made])

    with exact_float32():
        difference = float((images(place.device) - images(CPU)).abs().max()) * 255
    return Found(f'{difference:.3f} of 255 levels', difference <= 1)


def restored(place: Place) -> Found:
    """An image by FlexIR with early exits."""
    side, weights = place.of(192, 48), WEIGHTS.with_name('FlexIR_light_color_sigma25.pth')
    settings = InferenceSettings(regions=4, overlap=8, adaptive=AdaptiveSettings(threshold=40.0, score='change'))
    image = picture(0, side, 3)
    with exact_float32():
        images = [
            bx.Restorer.from_weights(weights, settings, device=str(device)).restore(image).astype(float)
            for device in (CPU, place.device)
        ]
    difference = float(abs(images[1] - images[0]).max())
    return Found(f'{difference:.0f} of 255 levels', difference <= 1)


# ---- speed ----


def networks(place: Place, dtype: torch.dtype, size: int) -> tuple[nn.Module, nn.Module]:
    """SwinIR and FlexIR with the same random weights."""
    torch.manual_seed(0)
    block: dict[str, Any] = TINY if place.tiny else USUAL
    reference = SwinIR(**block, img_size=size).eval()  # img_size: bfloat16 needs the mask in its buffer
    net = FlexIR(**block, img_size=size).eval()
    net.load_state_dict(reference.state_dict())
    return reference.to(place.device, dtype), net.to(place.device, dtype)


def forward(dtype: torch.dtype, least: float, place: Place) -> Found:
    """FlexIR against SwinIR, in turns, on images that change."""
    size = place.of(256, 32)
    reference, net = networks(place, dtype, size)
    images = cycle([torch.rand(1, 3, size, size, device=place.device, dtype=dtype) for _ in range(4)])
    with torch.no_grad():
        with exact_float32():
            image = next(images)
            difference = float((reference(image) - net(image)).abs().max())
        variants = {'SwinIR': lambda: reference(next(images)), 'FlexIR': lambda: net(next(images))}
        for work in variants.values():
            for _ in range(place.of(5, 1)):
                work()
        times = alternate({name: timed(work, place.device) for name, work in variants.items()}, place.of(15, 3))
    ratio = median_ratio(times, 'SwinIR', 'FlexIR')
    bound = 1e-3 if dtype == torch.float32 else 0.1
    milliseconds = statistics.median(times['FlexIR']) * 1e3
    measured = f'{ratio:.2f} times ({milliseconds:.3g} ms), differs by {difference:.1e}'
    if place.tiny and difference <= bound:
        return Found(measured, None)
    return Found(measured, ratio >= least and difference <= bound)


def l1_loss(output: Tensor, gt: Tensor) -> Tensor:
    """(N,)."""
    return (output - gt).abs().flatten(1).mean(1)


def influence_cost(place: Place) -> Found:
    """The default ranking of 400 images, aiming at 12, in passes over them."""
    number, side = place.of(16, 2), place.of(180, 24)
    derivatives, settings = Derivatives(denoiser(place.device)), RankSettings()
    lq, gt = (torch.stack(list(part)) for part in zip(*noisy_pairs(number, side), strict=True))
    batch = Batch(lq, gt, torch.arange(number), torch.ones(number)).to(place.device)
    vector = torch.ones(derivatives.size, device=place.device) / derivatives.size**0.5
    works: dict[str, Callable[[], object]] = {
        'pass': lambda: derivatives.gradient(batch, l1_loss),
        'scoring': lambda: derivatives.directional(batch, l1_loss, vector[None]),
        'product': lambda: derivatives.gauss_newton_product(batch, vector),
    }
    for _ in range(place.of(3, 1)):
        for work in works.values():
            work()
    times = alternate({name: timed(work, place.device) for name, work in works.items()}, place.of(9, 2))
    scoring, product = (median_ratio(times, name, 'pass') for name in ('scoring', 'product'))
    total = 12 / 400 + settings.iterations * (settings.curvature_images or 400) / 400 * product + scoring
    measured = f'{total:.2f} (scoring {scoring:.2f}, a product {product:.2f})'
    return Found(measured, None if place.tiny else total <= 5)


# ---- memory ----


def in_mib(values: list[float | None], names: tuple[str, str], most: float) -> Found:
    """Two peaks and their ratio."""
    first, second = values
    if first is None or second is None:
        return Found('runs; a CPU does not count', None)
    return Found(f'{names[0]} {first:.0f}, {names[1]} {second:.0f} MiB', second <= most * first)


def step_memory(place: Place) -> Found:
    """A training step of FlexIR with all branches and a teacher, against one of SwinIR."""
    size = place.of(96, 16)
    reference, net = networks(place, torch.float32, size)
    image = torch.rand(2, 3, size, size, device=place.device)
    loss = ProgressiveDistillationLoss()

    def step(work: Callable[[], Tensor], module: nn.Module) -> None:
        module.train()
        work().backward()
        module.zero_grad()

    def of_flexir() -> Tensor:
        branches = net(image)
        value: Tensor = loss(branches, image, branches[-1].feature.detach())
        return value

    works = (lambda: step(lambda: (reference(image) - image).abs().mean(), reference), lambda: step(of_flexir, net))
    return in_mib([peak_mib(work, place.device) for work in works], ('SwinIR', 'FlexIR'), 1.1)


def ranking_memory(place: Place) -> Found:
    """Of few and of many images."""
    side = place.of(96, 24)

    def rank(number: int) -> None:
        bx.rank(
            noisy_pairs(number, side), noisy_pairs(2, side, 1000), denoiser(place.device), method='influence',
            iterations=2, output=place.folder / 'memory.parquet',
        )  # fmt: skip

    few, many = place.of(8, 2), place.of(64, 4)
    peaks = [peak_mib(partial(rank, number), place.device) for number in (few, many)]
    return in_mib(peaks, (f'{few} images', f'{many} images'), 1.1)


def tiled_memory(place: Place) -> Found:
    """Of a small and of a large image in tiles of one size."""
    net = networks(place, torch.float32, 64)[1]
    tile = place.of(256, 24)
    restorer = bx.Restorer(net, InferenceSettings(region_size=tile, overlap=16, batch_pixels=tile**2))
    sides = (2 * tile, 3 * tile if place.tiny else 6 * tile)
    peaks = [peak_mib(partial(restorer.restore, picture(0, side, 3)), place.device) for side in sides]
    return in_mib(peaks, (f'{sides[0]} pixels', f'{sides[1]} pixels'), 1.1)


# ---- ways of training ----


def losses_of(place: Place, changes: dict[str, Any]) -> list[float]:
    """The losses of some iterations on one batch."""
    folder = place.folder / 'modes'
    if not folder.exists():
        write_pictures(folder, 4, 48)
    noisy = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25, 'dataroot_gt': str(folder)}
    opt: dict[str, Any] = {
        'name': 'mode', 'model_type': 'RestorationModel', 'num_gpu': place.num_gpu, 'manual_seed': 0,
        'datasets': {'train': {'name': 'pictures', **noisy, 'gt_size': 32, 'batch_size_per_gpu': 4}},
        'network_g': {
            'type': 'EDSRDenoiser', 'num_in_ch': 1, 'num_out_ch': 1, 'num_block': 2, 'num_feat': place.of(64, 8),
        },
        'path': {},
        'train': {
            'total_iter': ITERATIONS, 'optim_g': {'type': 'Adam', 'lr': 1e-3}, 'pixel_opt': {'type': 'L1Loss'},
        },
        'logger': {'print_freq': 1, 'save_checkpoint_freq': ITERATIONS},
        **changes,
    }  # fmt: skip
    complete(opt, place.folder, is_train=True)
    compute_repeatably(opt.get('deterministic', True), place.num_gpu > 0)
    torch.manual_seed(0)
    with quiet():
        model = build_model(opt)
    lq, gt = (torch.stack(part) for part in zip(*noisy_pairs(4, 32), strict=True))
    found = []
    for iteration in range(1, ITERATIONS + 1):
        model.update_learning_rate(iteration)
        model.feed_data({'lq': lq, 'gt': gt})
        model.optimize_parameters(iteration)
        found.append(model.get_current_log()['l_pix'])
    return found


def trains(changes: dict[str, Any], tolerance: float, place: Place) -> Found:
    """Whether the loss begins as in float32 and falls."""
    plain, found = losses_of(place, {}), losses_of(place, changes)
    first = abs(found[0] / plain[0] - 1)
    falls = all(map(math.isfinite, found)) and statistics.mean(found[-5:]) < statistics.mean(found[:5])
    return Found(f'{found[0]:.4f} to {found[-1]:.4f}, begins within {first:.1e}', falls and first <= tolerance)


def compiled(place: Place) -> Found:
    """By inductor on a GPU; on a CPU without it, which needs a compiler."""
    return trains({'use_compile': True if place.num_gpu else {'backend': 'aot_eager'}}, 1e-3, place)


HALF = {'use_amp': True}
ROWS = [
    Row('rank against the CPU, exact float32', 'Spearman 0.999, scores to 1e-2', partial(ranked, True)),
    Row('rank against the CPU, TF32 as it comes', 'Spearman 0.99', partial(ranked, False)),
    Row('mine against the CPU', 'to 1e-2', mined),
    Row('distill against the CPU', 'to 1 level', distilled),
    Row('restore with early exits against the CPU', 'to 1 level', restored),
    Row('FlexIR / SwinIR, forward, bfloat16', '2 times as fast', partial(forward, torch.bfloat16, 2.0)),
    Row('FlexIR / SwinIR, forward, float32', 'no slower, to 1e-3', partial(forward, torch.float32, 1.0)),
    Row('cost of the default ranking, in passes', 'at most 5', influence_cost),
    Row('memory of a training step', "1.1 times SwinIR's", step_memory),
    Row('memory of ranking', 'the same for 8 times the images', ranking_memory),
    Row('memory of restoring in tiles', 'the same for 9 times the pixels', tiled_memory),
    Row('trains in float16 with a scaler', 'begins to 2 %, falls', partial(trains, HALF, 2e-2)),
    Row('trains in bfloat16', 'begins to 2 %, falls', partial(trains, {**HALF, 'amp_bf16': True}, 2e-2)),
    Row('trains with torch.compile', 'begins to 0.1 %, falls', compiled),
    Row('trains in channels-last', 'begins to 0.1 %, falls', partial(trains, {'use_channels_last': True}, 1e-3)),
    Row("trains with cuDNN's benchmark", 'begins to 0.1 %, falls', partial(trains, {'deterministic': False}, 1e-3)),
]
