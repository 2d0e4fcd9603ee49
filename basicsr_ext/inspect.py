"""The job `inspect`: a manifest in, pictures and numbers of what it says out."""

import argparse
import copy
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr.data import build_dataset
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.checking import registered
from basicsr_ext.data.wrapper import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.inspect_images import inspect_images
from basicsr_ext.inspect_patches import PatchView, inspect_patches
from basicsr_ext.options import Options
from basicsr_ext.selection.manifest import Manifest, read_manifest

OF_IMAGES, OF_PATCHES = ('column',), ('other', 'keep', 'criterion')


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
    dataset = scheduled(build_dataset(_dataset_block(manifest, args.dataroot)))
    where = _where(args.dataroot)
    folder = Path(args.output) if args.output else Path(args.manifest).parent / 'inspect'
    if manifest.holds_patches:
        view = PatchView(args.size, 0.5 if args.keep is None else args.keep, args.criterion, args.other)
        inspect_patches(manifest, dataset, where, folder, view)
    else:
        inspect_images(manifest, dataset, where, folder, args.size, args.column or 'rank')
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line of `inspect`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext inspect')
    parser.add_argument('manifest', metavar='MANIFEST', help='what `basicsr-ext rank` or `basicsr-ext mine` wrote')
    parser.add_argument('--size', type=int, default=20, metavar='K', help='images or patches of each group (20)')
    parser.add_argument('--dataroot', metavar='FOLDER', help='where the images are now, if they moved')
    parser.add_argument('-o', '--output', metavar='FOLDER', help='`inspect` beside the manifest by default')
    images = parser.add_argument_group('a ranking of images')
    images.add_argument('--column', metavar='NAME', help='the ranks to look at (rank); rank_x goes with METHOD_x')
    patches = parser.add_argument_group('mined patches')
    patches.add_argument('--criterion', metavar='NAME', help='what patches are sorted by (the only one, or grad)')
    patches.add_argument('--keep', type=float, metavar='R', help='the part of the patches that is kept (0.5)')
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
                f'--{name}: expected {kinds[not holds_patches]}, got {kinds[holds_patches]}. Remove it or name another '
                'manifest.'
            )


def _where(dataroot: str | None) -> str:
    return '--dataroot' if dataroot else 'datasets.train'


def _dataset_block(manifest: Manifest, dataroot: str | None) -> Options:
    """The block of the dataset of a manifest, its images taken from another folder if one is named."""
    try:
        block: Options = copy.deepcopy(manifest.header['options']['datasets']['train'])
    except (KeyError, TypeError) as error:
        raise DataError(
            f'manifest {manifest.source}: expected the options of the dataset in its header, got none. Name a file '
            'that `basicsr-ext rank` or `basicsr-ext mine` wrote.'
        ) from error
    inner, where = block, 'datasets.train'
    registered(DATASET_REGISTRY, inner.get('type'), f'{where}.type')
    while isinstance(inner.get('dataset'), dict):
        inner, where = inner['dataset'], f'{where}.dataset'
        registered(DATASET_REGISTRY, inner.get('type'), f'{where}.type')
    if dataroot:
        if 'dataroot_gt' not in inner:
            raise OptionError(
                f'--dataroot: expected a manifest of a dataset with dataroot_gt, got {inner.get("type")}. Remove it.'
            )
        inner['dataroot_gt'] = dataroot
    root = inner.get('dataroot_gt')
    if isinstance(root, str) and not os.path.isdir(os.path.expanduser(root)):
        raise DataError(
            f'{_where(dataroot)}: expected a folder, got {root!r}. Say with --dataroot where the images are.'
        )
    return block
