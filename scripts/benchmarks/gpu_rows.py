"""What the rows of gpu_check.py share: where they run, how large, their images, their clock, their memory."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import basicsr_ext  # repairs BasicSR, so it comes before its modules

# isort: split
import cv2
import numpy as np
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from basicsr_ext.runtime.checkpoint import load_network_weights

WEIGHTS = Path(basicsr_ext.__file__).parent / 'weights' / 'IRCNN_gray_sigma25.pth'
SIGMA = 25 / 255


@dataclass(frozen=True)
class Place:
    """Where a row runs.

    Attributes:
        device: of the computation.
        tiny: whether it only shows that it runs.
        folder: for its files.
    """

    device: torch.device
    tiny: bool
    folder: Path

    @property
    def num_gpu(self) -> int:
        """As option files have it."""
        return int(self.device.type == 'cuda')

    def of(self, usual: int, tiny: int) -> int:
        """A size."""
        return tiny if self.tiny else usual


@dataclass(frozen=True)
class Found:
    """What a row found.

    Attributes:
        measured: in words.
        ok: whether that is what was asked; None where this device does not tell.
    """

    measured: str
    ok: bool | None


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        figure: its name.
        asked: in words.
        measure: finds it.
    """

    figure: str
    asked: str
    measure: Callable[[Place], Found]


def picture(seed: int, side: int, channels: int = 1) -> np.ndarray:
    """Clouds and rectangles: H x W or H x W x 3, 8 bits."""
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.uniform(0, 1 / n, (n, n, channels)), (side, side)).reshape(side, side, -1) for n in (3, 9)
    )
    for _ in range(12):
        (top, bottom), (left, right) = (sorted(rng.integers(0, side, 2)) for _ in range(2))
        image[top:bottom, left:right] += rng.uniform(-0.3, 0.3, channels)
    scaled: np.ndarray = (255 * (image - image.min()) / max(np.ptp(image), 1e-6)).round().astype(np.uint8)
    return scaled[..., 0] if channels == 1 else scaled


def write_pictures(folder: Path, number: int, side: int, first: int = 0) -> Path:
    """Grey images."""
    folder.mkdir(parents=True)
    for seed in range(first, first + number):
        cv2.imwrite(str(folder / f'{seed:03d}.png'), picture(seed, side))
    return folder


def noisy_pairs(number: int, side: int, first: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Grey pairs, 1 x H x W, with noise of sigma 25."""
    found = []
    for seed in range(first, first + number):
        clean = torch.from_numpy(picture(seed, side)).float()[None] / 255
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
        found.append((clean + SIGMA * noise, clean))
    return found


def denoiser(device: torch.device) -> nn.Module:
    """The small denoiser that comes with the package."""
    net: nn.Module = build_network({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1})
    load_network_weights(net, WEIGHTS)
    return net.eval().to(device)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Convolutions of NVIDIA in float32, which would be TF32 otherwise, with ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = before


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lines of BasicSR's logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def timed(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """The work, timed: by events of the device, or by the clock of the CPU."""

    def run() -> float:
        if device.type != 'cuda':
            began = time.perf_counter()
            work()
            return time.perf_counter() - began
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        work()
        ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1e3

    return run


def peak_mib(work: Callable[[], object], device: torch.device) -> float | None:
    """MiB that a work takes beyond what is there before, at its peak; None on a CPU, where only the work is done."""
    work()  # libraries take memory of their own when they are used first
    if device.type != 'cuda':
        return None
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def relative(there: Tensor, here: Tensor) -> float:
    """|there - here| / |here|."""
    first, second = (value.detach().double().cpu() for value in (there, here))
    return float((first - second).norm() / second.norm())
