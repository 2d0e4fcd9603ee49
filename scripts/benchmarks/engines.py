"""FlexIR beside other engines for SwinIR on a CPU, at equal weights: time, difference and memory of a forward pass.

    pip install onnx onnxruntime openvino spandrel
    python scripts/benchmarks/engines.py --sizes 128 256

The network is that of colour denoising: 6 RSTBs of depth 6, 180 channels, window 8. Every engine lives in a process of
its own, and they take turns, so that a machine whose speed drifts treats them alike. One that is not installed is a row
that says so. OpenVINO in int8 needs a calibration by another package, nncf, and is left out. Exit code 1 if an engine
of the same precision takes less than 1 / 1.1 of the time of FlexIR.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import warnings
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import basicsr_ext  # noqa: F401  first: it repairs BasicSR

# isort: split

import torch
from alternate import alternate, median_ratio
from basicsr.archs.swinir_arch import SwinIR
from flexir_forward import FULL
from one_engine import ENGINES, serve

REFERENCE = "BasicSR's SwinIR, float32"
WORTH = 1.1  # times as fast: what another engine is worth its dependency for


class Engine:
    """A process that serves one engine.

    Attributes:
        said: what it says of itself.
    """

    def __init__(self, name: str, folder: Path, size: int, threads: int) -> None:
        command = [sys.executable, __file__, '--alone', name, folder, '--sizes', size, '--threads', threads]
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self._answer()
        self.said = json.loads(line) if line else {'missing': 'the process died'}

    def seconds(self, of_processor: bool) -> float:
        """The time of one forward pass."""
        print(file=self.process.stdin, flush=True)
        return float(self._answer().split()[of_processor])

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()

    def _answer(self) -> str:
        return self.process.stdout.readline() if self.process.stdout else ''


def prepare(folder: Path, size: int) -> None:
    """Save the weights, an image, what SwinIR makes of it, and the models of the runtimes."""
    torch.manual_seed(0)
    net = SwinIR(**FULL, img_size=size).eval()
    image = torch.rand(1, 3, size, size)
    torch.save(net.state_dict(), folder / f'{size}.pth')
    with torch.no_grad():
        torch.save((image, net(image)), folder / f'{size}.pt')
        try:
            path = folder / f'{size}.onnx'
            torch.onnx.export(net, (image,), path, input_names=['image'], dynamo=False, opset_version=17)
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                path,
                folder / f'{size}.int8.onnx',
                op_types_to_quantize=['MatMul'],
                weight_type=QuantType.QInt8,
                extra_options={'MatMulConstBOnly': True},
            )
        except ModuleNotFoundError as error:
            print(f'no ONNX models: {error.name} is not installed')


def measure(folder: Path, size: int, args: argparse.Namespace) -> bool:
    """Measure the engines at one size; whether none of them is worth more than FlexIR."""
    prepare(folder, size)
    names = [name for name in ENGINES if name == REFERENCE or any(fnmatch(name, want) for want in args.engines)]
    engines: dict[str, Engine] = {}
    try:
        for name in names:
            engines[name] = Engine(name, folder, size, args.threads)
        there = {name: engine for name, engine in engines.items() if 'missing' not in engine.said}
        runs = {name: partial(engine.seconds, args.processor_time) for name, engine in there.items()}
        measured = alternate(runs, args.rounds)
    finally:
        for engine in engines.values():
            engine.stop()
    print(f'\n{size} x {size}, {args.threads} threads, {args.rounds} rounds')
    print(f'{"engine":<42}{"s":>8}{"faster":>8}{"difference":>12}{"MiB/Mpixel":>12}')
    for name, engine in engines.items():
        if name not in there:
            print(f'{name:<42}{engine.said["missing"]}')
            continue
        faster, seconds = median_ratio(measured, REFERENCE, name), statistics.median(measured[name])
        memory = float('nan') if engine.said['memory'] is None else engine.said['memory'] / (size * size / 1e6)
        print(f'{name:<42}{seconds:8.3f}{faster:8.2f}{engine.said["difference"]:12.2g}{memory:12.0f}')
    return not any(beats(name, measured) for name in there)


def beats(name: str, measured: dict[str, list[float]]) -> bool:
    """Whether an engine is faster than FlexIR of its precision by what it has to be worth."""
    ours = f'FlexIR, {name.rpartition(", ")[2]}'
    if ours not in measured or name == ours:
        return False
    faster = median_ratio(measured, ours, name)
    if faster > WORTH:
        print(f'{name} is {faster:.2f} times as fast as {ours}')
    return faster > WORTH


def main() -> None:
    """Read the command line, measure, leave with 1 if another engine is worth more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=int, nargs='+', default=[128, 256])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--processor_time', action='store_true', help='for a busy machine, with one thread')
    parser.add_argument('--engines', nargs='+', default=['*'], metavar='PATTERN', help="such as 'FlexIR*' '*compile*'")
    parser.add_argument('--alone', nargs=2, metavar=('ENGINE', 'FOLDER'), help='serve one engine, see one_engine.py')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    if args.alone:
        serve(args.alone[0], Path(args.alone[1]), args.sizes[0], args.threads)
        return
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        met = [measure(Path(folder), size, args) for size in args.sizes]
    sys.exit(not all(met))


if __name__ == '__main__':
    main()
