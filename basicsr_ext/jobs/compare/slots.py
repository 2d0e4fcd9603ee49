"""The places for trainings on this machine."""

import os

import torch

from basicsr_ext.runtime import distributed
from basicsr_ext.runtime.task_pool import Slot


def slots_of(jobs: int | None) -> list[Slot]:
    """A place on each GPU, or on each core, for one training at a time; under a launcher those of this process."""
    gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
    _, world = distributed.rank_and_world()
    if gpus:
        visible = (os.environ.get('CUDA_VISIBLE_DEVICES') or ','.join(map(str, range(gpus)))).split(',')
        own = visible if world == 1 else [visible[int(os.environ.get('LOCAL_RANK', 0)) % gpus]]
        number = jobs or len(own)
        return [Slot(max(1, cores // number), {'CUDA_VISIBLE_DEVICES': own[slot % len(own)]}) for slot in range(number)]
    local = int(os.environ.get('LOCAL_WORLD_SIZE', 1)) if world > 1 else 1
    number = jobs or max(1, cores // local)
    return [Slot(max(1, cores // (number * local)), {}) for _ in range(number)]
