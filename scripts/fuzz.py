"""Feed every job bad option files, images, checkpoints, manifests and states, and see that it says so in one line.

    python scripts/fuzz.py --minutes 10 --seed 0 --job rank

Each trial runs in a fork of its own, in a fresh copy of a small folder in which one or two things are made wrong. It
fails unless the job ends with exit code 0, or with 2 and one line of error; if it prints a traceback, hangs, changes
its inputs or earlier results, or writes outside `results/`, `experiments/` and `tb_logger/`. A job that still works
when the time is over has to stop at SIGTERM. `--trial N` repeats one trial and shows what it prints.
"""

import argparse
import copy
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2
import numpy as np
import torch
import yaml
from pyarrow import parquet

from basicsr_ext.__main__ import main as run_command
from basicsr_ext.jobs import jobs, load
from basicsr_ext.selection.manifest import KEY

Options = dict[str, Any]
LIMIT = 40  # seconds for a trial
STOPPING = 20  # seconds from SIGTERM to the end
MEMORY = 12 * 2**30  # bytes of address space, beside what the program has before a trial
WRITTEN = ('results', 'experiments', 'tb_logger')
FORKS = multiprocessing.get_context('fork')

DATA = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'gt', 'sigma': 25, 'color': 'gray'}
DISK = {'io_backend': {'type': 'disk'}}
PAIRS = {'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq', 'scale': 1, **DISK}
NET = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
FLEXIR = {
    'type': 'FlexIR', 'upscale': 1, 'in_chans': 3, 'img_size': 8, 'window_size': 4, 'depths': [1, 1], 'embed_dim': 12,
    'num_heads': [2, 2], 'mlp_ratio': 2,
}  # fmt: skip
METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
TOP: Options = {'name': 'new', 'num_gpu': 0, 'manual_seed': 0}
WEIGHTS = {'path': {'pretrain_network_g': 'net.pth'}}

FILES: dict[str, Options] = {
    'train': {
        'model_type': 'RestorationModel',
        'datasets': {
            'train': {'name': 'd', **DATA, 'gt_size': 16, 'num_worker_per_gpu': 0, 'batch_size_per_gpu': 2},
            'val': {'name': 'v', **DATA},
        },
        'network_g': NET,
        'path': {'pretrain_network_g': 'net.pth', 'strict_load_g': True, 'resume_state': None},
        'train': {
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [2], 'gamma': 0.5},
            'total_iter': 3,
            'warmup_iter': -1,
            'ema_decay': 0.9,
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'},
        },
        'val': {'val_freq': 2, 'save_img': True, 'metrics': METRICS},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2, 'use_tb_logger': False},
    },
    'test': {
        'model_type': 'RestorationModel',
        'datasets': {'test_1': {'name': 'd', **DATA}, 'test_2': {'name': 'e', **DATA}},
        'network_g': NET,
        **WEIGHTS,
        'val': {'save_img': True, 'suffix': None, 'metrics': METRICS},
    },
    'rank': {
        'rank': {'method': 'influence', 'iterations': 2, 'curvature_images': 3, 'damping': [0.1, 1.0]},
        'datasets': {'train': {'name': 'd', **DATA}, 'test': {'name': 'v', **DATA}},
        'network_g': NET,
        **WEIGHTS,
    },
    'rank_complexity': {
        'rank': {'method': 'complexity', 'criterion': 'entropy', 'source': 'gt', 'workers': 0},
        'datasets': {'train': {'name': 'd', **PAIRS}},
    },
    'rank_matching': {
        'rank': {'method': 'matching', 'size': 2, 'iterations': 2, 'curvature_images': 3, 'damping': 0.1,
                 'guard': 'curvature', 'directions': 1, 'per_target': True, 'baselines': ['el2n', 'craig']},
        'datasets': {'train': {'name': 'd', **DATA}, 'test': {'name': 'v', **DATA}},
        'network_g': NET,
        **WEIGHTS,
    },
    'rank_encoder': {
        'rank': {'method': 'kcenter', 'size': 2, 'features': 'encoder', 'baselines': ['matching', 'herding']},
        'datasets': {'train': {'name': 'd', **PAIRS}, 'test': {'name': 'v', **DATA}},
    },
    'audit': {
        'audit': {'findings': None, 'sensitivity': 1.0, 'workers': 0},
        'datasets': {'train': {'name': 'd', **PAIRS}, 'test': {'name': 'v', **DATA}},
    },
    'mine': {
        'mine': {'patch_size': 16, 'stride': 8, 'criteria': ['grad', 'loss', 'random'], 'workers': 0},
        'datasets': {'train': {'name': 'd', **DATA}},
        'network_g': NET,
        **WEIGHTS,
    },
    'mine_influence': {
        'mine': {'patch_size': 16, 'stride': 8, 'criteria': ['influence'], 'workers': 0,
                 'influence': {'iterations': 2, 'curvature_images': 3, 'damping': 0.1}},
        'datasets': {'train': {'name': 'd', **DATA}, 'test': {'name': 'v', **DATA}},
        'network_g': NET,
        **WEIGHTS,
    },
    'distill': {
        'distill': {'size': 3, 'kept': 0.4, 'manifest': 'earlier/ranking.parquet', 'image_size': 16, 'steps': 2,
                    'batch_size': 2},
        'datasets': {'train': {'name': 'd', **DATA}},
        'network_g': NET,
        'path': {},
    },
    'align': {
        'align': {'iterations': 2, 'patch_size': 16, 'batch_size': 2, 'lr': 1e-3, 'pixel_weight': 1},
        'datasets': {
            'train': {
                'name': 's', 'type': 'InfluenceSubsetDataset', 'manifest': 'earlier/ranking.parquet', 'subset': 'top',
                'size': 2, 'dataset': DATA,
            },
            'target': {'name': 't', **PAIRS},
        },
        'network_tuner': {'type': 'DistributionTuner', 'in_channels': 1, 'width': 4, 'depth': 2},
    },
    'calibrate': {
        'calibrate': {'inference': {'regions': 2}, 'thresholds': 3, 'budget': 0.9},
        'datasets': {
            'test_1': {'name': 'n', 'type': 'SingleImageDataset', 'dataroot_lq': 'gt', 'io_backend': {'type': 'disk'}}
        },
        'network_g': FLEXIR,
        'path': {'pretrain_network_g': 'flexir.pth'},
    },
    'complexity': {'network_g': FLEXIR, 'complexity': {'input_size': [16, 16]}},
}  # fmt: skip
FILES['compare'] = copy.deepcopy(FILES['train'])
FILES['compare']['datasets']['val']['dataroot_gt'] = 'held'  # images that are not trained on
WORDS = {
    'compare': ['--sets', 'full', 'influence:top', 'complexity:top', '--sizes', '50%', '--seeds', '2', '--dry-run']
}
COMMANDS = {
    'init': ['init', 'denoise', 'gt', '-o', 'results/mine.yml'],
    'export': ['export', 'earlier/ranking.parquet', '-o', 'results/out.txt', '--subset', 'mid', '--size', '2'],
    'export_patches': [
        'export',
        'earlier/patches.parquet',
        '-o',
        'results/out',
        '--keep',
        '0.5',
        '--criterion',
        'grad',
    ],
    'export_weights': ['export', 'net.pth', '-opt', 'earlier/net.yml', '-o', 'results/out.pth'],
    'restore': [
        'restore',
        'gt',
        '-o',
        'results/new',
        '--weights',
        'net.pth',
        '-opt',
        'earlier/net.yml',
        '--format',
        'tif',
    ],
    'inspect': ['inspect', 'earlier/ranking.parquet', '-o', 'results/inspect', '--size', '2'],
    'inspect_audit': ['inspect', 'earlier/audit.parquet', '-o', 'results/inspect', '--size', '2'],
    'inspect_patches': ['inspect', 'earlier/patches.parquet', '-o', 'results/inspect', '--size', '2'],
}
JOBS = [*FILES, *COMMANDS]
RESULTS = {
    'rank': 'ranking.parquet', 'rank_complexity': 'ranking.parquet', 'rank_matching': 'ranking.parquet',
    'rank_encoder': 'ranking.parquet', 'audit': 'audit.parquet', 'mine': 'patches.parquet',
    'mine_influence': 'patches.parquet',
    'distill': 'manifest.parquet', 'align': 'statistics.json', 'calibrate': 'calibration.json',
    'complexity': 'complexity.json',
}  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**9, 10**30, -(10**18), 0.5, -0.0, 1e-300, 1e300, float('inf'),
    float('nan'), '', 'x', 'auto', '.', '..', '../outside', '/nowhere', 'a/b', 'ä\n', '\udcff', 'gt', 'x' * 300,
    'pkg://basicsr_ext/x', '1e-4', [], {}, [[]], [None], [1, 2], [-1, 0], ['x', 'x'], {'type': 'x'}, {'x': {}},
    {'type': 'Adam'}, {'type': None}, [{}],
]  # fmt: skip


@dataclass
class Outcome:
    """How a trial ended.

    Attributes:
        job, number: which it was.
        wrong: what was made wrong.
        fault: what the job did wrong; '' for nothing.
        output: what it printed.
    """

    job: str
    number: int
    wrong: str
    fault: str
    output: str


# ---- the small folder ----


def options_of(job: str) -> Options:
    """The option file of a job, sound."""
    return copy.deepcopy({**TOP, **FILES[job]})


def words_of(job: str) -> list[str]:
    """The command line of a job."""
    return COMMANDS[job] if job in COMMANDS else [job.partition('_')[0], '-opt', 'opt.yml', *WORDS.get(job, [])]


def make_world(folder: Path) -> None:
    """Images, weights, earlier results, and of each job what a killed run has left: `states/JOB/`."""
    from basicsr.archs import build_network

    for job in jobs():
        load(job)  # before the forks
    world = folder / 'world'
    (world / 'lq').mkdir(parents=True)
    (world / 'gt').mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 256, (24 + 2 * number, 26, 3), np.uint8)
        cv2.imwrite(str(world / f'gt/{number}.png'), image)
        cv2.imwrite(str(world / f'lq/{number}.png'), cv2.GaussianBlur(image, (3, 3), 1))
    (world / 'held').mkdir()
    for number in range(3):
        cv2.imwrite(str(world / f'held/{number}.png'), rng.integers(0, 256, (24, 26, 3), np.uint8))
    os.chdir(world)
    torch.manual_seed(0)
    for name, network in (('net', NET), ('flexir', FLEXIR)):
        torch.save({'params': build_network(dict(network)).state_dict()}, f'{name}.pth')
    Path('earlier').mkdir()
    Path('earlier/net.yml').write_text(yaml.safe_dump({'network_g': NET}))
    for job in FILES:
        Path('opt.yml').write_text(yaml.safe_dump(options_of(job)))
        states = folder / 'states' / job
        states.mkdir(parents=True)
        with _keeping_unfinished():
            code, _ = _in_fork(words_of(job), Path('log'))
        for root in ('results', 'experiments'):
            if Path(root).is_dir():
                shutil.copytree(root, states / root, ignore=shutil.ignore_patterns('*.log'), dirs_exist_ok=True)
                shutil.rmtree(root)
        if code:
            raise RuntimeError(f'{job} does not run at all, exit status {code}:\n{Path("log").read_text()[-3000:]}')
        if job in ('rank', 'mine', 'audit'):
            shutil.copy(states / 'results/new' / RESULTS[job], 'earlier')
    for name in ('log', 'opt.yml'):
        Path(name).unlink()
    shutil.copytree('earlier', 'results/earlier')


class _keeping_unfinished:
    """Jobs leave what they keep for continuing, beside their result."""

    def __enter__(self) -> None:
        from basicsr_ext.jobs import resumable

        self.module, self.forget = resumable, resumable.forget
        resumable.forget = lambda folder: None

    def __exit__(self, *_: object) -> None:
        self.module.forget = self.forget


# ---- what is made wrong ----


def _places(block: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys: list[Any] = list(block) if isinstance(block, dict) else list(range(len(block)))
    for key in keys:
        yield (*path, key)
        if isinstance(block[key], (dict, list)):
            yield from _places(block[key], (*path, key))


def wrong_options(draw: random.Random, job: str) -> str:
    """Change one or two keys of the option file, or its text."""
    opt, done = options_of(job), []
    for _ in range(draw.choice([1, 1, 1, 2])):
        *path, key = draw.choice(list(_places(opt)))
        block: Any = opt
        for step in path:
            block = block[step]
        kind = draw.choice(['value', 'value', 'value', 'delete', 'add', 'rename', 'copy'])
        if kind == 'value':
            block[key] = copy.deepcopy(draw.choice(VALUES))
        elif kind == 'delete':
            del block[key]
        elif kind == 'add' and isinstance(block, dict):
            block[draw.choice(['x', 1, None, 'type', 'name', 'gt_size', 'manifest', 'levels'])] = draw.choice(VALUES)
        elif kind == 'rename' and isinstance(block, dict):
            block[f'{key}x'] = block.pop(key)
        else:
            block[key] = copy.deepcopy(draw.choice([opt[name] for name in opt]))
        done.append(
            f'{kind} {".".join(map(str, [*path, key]))} {shown(block.get(key) if isinstance(block, dict) else block)}'
        )
    text = yaml.safe_dump(opt, sort_keys=False).encode('utf-8', 'surrogateescape')
    if draw.random() < 0.1:
        text = damaged(draw, text)
        done.append('and the text')
    Path('opt.yml').write_bytes(text)
    return ', '.join(done)


def shown(value: Any) -> str:
    """A value in few characters."""
    return repr(value)[:60]


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Bytes of a file, cut, changed or replaced."""
    kind = draw.randrange(5)
    if kind == 0:
        return b''
    if kind == 1:
        return content[: draw.randrange(len(content) + 1)]
    if kind == 2:
        changed = bytearray(content)
        for _ in range(draw.choice([1, 3, 30])):
            if changed:
                changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed)
    if kind == 3:
        return draw.randbytes(draw.choice([1, 100, 5000]))
    return draw.choice(
        [b'{}', b'[]', b'null', b'{"a": NaN}', b'[' * 3000, b'\xff\xfe', b'PAR1PAR1', b'PK\x05\x06' + b'\0' * 18]
    )


def wrong_image(draw: random.Random, job: str) -> str:
    """Damage, replace or add an image."""
    folder = draw.choice(['gt', 'lq'])
    path = Path(folder, f'{draw.randrange(4)}.png')
    kind = draw.randrange(7)
    if kind <= 1:
        path.write_bytes(damaged(draw, path.read_bytes()))
    elif kind == 2:
        path.rename(path.with_suffix(draw.choice(['.jpg', '.tif', '.txt', '.PNG', '', '.webp'])))
    elif kind == 3:
        shape = (draw.choice([1, 2, 3, 24]), draw.choice([1, 5, 26, 5000]), draw.choice([1, 3, 4]))
        cv2.imwrite(str(path), np.full(shape, draw.randrange(256), draw.choice([np.uint8, np.uint16])))
    elif kind == 4:
        path.unlink()
        draw.choice([path.mkdir, lambda: path.symlink_to('nowhere'), lambda: None])()
    elif kind == 5:
        Path(folder, draw.choice(['Thumbs.db', 'a b.png', '.hidden.png', '\udcff.png', 'x.y.png'])).write_bytes(
            draw.choice([b'', path.read_bytes()])
        )
    else:
        shutil.rmtree(folder)
        draw.choice([Path(folder).mkdir, lambda: Path(folder).write_text('a file'), lambda: None])()
    return f'image {path}, kind {kind}'


def wrong_checkpoint(draw: random.Random, job: str) -> str:
    """Damage weights or make other ones."""
    path = Path('flexir.pth' if job in ('calibrate', 'complexity') else 'net.pth')
    return f'{path}: {_wrong_torch(draw, path)}'


def _wrong_torch(draw: random.Random, path: Path) -> str:
    if draw.random() < 0.4:
        path.write_bytes(damaged(draw, path.read_bytes()))
        return 'bytes'
    content = torch.load(path, map_location='cpu', weights_only=False)
    if not isinstance(content, dict) or draw.random() < 0.2:
        torch.save(draw.choice([None, [], {}, 3, torch.zeros(2), {'params': {}}, {'params': 3}]), path)
        return 'another object'
    places = list(_places(content))
    *steps, key = draw.choice(places)
    block = content
    for step in steps:
        block = block[step]
    if draw.random() < 0.3 and isinstance(block, dict):
        del block[key]
        how = 'deleted'
    else:
        value = block[key]
        other = draw.choice([None, 'x', -1, 10**9, {}, [], torch.zeros(3), torch.full((2, 2), float('nan'))])
        if isinstance(value, torch.Tensor) and draw.random() < 0.5:
            other = draw.choice([torch.full_like(value, -1), value[..., :0] if value.ndim else value, value.double()])
        block[key] = other
        how = shown(other)
    torch.save(content, path)
    return f'{".".join(map(str, [*steps, key]))} {how}'


def wrong_manifest(draw: random.Random, job: str) -> str:
    """Damage a ranking or a manifest of patches, or forge its header or columns."""
    kind = next((kind for kind in ('patches', 'audit') if kind in job), 'ranking')
    path = Path('earlier', f'{kind}.parquet')
    return f'{path}: {_wrong_parquet(draw, path)}'


def _wrong_parquet(draw: random.Random, path: Path) -> str:
    if draw.random() < 0.4:
        path.write_bytes(damaged(draw, path.read_bytes()))
        return 'bytes'
    table = parquet.read_table(path)
    header = json.loads(table.schema.metadata[KEY])
    if draw.random() < 0.5:
        *steps, key = draw.choice(list(_places(header)))
        block = header
        for step in steps:
            block = block[step]
        if draw.random() < 0.3:
            del block[key]
        else:
            block[key] = draw.choice([value for value in VALUES if value != '\udcff'])
        done = f'header {steps} {key}'
        table = table.replace_schema_metadata({KEY: json.dumps(header).encode()})
    else:
        name, kind = draw.choice(table.column_names), draw.randrange(4)
        place = table.column_names.index(name)
        if kind == 0:
            table = table.drop_columns([name])
        elif kind == 1:
            table = table.set_column(place, name, [[None] * len(table)])
        elif kind == 2:
            other = draw.choice([['x'] * len(table), [float('nan')] * len(table), [-1] * len(table), [[]] * len(table)])
            table = table.set_column(place, name, [other])
        else:
            table = table.slice(0, draw.randrange(len(table)))
        done = f'column {name}, kind {kind}'
    parquet.write_table(table, path)
    return done


def wrong_state(draw: random.Random, job: str, states: Path) -> str:
    """Damage what a killed run has left, or its result."""
    Path('opt.yml').write_text(yaml.safe_dump(options_of(job)))
    shutil.copytree(states / job, '.', dirs_exist_ok=True)
    result = Path('results/new', RESULTS.get(job, 'metrics.json'))
    if draw.random() < 0.7 and job in RESULTS:
        result.unlink()
        for name in ('gt', 'lq'):
            if draw.random() < 0.5:
                shutil.rmtree(Path('results/new', name), ignore_errors=True)
    roots = [Path('results/new'), Path('experiments/new')]
    kinds = ('.pth', '.state', '.npy', '.jsonl', '.json', '.parquet', '.yml')
    files = [path for root in roots for path in sorted(root.rglob('*')) if path.suffix in kinds and path.is_file()]
    done = []
    for path in draw.sample(files, min(len(files), draw.choice([1, 1, 2]))):
        kind = draw.randrange(6)
        if kind == 0:
            path.unlink()
            done.append(f'{path} deleted')
        elif kind == 1:
            path.unlink()
            path.mkdir()
            done.append(f'{path} a folder')
        elif path.suffix in ('.pth', '.state') and kind > 2:
            done.append(f'{path}: {_wrong_torch(draw, path)}')
        elif path.suffix == '.parquet' and kind > 2:
            done.append(f'{path}: {_wrong_parquet(draw, path)}')
        else:
            path.write_bytes(damaged(draw, path.read_bytes()))
            done.append(f'{path}: bytes')
    return ', '.join(done)


def make_wrong(draw: random.Random, job: str, states: Path) -> str:
    """Make one or two things in the current folder wrong; returns what."""
    if job in FILES:
        Path('opt.yml').write_text(yaml.safe_dump(options_of(job)))
    kinds: list[Callable[[], str]] = [lambda: wrong_image(draw, job), lambda: wrong_checkpoint(draw, job)]
    if job in FILES:
        kinds += [lambda: wrong_options(draw, job)] * 5 + [lambda: wrong_state(draw, job, states)] * 2
    if (job in COMMANDS and job != 'restore') or job in ('distill', 'align'):
        kinds += [lambda: wrong_manifest(draw, job)] * (3 if job in COMMANDS else 1)
    done = draw.choice(kinds)()
    if draw.random() < 0.1:
        with suppress(OSError):  # what is to be changed may be gone already
            done = f'{done}; {kinds[0]()}'
    return done


# ---- a trial ----


def _child(words: list[str], log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1), os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (open(number, 'w', encoding='utf-8', closefd=False) for number in (1, 2))  # noqa: SIM115
    os.setsid()
    limit = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    multiprocessing.current_process()._config['daemon'] = False  # type: ignore[attr-defined]  # it may have workers
    code = 1
    try:
        code = run_command(words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _address_space() -> int:
    return int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()


def _in_fork(words: list[str], log: Path) -> tuple[int | None, bool]:
    """Run a command; its exit code, and whether it had to be stopped."""
    process = FORKS.Process(target=_child, args=(words, log))
    process.start()
    process.join(LIMIT)
    stopped = process.exitcode is None
    if stopped:
        os.kill(process.pid, signal.SIGTERM)
        process.join(STOPPING)
    code = process.exitcode
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return code, stopped


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but what jobs may write."""
    found = {}
    for path in sorted(folder.rglob('*')):
        parts = path.relative_to(folder).parts
        kept = parts[0] != 'world' or len(parts) < 2 or parts[1] not in WRITTEN or parts[1:3] == ('results', 'earlier')
        if kept and path.is_file():
            found[os.fsdecode(os.fsencode('/'.join(parts)))] = path.read_bytes()
    return found


def run_trial(source: Path, job: str, seed: int, number: int) -> Outcome:
    """Make something wrong in a copy of the small folder, and run the job there.

    Args:
        source: holds `world/` and `states/`.
        job: one of `JOBS`.
        seed, number: of the trial.
    """
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix='fuzz_') as temporary:
        place = Path(temporary)
        shutil.copytree(source / 'world', place / 'world', symlinks=True)
        (place / 'outside').mkdir()
        (place / 'outside/kept.txt').write_text('kept')
        os.chdir(place / 'world')
        try:
            wrong = make_wrong(random.Random(f'{seed}/{job}/{number}'), job, source / 'states')
            before, log = contents(place), source / 'log'
            code, stopped = _in_fork(words_of(job), log)
            output = log.read_text(errors='replace')
            fault = _fault(code, stopped, output) or _changes(before, contents(place))
        finally:
            os.chdir(home)
    return Outcome(job, number, wrong, fault, output)


def _fault(code: int | None, stopped: bool, output: str) -> str:
    if code is None:
        return f'hangs: neither done in {LIMIT} s nor at SIGTERM'
    if 'Traceback' in output:
        return 'traceback: ' + next((line for line in reversed(output.splitlines()) if 'Error' in line[:80]), '')[:150]
    if stopped and code == 128 + signal.SIGTERM:
        return ''
    if stopped and code < 0:
        return '' if code == -signal.SIGTERM else f'signal {-code}'
    if code not in (0, 2):
        return f'exit code {code}'
    lines = [line for line in output.splitlines() if line.startswith('basicsr-ext ')]
    last = (output.rstrip().splitlines() or [''])[-1]
    if code == 2 and (len(lines) != 1 or lines[0] != last):
        return f'{len(lines)} lines of error, the last line is {last[:100]!r}'
    return ''


def _changes(before: dict[str, bytes], after: dict[str, bytes]) -> str:
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f'changed {", ".join(changed[:5])}' if changed else ''


def main() -> int:
    """Try jobs in turn until the time is over; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--job', choices=JOBS, action='append', help='may be given again; all by default')
    parser.add_argument('--trial', type=int, help='repeat this trial of --job, and show what it prints')
    args = parser.parse_args()
    end, jobs, found, number = time.monotonic() + 60 * args.minutes, args.job or JOBS, [], 0
    with tempfile.TemporaryDirectory(prefix='fuzz_world_') as temporary:
        source = Path(temporary)
        home = Path.cwd()
        make_world(source)
        os.chdir(home)
        if args.trial is not None:
            outcome = run_trial(source, jobs[0], args.seed, args.trial)
            print(f'{outcome.wrong}\n{outcome.output}\n{outcome.fault or "well"}')
            return bool(outcome.fault)
        while time.monotonic() < end:
            for job in jobs:
                outcome = run_trial(source, job, args.seed, number)
                if outcome.fault:
                    found.append(outcome)
                    print(
                        f'{job} --seed {args.seed} --trial {number}: {outcome.wrong}\n    {outcome.fault}', flush=True
                    )
            number += 1
    print(f'{number * len(jobs)} trials, {len(found)} faults')
    return bool(found)


if __name__ == '__main__':
    sys.exit(main())
