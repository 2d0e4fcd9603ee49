"""A pool in which every second image is spoilt: what that costs, and who finds them.

    python scripts/reproduce/spoilt.py --photographs datasets/BSD400 --seeds 5

Grey denoising on photographs, half of them spoilt by turns: noise of sigma 15 in the ground truth, a mean filter of
5 x 5, enlarged from a third, JPEG of quality 10. What the job `audit` keeps is compared with all images, and with top
and mid of the ranking by influence on other, clean photographs. A second table, `areas.md`, holds the area under the
ROC curve of everything that might tell spoilt images from clean ones: the end of the rankings by influence and by the
image's own loss, and what the audit measured.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comparing import FILES, arguments, compare
from pools import SPOIL, add_arguments, photograph_pool, photographs_of
from scipy.stats import rankdata
from training_files import RANK_FILE, TASKS, Block, on_pool

# isort: split
from basicsr_ext.__main__ import main as run
from basicsr_ext.options.dataset_blocks import LOADER_KEYS
from basicsr_ext.reports.audit_report import findings_of
from basicsr_ext.selection.manifest import Manifest, read_manifest

AUDIT_FILE = 'options/audit/audit_BSD400.yml'
SETS = ('full', 'fit', 'random', 'influence:top', 'influence:mid')
RANK = {'precision': 'bfloat16', 'iterations': 12, 'curvature_images': 24}
CLEAN = 'photograph'  # the group


def main() -> int:
    """Tell who finds the spoilt images, and compare."""
    parser = arguments(__doc__, iterations=1500)
    add_arguments(parser)
    args, further = parser.parse_known_args()
    task = TASKS['denoise']
    pool = photograph_pool(photographs_of(args, task.color), task.color, args.images, spoilt=True)
    opt = on_pool(task, pool, task.network, args.iterations)
    lines = area_table({name: areas(scores, pool.groups) for name, scores in suspicion(opt, pool.folder.name).items()})
    FILES.mkdir(parents=True, exist_ok=True)
    (FILES / 'spoilt_areas.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print('\n'.join(lines))
    compare('spoilt', opt, ['--sets', *SETS, '--sizes', '20', '--proxy', str(task.proxy)], further)
    return 0


def suspicion(opt: Block, pool: str) -> dict[str, dict[str, float]]:
    """What might tell spoilt images: its name -> image -> how suspect it is.

    Args:
        opt: options that train on the pool.
        pool: its name, which tells its content.
    """
    blocks = {'train': opt['datasets']['train'], 'test': opt['datasets']['val_target']}
    datasets = {use: {key: block[key] for key in block if key not in LOADER_KEYS} for use, block in blocks.items()}
    found = {}
    for method in ('influence', 'loss'):
        ranking = result(RANK_FILE, f'{pool}_{method}', 'ranking', datasets=datasets, rank={**RANK, 'method': method})
        ranks = map(float, ranking.column('rank'))  # the end of a ranking is what it advises against
        found[method] = dict(zip(ranking.column('path'), ranks, strict=True))
    return {**found, **measured(result(AUDIT_FILE, f'{pool}_audit', 'audit', datasets=datasets))}


def result(option_file: str, name: str, file: str, **blocks: Any) -> Manifest:
    """What a job wrote, which does it unless that is done.

    Args:
        option_file: of the job, in the folder of its name.
        name: of the result.
        file: of the job's manifest.
        blocks: that take the place of those in the option file.

    Raises:
        SystemExit: the job did not end well, as it has told.
    """
    changes = [f'{key}={json.dumps(block)}' for key, block in blocks.items()]
    if code := run([Path(option_file).parent.name, '-opt', option_file, '--set', f'name={name}', *changes]):
        raise SystemExit(code)
    return read_manifest(str(Path('results', name, f'{file}.parquet')))


def measured(audited: Manifest) -> dict[str, dict[str, float]]:
    """Image -> how suspect it is, by the audit's verdict and by each of its findings."""
    paths = audited.column('path')
    found = {'audit': dict(zip(paths, map(float, audited.column('suspect')), strict=True))}
    for finding in findings_of(audited):
        found[f'audit: {finding.name}'] = dict(zip(paths, finding.towards_suspect.tolist(), strict=True))
    return found


def areas(scores: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    """The area under the ROC curve of each kind of spoilt images, and of all, against the clean ones.

    Args:
        scores: image -> how suspect it is.
        groups: image -> `photograph`, or how it was spoilt.
    """
    clean = [score for name, score in scores.items() if groups[name] == CLEAN]
    spoilt = {kind: [score for name, score in scores.items() if groups[name] == kind] for kind in SPOIL}
    everything = [score for kind in spoilt.values() for score in kind]
    return {kind: area(own, clean) for kind, own in {**spoilt, 'all': everything}.items() if own}


def area(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The share of pairs in which the positive value is the larger one, equal values counted half (Hanley and McNeil,
    1982)."""
    ranks = rankdata([*positive, *negative])[: len(positive)]
    pairs = len(positive) * len(negative)
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / pairs)


def area_table(curves: Mapping[str, Mapping[str, float]]) -> list[str]:
    """In Markdown."""
    kinds = list(dict.fromkeys(kind for areas in curves.values() for kind in areas))
    lines = [f'| area under the curve | {" | ".join(kinds)} |', '|---|' + '---|' * len(kinds)]
    return lines + [f'| {name} | {" | ".join(f"{own[kind]:.2f}" for kind in kinds)} |' for name, own in curves.items()]


if __name__ == '__main__':
    sys.exit(main())
