"""Cost of ranking training images in epochs, next to kronfluence and dattri, in one run.

    python scripts/benchmarks/influence_cost.py --folder datasets/BSD400_gray --weights weights/ircnn_25.pth

An epoch is one forward and backward pass over all training images. It is measured on the same images and in turn with
what it is compared with. IRCNN, grey images, sigma 25, L1 loss, default settings of the ranking.

The parts of our ranking are measured on `--images` images and added up for the whole folder; `--full` also measures
the whole. The peers (peers.py, peers_dattri.py) are measured on two small numbers of images and the line through them
is followed to the whole folder: what they do is linear in the number of images, but for eigendecompositions and
inverses, which are the constant of that line. dattri's conjugate gradients hold the graph of the Hessian of all images
in memory at once, 3 GB an image of 180 x 180 pixels. The line does not show that. dattri's images here are the middle
90 x 90 pixels, also in its epoch. The peers' test images are cut to the same size, ours are whole.

`--agreement` instead ranks the whole folder twice, with curvature products on the default number of images and on all,
and prints Spearman's correlation. It takes hours; stopped, it continues from the folder `--state`. `--crop 64 128`
takes the middle 64 x 64 pixels of the training images and the middle 128 x 128 of the test images, which takes minutes
and leaves the products an eighth of the pixels to see.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import denoising
import numpy as np
import peers
import peers_dattri
import torch
from alternate import alternate, median_ratio, print_table, seconds
from denoising import l1_loss, mse_loss
from retraining import Crops
from scipy.stats import spearmanr
from torch import Tensor, nn

from basicsr_ext.selection.influence.batches import ImageBatches
from basicsr_ext.selection.influence.derivatives import Derivatives
from basicsr_ext.selection.influence.engine import InfluenceEngine
from basicsr_ext.selection.influence.settings import RankSettings

EPOCH = 'forward + backward (an epoch)'
SCORING = 'scoring, forward mode'
PRODUCT = 'Gauss-Newton product'


@dataclass(frozen=True)
class Peer:
    """How another library is measured.

    Attributes:
        scores: of a network, training crops, test crops, dampings and a loss.
        damping: any that it takes.
        images: the two numbers of training images.
        size: of their crops.
    """

    scores: Callable[..., np.ndarray]
    damping: float
    images: tuple[int, int]
    size: int


def kronfluence(net: nn.Module, train: Crops, test: Crops, dampings: list[float], loss: peers.Loss) -> np.ndarray:
    """EK-FAC with files that go."""
    with tempfile.TemporaryDirectory() as folder:
        return peers.kronfluence_scores(net, train, test, dampings, loss, Path(folder), RankSettings().batch_size)


PEERS = {
    'kronfluence': Peer(kronfluence, 0, images=(4, 12), size=180),
    'dattri, CG': Peer(peers_dattri.cg_scores, 1, images=(2, 4), size=90),
    'dattri, TRAK': Peer(peers_dattri.trak_scores, 1e-6, images=(4, 12), size=90),
    'dattri, LoGra': Peer(peers_dattri.logra_scores, 1e-1, images=(4, 12), size=90),
}


def parts(train: Any, derivatives: Derivatives, images: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of an epoch and of our parts over the same images."""
    data = ImageBatches(train, RankSettings().batch_size)
    batches = [batch for unit in data.load(data.units(range(images))) for batch in unit]
    vector = torch.randn(derivatives.size, generator=torch.Generator().manual_seed(0))
    vector /= vector.norm()

    def over(term: Callable[..., Tensor], *rest: object) -> Callable[[], float]:
        return seconds(lambda: [term(batch, *rest) for batch in batches])

    variants = {
        EPOCH: over(derivatives.gradient, l1_loss),
        SCORING: over(derivatives.directional, mse_loss, vector[None]),
        PRODUCT: over(derivatives.gauss_newton_product, vector),
        'Hessian product': over(derivatives.hessian_product, vector),
    }
    return alternate(variants, rounds)


def rank(train: Any, test: Any, derivatives: Derivatives, curvature_images: int | None, state: Path) -> np.ndarray:
    """Scores of all training images by the default settings, but for the number of curvature images."""
    precision = 'bfloat16' if derivatives.bfloat16 else 'float32'
    settings = RankSettings(curvature_images=curvature_images, precision=precision)
    batches = (ImageBatches(images, settings.batch_size) for images in (train, test))
    return InfluenceEngine(derivatives, *batches, mse_loss, settings, 0, state).scores()[:, 0]


def print_ours(train: Any, test: Any, derivatives: Derivatives, args: argparse.Namespace) -> None:
    """The parts, their sum for the whole folder, and with `--full` the whole."""
    measured = parts(train, derivatives, args.images, args.rounds)
    print(f'IRCNN, {args.folder}, {args.images} images, {args.precision}, {torch.get_num_threads()} threads')
    print_table(measured, 'seconds', EPOCH)
    settings, whole = RankSettings(), len(train)
    pixels = [sum(data[index]['gt'].numel() for index in range(len(data))) for data in (test, train)]
    gradient, scoring = pixels[0] / pixels[1], median_ratio(measured, SCORING, EPOCH)
    seen = min(settings.curvature_images or whole, whole) / whole
    products = settings.iterations * seen * median_ratio(measured, PRODUCT, EPOCH)
    print(
        f'default ranking of {whole} images, added up: test gradient {gradient:.2f} (by pixels) + products '
        f'{products:.2f} + scoring {scoring:.2f} = {gradient + products + scoring:.2f} epochs',
        flush=True,
    )
    if args.full:
        with tempfile.TemporaryDirectory() as state:
            work = lambda: rank(train, test, derivatives, settings.curvature_images, Path(state))  # noqa: E731
            duration = seconds(work)()
        again = parts(train, derivatives, args.images, args.rounds)
        image = statistics.mean(statistics.median(run[EPOCH]) for run in (measured, again)) / args.images
        print(f'default ranking of {whole} images, measured: {duration:.0f} s = {duration / image / whole:.2f} epochs')


def print_agreement(train: Any, test: Any, derivatives: Derivatives, state: Path) -> None:
    """Spearman's correlation between the rankings with the default number of curvature images and with all."""
    number = RankSettings().curvature_images
    rankings = []
    for images in (number, None):
        folder = state / f'curvature_{images or "all"}'
        folder.mkdir(parents=True, exist_ok=True)
        rankings.append(rank(train, test, derivatives, images, folder))
    print(f'curvature of {number} images against {len(train)}: Spearman {spearmanr(*rankings)[0]:.4f}')


def peer_epochs(peer: Peer, train: Crops, test: Crops, net: nn.Module, whole: int, rounds: int) -> tuple[float, float]:
    """Epochs that a peer takes for the larger of its two numbers of images, and for the whole folder by the line."""

    def epoch(size: int) -> None:
        for rows in torch.arange(size).split(RankSettings().batch_size):
            output = net(train[rows].lq.contiguous(memory_format=torch.channels_last))
            torch.autograd.grad(l1_loss(output, train[rows].gt).sum(), list(net.parameters()))

    def scores(size: int) -> Callable[[], float]:
        images = train[torch.arange(size)]
        return seconds(lambda: peer.scores(net, images, test, [peer.damping], loss=nn.functional.l1_loss))

    few, more = peer.images
    measured = alternate({'few': scores(few), 'more': scores(more), EPOCH: seconds(lambda: epoch(more))}, rounds)
    first, second, unit = (statistics.median(measured[key]) for key in ('few', 'more', EPOCH))
    total = second + (second - first) / (more - few) * (whole - more)
    return second / unit, total / (unit / more * whole)


def print_peers(train: Any, test: Any, net: nn.Module, rounds: int) -> None:
    """kronfluence's factors and scores, dattri's 20 products and scores, its projections and scores."""
    for name, peer in PEERS.items():
        if not peers.installed(name.split(',')[0]):
            print(f'{name:<14}not installed, see peers.py')
            continue
        more = peer.images[1]
        crops = denoising.middles(train, more, peer.size), denoising.middles(test, len(test), peer.size)
        there, whole = peer_epochs(peer, *crops, net, len(train), rounds)
        print(f'{name:<14}{there:7.1f} epochs of {more} images, {whole:7.1f} of {len(train)}', flush=True)


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, required=True, help='folder of grey training images')
    parser.add_argument('--test', type=Path, default=Path('datasets/Set12'), help='folder of grey test images')
    parser.add_argument('--weights', type=Path, required=True, help='IRCNN of 64 channels, trained at sigma 25')
    parser.add_argument('--images', type=int, default=12, help='number of training images that the parts see')
    parser.add_argument('--rounds', type=int, default=5, help='of the parts')
    parser.add_argument('--peer-rounds', type=int, default=1, help='of the peers, which take minutes; 0 omits them')
    parser.add_argument('--precision', choices=('float32', 'bfloat16'), default='float32', help='of ours')
    parser.add_argument('--full', action='store_true', help='also rank the whole folder by ours')
    parser.add_argument('--agreement', action='store_true', help='only compare the curvature of some images with all')
    parser.add_argument('--crop', type=int, nargs=2, help='of --agreement: sides of the training and test crops')
    parser.add_argument('--state', type=Path, default=Path('results/influence_cost'), help='folder of --agreement')
    args = parser.parse_args()
    train, test, net = (
        denoising.noisy_images(args.folder),
        denoising.noisy_images(args.test),
        denoising.ircnn(args.weights),
    )
    derivatives = Derivatives(net, bfloat16=args.precision == 'bfloat16')
    if args.agreement:
        state = args.state / f'{args.weights.stem}_{args.precision}'
        if args.crop:
            side, test_side = args.crop
            train = denoising.CropDataset(denoising.middles(train, len(train), side))
            test = denoising.CropDataset(denoising.middles(test, len(test), test_side))
            state = state.with_name(f'{state.name}_{side}_{test_side}')
        print_agreement(train, test, derivatives, state)
        return 0
    print_ours(train, test, derivatives, args)
    if args.peer_rounds:
        print_peers(train, test, net, args.peer_rounds)
    return 0


if __name__ == '__main__':
    sys.exit(main())
