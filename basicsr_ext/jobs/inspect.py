"""The job `inspect`: draw and measure what a manifest says."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.data.from_manifest import dataset_of
from basicsr_ext.data.inventory import inventory
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.imports import add_import
from basicsr_ext.options.load import number
from basicsr_ext.reports.patch_report import PatchView, inspect_patches
from basicsr_ext.reports.ranking_report import by_column, by_target, inspect_images
from basicsr_ext.selection.coreset.stored import PER_TARGET
from basicsr_ext.selection.manifest import read_manifest

EXAMPLE = 'basicsr-ext inspect results/rank_IRCNN_demo/ranking.parquet'

OF_IMAGES, OF_PATCHES = ('column', 'target'), ('other', 'keep', 'per_image', 'criterion')


def inspect_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Look at a ranking of images or at mined patches as the command line says.

    Args:
        root_path: not used; the folder of the results is that of the manifest.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.

    Raises:
        BasicsrExtError: the manifest, the images or the command line do not fit together.
    """
    args = build_parser().parse_args(argv)
    manifest = read_manifest(args.manifest)
    _refuse_foreign_options(args, manifest.holds_patches)
    if args.target is not None:
        return _inspect_target(args)
    dataset = dataset_of(manifest, args.dataroot, args.dataroot_lq)
    where = '--dataroot' if args.dataroot else 'datasets.train'
    folder = Path(args.output) if args.output else Path(args.manifest).parent / 'inspect'
    if manifest.holds_patches:
        keep = args.keep or [0.5]
        view = PatchView(
            args.size, keep[0] if len(keep) == 1 else keep, bool(args.per_image), args.criterion, args.other
        )
        inspect_patches(manifest, dataset, where, folder, view)
    else:
        inspect_images(manifest, dataset, where, folder, args.size, by_column(manifest, args.column or 'rank'))
    return 0


def _inspect_target(args: argparse.Namespace) -> int:
    """Look at what teaches one image of the target."""
    if args.column is not None:
        raise OptionError('--column', '--target without it', shown(args.column), 'Remove one of the two.')
    matrix = read_manifest(Path(args.manifest).parent / PER_TARGET)
    path, scored = by_target(matrix, args.target)
    target = dataset_of(matrix, key='test')
    image = next(index for index, item in enumerate(inventory(target)) if item.path == path)
    folder = Path(args.output) if args.output else Path(args.manifest).parent / 'inspect' / Path(path).stem
    dataset, where = dataset_of(matrix, args.dataroot, args.dataroot_lq), '--dataroot'
    inspect_images(matrix, dataset, where, folder, args.size, scored, (target, image))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line of `inspect`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext inspect')
    parser.add_argument('manifest', metavar='MANIFEST', help='what `basicsr-ext rank` or `basicsr-ext mine` wrote')
    parser.add_argument('--size', type=int, default=20, metavar='K', help='images or patches of each group (20)')
    parser.add_argument('--dataroot', metavar='FOLDER', help='where the images are now, if they moved')
    parser.add_argument('--dataroot_lq', metavar='FOLDER', help='the same of the LQ images of pairs of files')
    parser.add_argument('-o', '--output', metavar='FOLDER', help='`inspect` beside the manifest by default')
    add_import(parser)
    images = parser.add_argument_group('a ranking of images')
    images.add_argument('--column', metavar='NAME', help='the ranks to look at (rank); rank_x goes with METHOD_x')
    images.add_argument('--target', metavar='NAME', help='what teaches this image of the target (rank.per_target)')
    patches = parser.add_argument_group('mined patches')
    patches.add_argument('--criterion', metavar='NAME', help='what patches are sorted by (the only one, or grad)')
    patches.add_argument(
        '--keep', type=number, nargs='+', metavar='KEEP', help='as in MinedPatchDataset: 0.5, 80000 or 0.45 0.95 (0.5)'
    )
    patches.add_argument('--per_image', action='store_true', default=None, help='--keep in every image on its own')
    patches.add_argument(
        '--other',
        metavar='MANIFEST',
        help='the same patches mined with another network: compares their `loss`, or the criterion that is named',
    )
    return parser


def _refuse_foreign_options(args: argparse.Namespace, holds_patches: bool) -> None:
    kinds = ('a ranking of images', 'a manifest of patches')
    for name in OF_IMAGES if holds_patches else OF_PATCHES:
        if getattr(args, name) is not None:
            raise OptionError(
                f'--{name}', kinds[not holds_patches], kinds[holds_patches], 'Remove it or name another manifest.'
            )
