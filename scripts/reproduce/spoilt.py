"""A pool in which every second image is spoilt: what that costs, and who finds them.

    python scripts/reproduce/spoilt.py --photographs datasets/BSD400 --seeds 5

Grey denoising on photographs, half of them spoilt by turns: noise of sigma 15 in the ground truth, a mean filter of
5 x 5, enlarged from a third, JPEG of quality 10. Rows: K random images of all and of the clean ones, all images, all
clean ones, those that the job `audit` keeps, top and mid of the ranking by influence on other, clean photographs. A
second table holds the area under the ROC curve of everything that might tell spoilt images from clean ones: the end of
the rankings by influence and by the image's own loss, and what the audit measured.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from choosing import DATA, Setting, arguments, photographs_of, run_job, train_choices
from comparison import report
from pools import SPOIL, photograph_pool
from scipy.stats import rankdata
from tasks import TASKS

# isort: split
from basicsr_ext.reports.audit_report import findings_of
from basicsr_ext.selection.manifest import Manifest, read_manifest

AUDIT_FILE = 'options/audit/audit_BSD400.yml'
CLEAN = 'photograph'  # the group


def main() -> int:
    """Rank, audit, train, print and draw."""
    args = arguments(__doc__).parse_args()
    task = TASKS['denoise']
    pool = photograph_pool(photographs_of(args, task.color), task.color, args.images, DATA, spoilt=True)
    setting = Setting('half spoilt', task, pool, args)
    influence, loss = setting.rank('influence'), setting.rank('loss')
    suspicion = {  # the end of a ranking is what it advises against
        'influence': {name: float(rank) for name, rank in influence.ranks('influence').items()},
        'loss': {name: float(rank) for name, rank in loss.ranks('loss').items()},
    }
    chosen = [
        setting.drawn('random', pool.names(), args.size),
        setting.drawn('random clean', pool.names(CLEAN), args.size),
        setting.all(),
        setting.listed('all clean', pool.names(CLEAN)),
        *(setting.ranked(part, influence, 'influence', args.size, part) for part in ('top', 'mid')),
    ]
    path = audit(setting)
    suspicion |= measured(read_manifest(str(path)))
    chosen.append(setting.fit('audited', path))
    reached, seconds = train_choices([(setting, task.network, choice) for choice in chosen], args)
    curves = {name: areas(scores, pool.groups) for name, scores in suspicion.items()}
    facts = {'areas_under_the_curve': curves, 'seconds_of_a_training': seconds}
    report('spoilt', reached, args.output, facts, area_table(curves))
    return 0


def audit(setting: Setting) -> Path:
    """Let the job `audit` look at the pool; what it wrote."""
    name = f'{setting.name}_audit'
    path = Path('results', name, 'audit.parquet')
    changes = {
        'datasets.train.dataroot_gt': str(setting.pool.folder / 'pool'),
        'datasets.train.color': 'gray',
        'datasets.test.dataroot_gt': str(setting.pool.folder / setting.pool.reports[0]),
    }
    run_job('audit', AUDIT_FILE, name, changes, path)
    return path


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
