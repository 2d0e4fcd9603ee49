"""One engine in a process of its own, for `engines.py`: it says what it gives, then runs once for a line it reads.

The first line of the output is a JSON object: `missing` with the reason, or `difference` to the image of BasicSR's
SwinIR and `memory`, what a forward pass adds at its peak to the memory of the process with the network loaded, in MiB.
Each line after that is the time of one forward pass in seconds, and that of the processor.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import basicsr_ext  # noqa: F401  first: it repairs BasicSR

# isort: split

import torch
from basicsr.archs.swinir_arch import SwinIR
from flexir_forward import FULL
from torch import Tensor, nn

from basicsr_ext.archs.flexir_arch import FlexIR

Run = Callable[[Tensor], Tensor]
WARM = 16  # pixels of the side of the image that goes first through networks which take any


def basicsr(folder: Path, size: int, _: int) -> nn.Module:
    """BasicSR's SwinIR; its masks are made for the size of the images, else bfloat16 would fail."""
    net = SwinIR(**FULL, img_size=size).eval()
    net.load_state_dict(torch.load(folder / f'{size}.pth'))
    return net


def spandrel(folder: Path, size: int, _: int) -> nn.Module:
    """The network that spandrel builds for the weights."""
    from spandrel import ModelLoader

    return ModelLoader('cpu').load_from_state_dict(torch.load(folder / f'{size}.pth')).model.eval()


def flexir(folder: Path, size: int, _: int) -> nn.Module:
    """Ours."""
    net = FlexIR(**FULL).eval()
    net.load_state_dict(torch.load(folder / f'{size}.pth'))
    return net


def half(build: Callable[[Path, int, int], nn.Module]) -> Callable[[Path, int, int], Run]:
    """The same network in bfloat16."""

    def built(folder: Path, size: int, threads: int) -> Run:
        net = build(folder, size, threads).bfloat16()
        return lambda image: net(image.bfloat16()).float()

    return built


def compiled(build: Callable[[Path, int, int], nn.Module]) -> Callable[[Path, int, int], Run]:
    """The same network through torch.compile, for images of one size."""

    def built(folder: Path, size: int, threads: int) -> Run:
        run: Run = torch.compile(build(folder, size, threads), dynamic=False)
        run(torch.zeros(1, 3, size, size))
        return run

    return built


def onnxruntime(ending: str) -> Callable[[Path, int, int], Run]:
    """onnxruntime with the file that `engines.py` has exported."""

    def built(folder: Path, size: int, threads: int) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / f'{size}{ending}', options, providers=['CPUExecutionProvider'])
        return lambda image: torch.from_numpy(session.run(None, {'image': image.numpy()})[0])

    return built


def openvino(precision: str) -> Callable[[Path, int, int], Run]:
    """OpenVINO with the same file."""

    def built(folder: Path, size: int, threads: int) -> Run:
        import openvino

        hints = {
            'INFERENCE_PRECISION_HINT': precision,
            'INFERENCE_NUM_THREADS': threads,
            'PERFORMANCE_HINT': 'LATENCY',
        }
        model = openvino.Core().compile_model(folder / f'{size}.onnx', 'CPU', hints)
        return lambda image: torch.from_numpy(model(image.numpy())[0])

    return built


ENGINES: dict[str, Callable[[Path, int, int], Run]] = {
    "BasicSR's SwinIR, float32": basicsr,
    "BasicSR's SwinIR, bfloat16": half(basicsr),
    "BasicSR's SwinIR, torch.compile, float32": compiled(basicsr),
    "spandrel's SwinIR, float32": spandrel,
    "spandrel's SwinIR, torch.compile, float32": compiled(spandrel),
    'onnxruntime, float32': onnxruntime('.onnx'),
    'onnxruntime, linear layers in int8': onnxruntime('.int8.onnx'),
    'OpenVINO, float32': openvino('f32'),
    'OpenVINO, bfloat16': openvino('bf16'),
    'FlexIR, float32': flexir,
    'FlexIR, bfloat16': half(flexir),
}


def memory(line: str) -> float:
    """A line of /proc/self/status in MiB: VmRSS is the resident memory, VmHWM its peak."""
    found = [row for row in Path('/proc/self/status').read_text().splitlines() if row.startswith(line)]
    return int(found[0].split()[1]) / 1024


def load(name: str, folder: Path, size: int, threads: int) -> tuple[Run, Tensor, dict[str, object]]:
    """Build the engine and let it restore the image once."""
    image, expected = torch.load(folder / f'{size}.pt')
    run = ENGINES[name](folder, size, threads)
    if name.startswith('FlexIR'):  # it takes any size, and prepares its weights when it meets the first image
        run(torch.zeros(1, 3, WARM, WARM))
    Path('/proc/self/clear_refs').write_text('5')  # the peak is counted from here on
    before = memory('VmRSS')
    restored = run(image)
    said: dict[str, object] = {
        'difference': (restored - expected).abs().max().item(),
        'memory': None if 'compile' in name else memory('VmHWM') - before,  # compiling has run it at this size
    }
    return run, image, said


@torch.inference_mode()
def serve(name: str, folder: Path, size: int, threads: int) -> None:
    """Load an engine, then run it whenever a line comes.

    Args:
        name: of ENGINES.
        folder: of the weights, the image and the models.
        size: side of the image in pixels.
        threads: for the engine.
    """
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(threads)
    try:
        run, image, said = load(name, folder, size, threads)
    except ModuleNotFoundError as error:
        print(json.dumps({'missing': f'not installed: {error.name}'}), file=answers, flush=True)
        return
    except Exception as error:  # an engine that fails is a row of the table
        reason = f'{type(error).__name__}: {str(error).partition(chr(10))[0]}'
        print(json.dumps({'missing': reason[:80]}), file=answers, flush=True)
        return
    print(json.dumps(said), file=answers, flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        run(image)
        print(time.perf_counter() - start, time.process_time() - busy, file=answers, flush=True)
