"""The job `align`: bring the images of a small dataset to the distribution of a large one."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from basicsr_ext.alignment.channel_statistics import ChannelStatistics, measure
from basicsr_ext.alignment.comparison import change, compare, first_component, sample_features
from basicsr_ext.alignment.diversity import Diversity, diversity
from basicsr_ext.alignment.settings import AlignSettings
from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.alignment.tuning import Tuning
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.stock_files import reads_pairs
from basicsr_ext.images.new_folder import refuse_foreign
from basicsr_ext.jobs.align.images import write_aligned
from basicsr_ext.jobs.align.options import FILE
from basicsr_ext.jobs.align.parts import Parts, build_parts, try_first
from basicsr_ext.jobs.option_file import run_job
from basicsr_ext.jobs.resumable import identity, resumable, source_of
from basicsr_ext.networks.encoder import Images
from basicsr_ext.options.load import Options
from basicsr_ext.reports.alignment_page import write_alignment_page
from basicsr_ext.reports.alignment_plot import draw_alignment
from basicsr_ext.reports.diversity_plot import draw_diversity
from basicsr_ext.runtime.checkpoint import save_network_weights
from basicsr_ext.runtime.files import write_json
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.runtime.unfinished import read_identity

EXAMPLE = 'basicsr-ext align -opt options/align/align_BSD400_gray_2.yml'

RESULT = 'statistics.json'  # written last


def align_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Align as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    return run_job(FILE, align, root_path, argv)


def align(opt: Options, settings: AlignSettings, only_check: bool = False) -> None:
    """Write `results/<name>/`: `gt/`, of pairs of files `lq/` too, the tuner, what it changed, pictures and a page.

    Args:
        opt: completed and checked options.
        settings: the block `align`.
        only_check: build everything, try the first image and decode all, write nothing.

    Raises:
        OptionError, DataError: networks and images that do not fit together.
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'align', RESULT, partial(read_identity, key='made_from'), write_alignment_page) as run:
        refuse_foreign(run.folder, run.unfinished, run.result)
        parts = build_parts(opt, settings)
        try_first(parts, settings)
        if only_check:
            for key, dataset in (('train', parts.train), ('target', parts.target)):
                check_pixels(dataset, f'datasets.{key}')
            run.sound(f'{len(parts.items)} images and the first one')
            return
        made_from = _identity(opt, settings, parts)
        if not run.begin(made_from):
            return
        images, target_images = CleanImages(parts.train), CleanImages(parts.target)
        saved = SavedState(run.unfinished / 'target.pth')
        full = measure(target_images, parts.encoder, 'Target', saved, parts.device)
        goal = full if settings.target == 'full' else None
        tuning = Tuning(parts.tuner, images, parts.encoder, goal, settings, opt['manual_seed'], parts.restoration_loss)
        tuning.run(SavedState(run.unfinished / 'tuner.pth'))
        if run.is_first:
            save_network_weights(run.folder / 'network_tuner.pth', {'params': parts.tuner.state_dict()})
        tuned = TunedImages(parts.tuner, images)
        write_aligned(tuned, parts.train, parts.names, run.folder, run.unfinished, settings.input == 'moved')
        content, samples, diverse = _measured(parts, tuned, full, tuning.before)
        content['input'] = settings.input if reads_pairs(parts.train) else None
        if run.is_first:
            run.finish(_report(run.folder, {'made_from': made_from, **content}, samples, diverse))


def _identity(opt: Options, settings: AlignSettings, parts: Parts) -> dict[str, Any]:
    """All that decides the result."""
    networks = {'encoder': parts.encoder}
    if parts.restoration_loss is not None:
        networks['g'] = parts.restoration_loss.net
    train, target = source_of(parts.train, parts.items), source_of(parts.target)
    return identity('align', opt, {'align': settings}, networks, train=train, target=target)


def _measured(
    parts: Parts, tuned: TunedImages, full: ChannelStatistics, before: ChannelStatistics
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Diversity]]:
    """Figures of the images as they were written, samples of features and distances; every rank has to come here."""
    originals, encoder, device = tuned.images, parts.encoder, parts.device
    after = measure(tuned, encoder, 'Tuned', device=device)
    sets: dict[str, Images] = {'full': CleanImages(parts.target), 'subset': originals, 'tuned': tuned}
    samples = {name: sample_features(images, encoder, device=device) for name, images in sets.items()}
    diverse = {name: diversity(images, encoder, device=device) for name, images in sets.items() if len(images) > 1}
    content = {
        'images': {name: len(images) for name, images in sets.items()},
        'levels': asdict(change(originals, tuned)),
        **compare(full, before, after),
        'diversity': {name: found.summary() for name, found in diverse.items()},
    }
    return content, samples, diverse


def _report(
    folder: Path, content: dict[str, Any], samples: dict[str, np.ndarray], diverse: dict[str, Diversity]
) -> str:
    """Draw, write the figures and say what became of the images."""
    mean, direction = first_component(samples['full'])
    projected = {name: (sample - mean) @ direction for name, sample in samples.items()}
    draw_alignment(projected, 'first principal component of the features', folder / 'alignment.png')
    draw_diversity(diverse, folder / 'diversity.png')
    write_json(folder / RESULT, content)
    levels, kl = content['levels'], content['kl']
    return (
        f'KL to the target {kl["before"]:.4g} before, {kl["after"]:.4g} after; '
        f'{levels["mean"]:.2f} levels changed on average, {levels["largest"]:.0f} at most: {folder}'
    )
