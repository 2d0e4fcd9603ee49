"""The job `inspect`: draw and measure what a manifest says, or the curves of trainings."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.data.from_manifest import dataset_of
from basicsr_ext.data.inventory import inventory
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.options.imports import add_import
from basicsr_ext.options.load import number
from basicsr_ext.reports.audit_report import inspect_audit
from basicsr_ext.reports.inspect_page import write_inspect_page
from basicsr_ext.reports.patch_report import PatchView, inspect_patches
from basicsr_ext.reports.ranking_report import by_column, by_target, inspect_images
from basicsr_ext.selection.coreset.stored import PER_TARGET
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.training.compared import inspect_trainings
from basicsr_ext.training.curves import LOG

EXAMPLE = 'basicsr-ext inspect results/rank_influence_IRCNN_gray_sigma25_BSD400/ranking.parquet'

OWN = {  # options of one kind of manifest alone
    'a ranking of images': ('column', 'target'),
    'a manifest of patches': ('other', 'keep', 'per_image', 'criterion'),
    'an audit': (),
}
OF_MANIFESTS = ('size', 'dataroot', 'dataroot_lq', *(name for names in OWN.values() for name in names))
SIZES = {'an audit': 6}  # images of a group, where they are not 20


def inspect_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Look at a ranking of images, at mined patches, at an audit or at trainings as the command line says.

    Args:
        root_path: not used; the folder of the results is that of the manifest or of the first training.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.

    Raises:
        BasicsrExtError: the manifest, the images or the command line do not fit together.
    """
    args = build_parser().parse_args(argv)
    if any(is_training(path) for path in args.path):
        return _inspect_trainings(args)
    if len(args.path) > 1:
        raise OptionError('MANIFEST', 'one manifest, or several trainings', shown(args.path[1]), 'Name one at a time.')
    args.manifest = args.path[0]
    manifest = read_manifest(args.manifest)
    kind = _kind(manifest)
    _refuse_foreign_options(args, kind)
    size = SIZES.get(kind, 20) if args.size is None else args.size
    if args.target is not None:
        return _inspect_target(args, size)
    dataset = dataset_of(manifest, args.dataroot, args.dataroot_lq)
    where = '--dataroot' if args.dataroot else 'datasets.train'
    folder = Path(args.output) if args.output else Path(args.manifest).parent / 'inspect'
    if kind == 'an audit':
        inspect_audit(manifest, dataset, where, folder, size)
    elif kind == 'a manifest of patches':
        keep = args.keep or [0.5]
        view = PatchView(size, keep[0] if len(keep) == 1 else keep, bool(args.per_image), args.criterion, args.other)
        inspect_patches(manifest, dataset, where, folder, view)
    else:
        inspect_images(manifest, dataset, where, folder, size, by_column(manifest, args.column or 'rank'))
    write_inspect_page(manifest, folder)
    return 0


def is_training(path: str) -> bool:
    """Whether a path names the folder or the log of a training; else it is a manifest."""
    return os.path.isdir(path) or path.endswith('.jsonl')


def _inspect_trainings(args: argparse.Namespace) -> int:
    """Draw the curves of one or several trainings in one picture."""
    for name in OF_MANIFESTS:
        if getattr(args, name) is not None:
            raise OptionError(f'--{name}', 'a manifest', 'trainings', 'Remove it or name a manifest.')
    logs = [Path(path) if path.endswith('.jsonl') else Path(path) / LOG for path in args.path]
    inspect_trainings(logs, Path(args.output) if args.output else logs[0].parent / 'inspect')
    return 0


def _inspect_target(args: argparse.Namespace, size: int) -> int:
    """Look at what teaches one image of the target."""
    if args.column is not None:
        raise OptionError('--column', '--target without it', shown(args.column), 'Remove one of the two.')
    matrix = read_manifest(Path(args.manifest).parent / PER_TARGET)
    path, scored = by_target(matrix, args.target)
    target = dataset_of(matrix, key='test')
    image = next(index for index, item in enumerate(inventory(target)) if item.path == path)
    folder = Path(args.output) if args.output else Path(args.manifest).parent / 'inspect' / Path(path).stem
    dataset, where = dataset_of(matrix, args.dataroot, args.dataroot_lq), '--dataroot'
    inspect_images(matrix, dataset, where, folder, size, scored, (target, image))
    write_inspect_page(matrix, folder)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line of `inspect`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext inspect')
    parser.add_argument(
        'path',
        metavar='MANIFEST',
        nargs='+',
        help='what `basicsr-ext rank`, `mine` or `audit` wrote; or experiments/NAME of one or several trainings, whose '
        'curves are drawn in one picture',
    )
    parser.add_argument(
        '--size', type=int, metavar='K', help='images or patches of each group (20), of each finding (6)'
    )
    parser.add_argument('--dataroot', metavar='FOLDER', help='where the images are now, if they moved')
    parser.add_argument('--dataroot_lq', metavar='FOLDER', help='the same of the LQ images of pairs of files')
    parser.add_argument(
        '-o', '--output', metavar='FOLDER', help='by default `inspect` beside the manifest, or in the first experiment'
    )
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


def _kind(manifest: Manifest) -> str:
    if manifest.holds_audit:
        return 'an audit'
    return 'a manifest of patches' if manifest.holds_patches else 'a ranking of images'


def _refuse_foreign_options(args: argparse.Namespace, kind: str) -> None:
    for other, names in OWN.items():
        for name in names if other != kind else ():
            if getattr(args, name) is not None:
                raise OptionError(f'--{name}', other, kind, 'Remove it or name another manifest.')
