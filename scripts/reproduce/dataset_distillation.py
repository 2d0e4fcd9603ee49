"""TripleD: training on a few per cent of BSD400, chosen or made in several ways, and on all of it.

    python scripts/reproduce/dataset_distillation.py --iterations 1000 --seeds 3
    python scripts/reproduce/dataset_distillation.py --tables 2 3 4 6 7 8 fig1 --sizes 5%

5: 1, 2, 5 and 10 % in seven ways (Tables 1 and 5). 2: layers of the tuner. 3: sides of what the scorer sees; at full
size it is the entropy itself. 4: networks that score. 6: without the tuner, of the most complex images and of distilled
ones. 7: what is distilled, pixels or, with --vae FOLDER, latents of an autoencoder; StyleGAN2 is not here. 8:
accumulated gradients, with the most memory that a training held. fig1: the synthetic part of a distilled set (right).
The scorers of 3 and 4 are trained first, once. Grey denoising at sigma 25; choices aim at one half of BSD68, and all
are measured on Set12.
"""

import argparse
import json
import sys
from pathlib import Path

from comparing import add_tables, arguments, compare
from training_files import Block, on_images, proxy_file

# isort: split
from basicsr_ext.__main__ import main as run
from basicsr_ext.options.load import load_options

OPTION_FILE = 'options/train/IRCNN/train_IRCNN_gray_sigma25_BSD400.yml'
DISTILL_FILE = 'options/distill/distill_IRCNN_gray_sigma25_BSD400_5.yml'
SCORER_FILE = 'options/train/ComplexityScorer/train_ComplexityScorer_test_resnet_BSD400.yml'
OF_COMPARISON = ('ratio', 'kept', 'manifest')  # keys of a distillation that the comparison sets
SETS = (
    'full',
    'random',
    'dynamic:random',
    'complexity:top',
    'dynamic',
    'influence:mid',
    'distilled',
    'aligned:distilled',
)
SMALL = ('test_resnet', 'test_vit', 'mixer_s32_224')  # of timm, for resnet50, vit_base_patch16_224, mixer_b16_224
TABLES = ('5', '2', '3', '4', '6', '7', '8', 'fig1')


def main() -> int:
    """Compare, for every table."""
    parser = arguments(__doc__, iterations=1000)
    add_tables(parser, TABLES)
    parser.add_argument('--patch', type=int, default=48, help='side of a training patch (48)')
    parser.add_argument('--extractors', nargs='+', default=list(SMALL), help=f'of table 4 ({" ".join(SMALL)})')
    parser.add_argument('--scorer_iterations', type=int, default=1500, help='of a scorer (1500)')
    parser.add_argument('--vae', help='an autoencoder of diffusers for table 7: a folder, or a name on the hub')
    args, further = parser.parse_known_args()
    for table in args.tables:
        opt = on_images(OPTION_FILE, args.iterations, patch=args.patch)
        opt['train']['accum_iter'] = 1
        sets = sets_of(table, args, opt, '--dry-run' in further)
        sizes = ['1%', '2%', '5%', '10%'] if table == '5' else [] if table == '8' else ['2%']
        words = ['--sets', *sets, *(['--sizes', *sizes] if sizes else [])]
        words += ['--proxy', proxy_file(25)]
        if any('distilled' in each for each in sets):
            words += ['--choosing', *distilling()]
        compare(f'dataset_distillation_{table}', opt, words, further)
    return 0


def sets_of(table: str, args: argparse.Namespace, opt: Block, is_dry: bool) -> list[str]:
    """The rows of a table."""
    if table == '5':
        return list(SETS)
    if table in ('3', '4'):
        kinds = (
            [('test_resnet', side) for side in (64, 128, 384)] if table == '3' else [(n, 128) for n in args.extractors]
        )
        scored = [scored_by(*each, args.scorer_iterations, is_dry) for each in kinds]
        return ['full', 'random', 'dynamic', *filter(None, scored)]
    if table == '8':
        batch = opt['datasets']['train']['batch_size_per_gpu']
        return [
            'full',
            *(f'{n} steps=full@train.accum_iter={n}@datasets.train.batch_size_per_gpu={batch // n}' for n in (4, 8)),
        ]
    return {
        '2': [
            'full',
            'random',
            'complexity:top',
            'aligned',
            *(f'aligned, {n} layers=aligned@aligned.network_tuner.depth={n}' for n in (4, 16)),
        ],
        '6': ['full', 'random', 'complexity:top', 'aligned', 'distilled', 'aligned:distilled'],
        '7': ['full', 'random', 'distilled', *latents(args.vae)],
        'fig1': [
            'full',
            'random',
            *(
                f'{100 - round(100 * kept)} % synthetic=distilled@distilled.kept={kept}'
                for kept in (1, 0.75, 0.5, 0.25, 0)
            ),
        ],
    }[table]


def distilling() -> list[str]:
    """The settings of the option file that distils, as `compare --choosing` takes them."""
    block = load_options(DISTILL_FILE)['distill']
    return [f'distilled.{key}={json.dumps(value)}' for key, value in block.items() if key not in OF_COMPARISON]


def latents(vae: str | None) -> list[str]:
    """The row of latents, where there is an autoencoder."""
    if vae is None:
        print('Table 7 without latents: name an autoencoder, --vae FOLDER.')
        return []
    return [f'latents=distilled@distilled.mode=latent@distilled.vae={json.dumps({"path": vae})}']


def scored_by(backbone: str, side: int, iterations: int, is_dry: bool) -> str:
    """The row whose images a trained scorer chooses, which is trained unless that is done.

    Args:
        backbone: a model of timm.
        side: of what it sees, in pixels.
        iterations: of its training.
        is_dry: whether it is only checked.

    Returns:
        The row, or '' where its scorer is not there yet.

    Raises:
        SystemExit: the training did not end well, as it has told.
    """
    name = f'scorer_{backbone}_{side}_{iterations}'
    weights = Path('experiments', name, 'models', 'net_g_latest.pth')
    if not weights.is_file():
        changes = [f'name={name}', f'network_g.backbone={backbone}', f'train.total_iter={iterations}']
        changes += [f'train.scheduler.T_max={iterations}']
        changes += [f'{block}.input_size={side}' for block in ('network_g', 'datasets.train', 'datasets.val')]
        words = ['train', '-opt', SCORER_FILE, '--set', *changes, '--check' if is_dry else '--auto_resume']
        if code := run(words):
            raise SystemExit(code)
        if is_dry:
            print(f'{name} would be trained first; its row is left out of the plan.')
            return ''
    scorer = f'@complexity.network_scorer.backbone={backbone}@complexity.network_scorer.input_size={side}'
    return f'{backbone} {side}=dynamic.scorer{scorer}@complexity.path.pretrain_network_scorer={weights}'


if __name__ == '__main__':
    sys.exit(main())
