"""The job `export`: write a part of a manifest, or a trained network, for other programs."""

import argparse
import csv
import filecmp
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from basicsr_ext.data.ranked_images import groups_of
from basicsr_ext.errors import DataError, OptionError, under
from basicsr_ext.jobs.export.patches import choose_patches, export_patches
from basicsr_ext.jobs.export.weights import export_weights
from basicsr_ext.options.imports import add_import, import_all
from basicsr_ext.options.load import find_file, load_options, number
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.selection.manifest import Manifest, read_manifest
from basicsr_ext.selection.subsets.choose import choose

EXAMPLE = 'basicsr-ext export results/rank_influence_IRCNN_gray_sigma25_BSD400/ranking.parquet --subset top --size 20 -o top.txt'  # noqa: E501

PART = ('subset', 'size', 'ratio', 'range')
OF_RANKING = (*PART, 'column', 'seed', 'per_group')
OF_PIXELS = ('lq', 'dataroot', 'dataroot_lq')
OF_PATCHES = ('keep', 'criterion', 'per_image', *OF_PIXELS)
OF_NETWORK = ('pointer', 'input_size', 'param_key')
ROWS = 65536  # of a table, written together


def build_parser() -> argparse.ArgumentParser:
    """The command line of `export`."""
    parser = argparse.ArgumentParser(
        prog='basicsr-ext export',
        description='Write a part of a manifest, or all of it, so that BasicSR or a spreadsheet reads it: of a ranking '
        'a meta_info_file or CSV, of patches their images or CSV. With -opt, write a trained network for use: its '
        'weights without what only training needs, or ONNX.',
    )
    parser.add_argument(
        'manifest', metavar='MANIFEST', help='what `basicsr-ext rank` or `basicsr-ext mine` wrote, or weights'
    )
    parser.add_argument(
        '-o',
        required=True,
        dest='output',
        metavar='OUTPUT',
        help='of a ranking, .txt: meta_info_file, a line an image, in the order of the manifest; the keys where an '
        'LMDB was ranked, while BasicSR reads meta_info_file for folders only. Of patches, .lmdb: an LMDB of PNG '
        'images, without ending: a folder of them, named NAME_s001.png by their place in the image NAME. Pairs: '
        'OUTPUT/GT and OUTPUT/LQ, or OUTPUT_GT.lmdb and OUTPUT_LQ.lmdb. Of both, .csv: all columns, of a ranking in '
        'the order of the ranks. Of a network, .pth: weights, .safetensors: weights with the block of the network in '
        'the metadata, .onnx: a model for onnxruntime',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a file OUTPUT that is there and differs')
    add_import(parser)
    of_ranking = parser.add_argument_group('a ranking of images')
    of_ranking.add_argument('--subset', choices=['top', 'mid', 'bottom', 'random'], help='which images; needs a number')
    of_ranking.add_argument('--size', type=int, metavar='K', help='number of images')
    of_ranking.add_argument('--ratio', type=float, metavar='R', help='the same as a part of all images, rounded up')
    of_ranking.add_argument('--range', type=int, nargs=2, metavar=('LO', 'HI'), help='ranks instead, both included')
    of_ranking.add_argument('--column', metavar='NAME', help='the ranks (default: rank)')
    of_ranking.add_argument('--seed', type=int, metavar='N', help='of --subset random (default: 0)')
    yes = {'action': 'store_true', 'default': None}
    of_ranking.add_argument(
        '--per_group',
        **yes,  # type: ignore[arg-type]
        help='--subset in every group of the ranking on its own, with equal quotas',
    )
    of_patches = parser.add_argument_group('mined patches')
    of_patches.add_argument(
        '--keep',
        type=number,
        nargs='+',
        metavar='KEEP',
        help='a ratio (0.5), a number of patches (80000) or a band of quantiles (0.45 0.95), as in MinedPatchDataset; '
        'default: all',
    )
    of_patches.add_argument('--criterion', metavar='NAME', help='the column of --keep, where there are several')
    of_patches.add_argument('--per_image', **yes, help='--keep in every image on its own')  # type: ignore[arg-type]
    of_patches.add_argument(
        '--lq',
        **yes,  # type: ignore[arg-type]
        help='pairs also where the dataset makes the input itself: cut from the whole image that it degrades in '
        'validation; so the noise is fixed instead of drawn anew, and rounded to 8 bits. Pairs of files are always '
        'written',
    )
    of_patches.add_argument('--dataroot', metavar='FOLDER', help='where the images are now, if they moved')
    of_patches.add_argument('--dataroot_lq', metavar='FOLDER', help='the same of the LQ images of pairs of files')
    of_network = parser.add_argument_group('a network')
    of_network.add_argument('-opt', metavar='FILE', help='option file with its network_g')
    of_network.add_argument(
        '--pointer', type=int, metavar='P', help='of FlexIR: the branch of an ONNX model; the last one kept of weights'
    )
    of_network.add_argument(
        '--input_size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='the one size of images that an ONNX model takes (default: any, which FlexIR alone can do)',
    )
    of_network.add_argument(
        '--param_key', metavar='KEY', help='which weights of the checkpoint, as params_ema (default: params)'
    )
    return parser


def export_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Export as the command line says.

    Args:
        root_path: the folder in which relative paths start.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job, which then wrote nothing.

    Raises:
        CheckpointError: the weights cannot be read or do not fit, or an ONNX model restores another image.
        DataError: the manifest cannot be read, or BasicSR could not read what it names.
        OptionError: the part asked for does not exist, or the output cannot be written.
    """
    args = build_parser().parse_args(argv)
    output = Path(root_path, args.output)
    if args.opt is not None:
        _refuse(args, (*OF_RANKING, *OF_PATCHES), 'options of a network')
        weights = Path(root_path, find_file(args.manifest))
        with _new_file(output, args, weights) as path:
            opt = load_options(args.opt)
            import_all(opt)
            said = export_weights(weights, opt, path, args.pointer, args.input_size, args.param_key)
        print(f'{args.manifest}: {args.output} ({said})')
        return 0
    _refuse(args, OF_NETWORK, 'them with -opt, for a network')
    manifest = read_manifest(Path(root_path, args.manifest))
    if not manifest.holds_patches:
        _refuse(args, OF_PATCHES, 'options of a ranking of images, which the manifest is')
        _export_ranking(manifest, output, args)
        return 0
    _refuse(args, OF_RANKING, 'options of patches, which the manifest holds')
    return interrupt.run(lambda: _export_patches(manifest, output, args), 'Stopped. Nothing is written.')


def _refuse(args: argparse.Namespace, names: Sequence[str], expected: str) -> None:
    given = [f'--{name}' for name in names if getattr(args, name) is not None]
    if given:
        raise OptionError(given[0], expected, ', '.join(given), 'Remove what does not belong.')


@contextmanager
def _new_file(output: Path, args: argparse.Namespace, source: Path) -> Iterator[Path]:
    """The path to write: the output, or one beside it that is compared with what is there already.

    Args:
        output: the file.
        args: the command line.
        source: what is exported, which is never overwritten.

    Raises:
        OptionError: the file cannot be written, is the source, or differs and may not be overwritten.
    """
    try:
        if output.exists() and source.exists() and output.samefile(source):
            raise OptionError(f'-o {args.output}', 'another file than what is exported', 'it', 'Name another.')
        if args.overwrite or not os.path.lexists(output):
            yield output
            return
        with TemporaryDirectory(prefix=f'.{output.name}.', dir=output.parent) as folder:
            made = Path(folder, output.name)
            yield made
            if not filecmp.cmp(made, output, shallow=False):
                raise OptionError(
                    f'-o {args.output}',
                    'a new file, or the one that would be written',
                    'another',
                    'Add --overwrite to replace it, or name another.',
                )
    except OSError as error:
        raise OptionError(f'-o {args.output}', 'a file to write', error.strerror or error, 'Name another.') from error


# ---- a ranking of images ----


def _export_ranking(manifest: Manifest, output: Path, args: argparse.Namespace) -> None:
    write = {'.txt': _write_meta_info, '.csv': _write_csv}.get(output.suffix.lower())
    if write is None:
        raise OptionError(f'-o {args.output}', 'a name in .txt or .csv', 'another ending', 'Rename it.')
    ranks = manifest.column(args.column or 'rank')
    rows = _rows(manifest, ranks, args)
    if write is _write_csv:
        rows.sort(key=ranks.__getitem__)
    with _new_file(output, args, Path(manifest.source)) as path:
        write(path, manifest, rows)
    print(f'{len(rows)} of {len(ranks)} images of {args.manifest}: {args.output}')


def _rows(manifest: Manifest, ranks: Sequence[int], args: argparse.Namespace) -> list[int]:
    if all(getattr(args, name) is None for name in PART):
        _refuse(args, ('per_group',), 'it with --subset and --size or --ratio')
        return list(range(len(ranks)))
    part = {name: getattr(args, name) for name in PART}
    with under('--'):
        return choose(ranks, **part, seed=args.seed or 0, groups=groups_of(manifest) if args.per_group else None)


def _write_meta_info(path: Path, manifest: Manifest, rows: Sequence[int]) -> None:
    """Lines such as `0001.png (321,481)`: BasicSR reads up to the first blank, and a manifest knows no channels."""
    items = manifest.items()
    chosen = [items[row] for row in rows]
    split = [item.path for item in chosen if item.path.split() != [item.path]]
    if split:
        raise DataError(
            f'manifest {manifest.source}',
            'paths without blanks, where BasicSR ends a name',
            f'{len(split)} with: {", ".join(map(repr, split[:5]))}',
            'Rename the files or use InfluenceSubsetDataset.',
        )
    with atomic_open(path, 'w') as file:
        file.writelines(f'{item.path} ({item.height},{item.width})\n' for item in chosen)


# ---- patches ----


def _export_patches(manifest: Manifest, output: Path, args: argparse.Namespace) -> None:
    ending, written = output.suffix.lower(), [args.output]
    if ending == '.txt':
        raise OptionError(
            f'-o {args.output}',
            'a folder, or a name in .lmdb or .csv',
            '.txt, but a meta_info_file lists whole images',
            'Rename it.',
        )
    rows = _kept(manifest, args)
    if ending == '.csv':
        _refuse(args, OF_PIXELS, 'options of a table')
        with _new_file(output, args, Path(manifest.source)) as path:
            _write_csv(path, manifest, rows)
    else:
        paths = export_patches(manifest, rows, output, args.dataroot, args.dataroot_lq, bool(args.lq))
        written = [os.path.join(os.path.dirname(args.output), path.relative_to(output.parent)) for path in paths]
    print(f'{len(rows)} of {len(manifest.table)} patches of {args.manifest}: {", ".join(written)}')


def _kept(manifest: Manifest, args: argparse.Namespace) -> np.ndarray:
    if args.keep is None:
        _refuse(args, ('criterion', 'per_image'), 'them with --keep')
        return np.arange(len(manifest.table))
    keep = args.keep[0] if len(args.keep) == 1 else args.keep
    with under('--'):
        return choose_patches(manifest, keep, args.criterion, bool(args.per_image))


# ---- both ----


def _write_csv(path: Path, manifest: Manifest, rows: Sequence[int] | np.ndarray) -> None:
    with atomic_open(path, 'w') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(manifest.names)
        for part in manifest.table.take(rows).to_batches(ROWS):
            writer.writerows(zip(*(column.to_pylist() for column in part.columns), strict=True))
