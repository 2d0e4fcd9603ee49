"""The command line of `restore`, and the settings of inference that it asks for."""

import argparse
from dataclasses import replace

from basicsr_ext.errors import OptionError
from basicsr_ext.images.file_io import SUFFIXES
from basicsr_ext.inference.fitting_tiles import OVERLAP
from basicsr_ext.inference.named_network import NamedNetwork
from basicsr_ext.inference.settings import InferenceSettings, with_calibration
from basicsr_ext.options.imports import add_import

LEAST = {'tile': 1, 'overlap': 0, 'pointer': 1}


def build_parser() -> argparse.ArgumentParser:
    """The command line of `restore`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext restore')
    parser.add_argument('input', metavar='IN', help='an image, a folder of images and folders, or a video')
    parser.add_argument(
        '-o', '--output', required=True, metavar='OUT', help='a folder for a folder, a file for a file; outside IN'
    )
    parser.add_argument('--weights', required=True, metavar='FILE', help='trained weights, .pth or .safetensors')
    parser.add_argument(
        '-opt',
        metavar='FILE',
        help='option file with network_g, for weights that do not say what network they are of and lie in no '
        'experiment; its val.inference counts in any case',
    )
    parser.add_argument('--ema', action=argparse.BooleanOptionalAction, default=True, help='averaged weights, if any')
    endings = sorted(suffix.removeprefix('.') for suffix in SUFFIXES)
    parser.add_argument('--format', choices=endings, help='of all results of a folder (that of each file)')
    parser.add_argument('--overwrite', action='store_true', help='replace files in OUT that are others')
    parser.add_argument(
        '--compare', metavar='GT', help='ground truth, named as IN but for the ending: prints and writes PSNR and SSIM'
    )
    parser.add_argument('--device', metavar='NAME', help='as torch names it (a GPU if there is one)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')
    parser.add_argument(
        '--tile', type=int, metavar='N', help='side of the regions in pixels (from memory, above a megapixel)'
    )
    parser.add_argument('--overlap', type=int, metavar='N', help=f'pixels that regions share ({OVERLAP})')
    parser.add_argument('--pointer', type=int, metavar='P', help='of FlexIR: the last exit')
    parser.add_argument('--calibration', metavar='FILE', help='of FlexIR: calibration.json of the job calibrate')
    add_import(parser)
    return parser


def settings_of(named: NamedNetwork, args: argparse.Namespace) -> tuple[InferenceSettings | None, bool]:
    """How images are restored: the settings, None for those of the network, and whether tiles fit themselves.

    Raises:
        OptionError: a number is too small, or options contradict each other.
    """
    for name, least in LEAST.items():
        value = getattr(args, name)
        if value is not None and value < least:
            raise OptionError(f'--{name}', f'at least {least}', value, 'Correct it.')
    if args.calibration is not None:
        given = [f'--{name}' for name in LEAST if getattr(args, name) is not None]
        if given:
            raise OptionError('--calibration', 'none of the options that it sets', ', '.join(given), 'Remove one.')
        return with_calibration(InferenceSettings(calibration=args.calibration), 'restore'), False
    settings = named.settings
    if args.pointer is not None:
        settings = replace(settings or InferenceSettings(), pointer=args.pointer)
    if args.tile is not None:
        overlap = min(OVERLAP, args.tile // 4) if args.overlap is None else args.overlap
        settings = replace(settings or InferenceSettings(), regions=None, region_size=args.tile, overlap=overlap)
    elif args.overlap is not None and named.settings is not None and settings is not None:
        settings = replace(settings, overlap=args.overlap)
    return settings, args.tile is None and named.settings is None
