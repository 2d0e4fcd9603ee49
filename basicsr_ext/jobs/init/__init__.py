"""The job `init`: from a folder of images to option files that run."""

import argparse
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.init import blocks, selection_files, training_files
from basicsr_ext.jobs.init.length import length_of
from basicsr_ext.jobs.init.placing import place, refuse_others, staging
from basicsr_ext.jobs.init.plan import Plan, as_option, make_plan
from basicsr_ext.jobs.init.request import read_request
from basicsr_ext.jobs.init.tasks import NETS, TASKS, Block
from basicsr_ext.jobs.init.training_files import Length
from basicsr_ext.jobs.pace import Pace, measure
from basicsr_ext.options.imports import add_import

EXAMPLE = 'basicsr-ext init denoise photos -o mine.yml --budget 30m'
PACE = 'pace.json'


def build_parser() -> argparse.ArgumentParser:
    """The command line of `init`."""
    parser = argparse.ArgumentParser(prog='basicsr-ext init')
    parser.add_argument('task', metavar='TASK', choices=list(TASKS), help=f'what is to be undone: {", ".join(TASKS)}')
    parser.add_argument('folder', metavar='FOLDER', help='clean images to train on, also in folders below')
    parser.add_argument(
        '-o', '--output', required=True, metavar='NAME.yml', help='the training; others stand beside it'
    )
    parser.add_argument('--lq', metavar='FOLDER', help='degraded images of the same names, for tasks of pairs')
    parser.add_argument('--val', metavar='FOLDER', help='clean images to validate on; else a fifth is set aside')
    parser.add_argument('--val_lq', metavar='FOLDER', help='degraded ones of the same names')
    parser.add_argument('--target', metavar='FOLDER', help='clean images like those to restore: selections aim at them')
    parser.add_argument('--target_lq', metavar='FOLDER', help='degraded ones of the same names')
    parser.add_argument('--net', metavar='NAME', help=f'the network: {", ".join(NETS)}')
    parser.add_argument('--sigma', type=float, help='of denoise, in 8-bit levels (25)')
    parser.add_argument('--quality', type=float, help='of jpeg, 1 to 100 (10)')
    parser.add_argument('--scale', type=int, help='of sr (2), or of pairs (1)')
    parser.add_argument('--budget', metavar='TIME', help='how long the training may take here: 90s, 30m or 2h')
    parser.add_argument('--seed', type=int, default=0, help='of everything random (0)')
    add_import(parser)
    return parser


def init_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Look at the images and write the option files.

    Args:
        root_path: the folder in which relative paths start.
        argv: the command line after the name of the job; None takes the process's own.

    Returns:
        0.

    Raises:
        OptionError: what the command line asks for makes no sense.
        DataError: too few images; files that are there already and differ.
    """
    request = read_request(build_parser().parse_args(argv), root_path)
    plan = make_plan(request)
    print('\n'.join(plan.told()), flush=True)
    folder, listed = request.output.parent, f'{request.name}_files'
    lists = {f'{listed}/{name}': text for name, text in blocks.lists_of(plan).items()}
    with staging(folder, request.name) as stage:
        length = Length()
        if request.budget is not None:
            pace = _pace(plan, stage)
            length = length_of(pace, request.budget)
            kept = {**_asked(plan), **pace.as_json()}
            lists[f'{listed}/{PACE}'] = f'{json.dumps(kept, indent=2)}\n'
            print(f'{length.total_iter} {length.said.replace("optimiser steps:", "iterations:")}.')
        texts = {**lists, **_option_files(plan, length)}
        refuse_others(folder, texts, listed)
        written = place(stage, folder, texts, listed)
    print(f'{written} files written, {len(texts) - written} there already: {as_option(request.output, request.root)}')
    print('\n'.join(_next(plan)))
    return 0


def _option_files(plan: Plan, length: Length) -> dict[str, str]:
    """Name -> text of every option file; that of the training itself is the last one."""
    name, file = plan.request.name, partial(_in_shell, plan)
    trained = '' if blocks.has_shipped(plan) else f'First: basicsr-ext train -opt {file("")}\n'
    of_proxy = (
        'The network is the grey denoiser of this noise that comes with the package: the images are read as grey.\n'
        if blocks.has_shipped(plan)
        else 'The network is what that training leaves.\n'
    )
    manifest = f'results/{name}_rank_matching/ranking.parquet'
    patches = f'results/{name}_mine/patches.parquet'
    return {
        f'{name}_audit.yml': selection_files.audit(
            plan,
            f'Are the images fit to train on, and do they share pictures with those to validate on?\n'
            f'    basicsr-ext audit -opt {file("_audit")}\n'
            f'Result: results/{name}_audit/audit.parquet, which `basicsr-ext inspect` draws.',
        ),
        f'{name}_rank_complexity.yml': selection_files.complexity(
            plan,
            f'The images in the order of their complexity.\n'
            f'    basicsr-ext rank -opt {file("_rank_complexity")}\n'
            f'Result: results/{name}_rank_complexity/ranking.parquet.',
        ),
        f'{name}_rank_matching.yml': selection_files.matching(
            plan,
            f'{trained}Choose images together, so that what they teach is what those of val_target ask for.\n'
            f'    basicsr-ext rank -opt {file("_rank_matching")}\n'
            f'{of_proxy}Result: {manifest}, for {file("_train_matching")}.',
        ),
        f'{name}_rank_influence.yml': selection_files.influence(
            plan,
            f'{trained}How much each image alone helps on those of val_target.\n'
            f'    basicsr-ext rank -opt {file("_rank_influence")}\n'
            f'{of_proxy}Result: results/{name}_rank_influence/ranking.parquet.',
        ),
        f'{name}_mine.yml': selection_files.mine(
            plan,
            f'What the patches of the images hold.\n'
            f'    basicsr-ext mine -opt {file("_mine")}\n'
            f'Result: {patches}, for {file("_train_mined")}.',
        ),
        f'{name}_train_matching.yml': _training(
            plan,
            f'{name}_train_matching',
            training_files.on_chosen(plan, manifest, selection_files.chosen(plan)),
            f'First: basicsr-ext rank -opt {file("_rank_matching")}\nTrain on the images that it chooses.\n'
            f'    basicsr-ext train -opt {file("_train_matching")}',
            length,
        ),
        f'{name}_train_mined.yml': _training(
            plan,
            f'{name}_train_mined',
            training_files.on_mined(plan, patches),
            f'First: basicsr-ext mine -opt {file("_mine")}\nTrain on the patches with the steepest gradients.\n'
            f'    basicsr-ext train -opt {file("_train_mined")}',
            length,
        ),
        f'{name}.yml': _training(
            plan,
            name,
            training_files.on_all(plan),
            f'Train on all images.\n    basicsr-ext train -opt {file("")}\n'
            f'Result: experiments/{name}/models/net_g_latest.pth, and net_g_best.pth, which val chooses.',
            length,
        ),
    }


def _in_shell(plan: Plan, ending: str = '') -> str:
    """The option file NAME<ending>.yml as a command names it."""
    return shlex.quote(as_option(plan.request.beside(f'{ending}.yml'), plan.request.root))


def _training(plan: Plan, name: str, train: Block, head: str, length: Length) -> str:
    options = training_files.training(plan, name, train, length)
    return training_files.text_of(plan, options, head, length)


# ---- the budget ----


def _pace(plan: Plan, stage: Path) -> Pace:
    """What an earlier call of the same kind measured, or what is measured now.

    Raises:
        OptionError: the files are there already, and for another budget.
    """
    asked = _asked(plan)
    found = plan.request.beside('_files') / PACE
    if found.is_file():
        kept = _read(found)
        if all(kept.get(key) == value for key, value in asked.items()):
            return Pace(**{key: value for key, value in kept.items() if key not in asked})
    if os.path.lexists(plan.request.output) or found.exists():
        raise OptionError(
            '-o', 'a new file', f'{plan.request.output.name}, made otherwise', 'Move it away, or give another name.'
        )
    for name, text in blocks.lists_of(plan).items():
        (stage / name).write_text(text, encoding='utf-8')
    options = training_files.training(plan, plan.request.name, training_files.on_all(plan), Length())
    training_files.check(options)
    for key, block in options['datasets'].items():
        block['meta_info_file'] = str(stage / f'{key}.txt')
    print('Trying a few iterations.', flush=True)
    return measure(options, plan.request.root, stage)


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding='utf-8'))
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _asked(plan: Plan) -> Mapping[str, Any]:
    """What a pace was measured for."""
    return {'budget': plan.request.budget, 'network': blocks.network(plan), 'patch': plan.patch, 'batch': plan.batch}


def _next(plan: Plan) -> list[str]:
    file = partial(_in_shell, plan)
    weights = shlex.quote(f'experiments/{plan.request.name}/models/net_g_latest.pth')
    return [
        'Next:',
        f'    basicsr-ext audit -opt {file("_audit")}',
        f'    basicsr-ext compare -opt {file("")} --sets random matching --sizes 10% --seeds 3 --iterations 2000',
        f'    basicsr-ext train -opt {file("")}',
        f'    basicsr-ext restore IN -o OUT --weights {weights}',
    ]
