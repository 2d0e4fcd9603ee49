"""Start and stop the process group on CPUs and GPUs, from torchrun or SLURM."""

import os
import subprocess
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from basicsr_ext.errors import OptionError, first_line

T = TypeVar('T')


def start(
    launcher: str, backend: str | None = None, port: int | None = None, on_gpu: bool = True, **arguments: Any
) -> None:
    """Join the process group that the launcher describes in the environment.

    Args:
        launcher: `pytorch` (torchrun) or `slurm` (srun).
        backend: `nccl` or `gloo`; None chooses nccl on a GPU; on the CPU it is always gloo.
        port: master port under SLURM; by default `MASTER_PORT`, else 29500 as in BasicSR. torchrun sets its own.
        on_gpu: whether the processes compute on GPUs where there are some.
        arguments: more of `torch.distributed.init_process_group`, such as `timeout`, also in seconds: so long a process
            waits for the others.

    Raises:
        OptionError: the launcher did not describe the group, or there is none of these arguments.
    """
    if launcher == 'slurm':
        _describe_slurm_job(port)
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise OptionError(
            f'--launcher {launcher}',
            'the variables that torchrun sets',
            f'no {", ".join(missing)}',
            'Start with `torchrun -m basicsr_ext JOB ...`, or leave --launcher out.',
        )
    gpus = torch.cuda.device_count() if on_gpu else 0
    if isinstance(arguments.get('timeout'), int | float):
        arguments['timeout'] = timedelta(seconds=arguments['timeout'])
    try:
        if gpus:
            local_rank = int(os.environ.get('LOCAL_RANK', os.environ['RANK']))
            torch.cuda.set_device(local_rank % gpus)
        dist.init_process_group(backend=(backend or 'nccl') if gpus else 'gloo', **arguments)
    except (RuntimeError, ValueError, TypeError) as error:
        raise OptionError(
            f'--launcher {launcher}',
            'a process group as the environment and dist_params describe it',
            first_line(error),
            'Correct dist_params, or the command of the launcher.',
        ) from error


def _describe_slurm_job(port: int | None) -> None:
    missing = [name for name in ('SLURM_NODELIST', 'SLURM_PROCID', 'SLURM_NTASKS') if name not in os.environ]
    if missing:
        raise OptionError(
            '--launcher slurm',
            'the variables that srun sets',
            f'no {", ".join(missing)}',
            'Start with srun, or leave --launcher out.',
        )
    try:
        hosts = subprocess.check_output(['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']], text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OptionError(
            '--launcher slurm', 'scontrol to name the hosts', first_line(error), 'Start inside a job.'
        ) from error
    os.environ['MASTER_PORT'] = str(port or os.environ.get('MASTER_PORT', '29500'))
    os.environ['MASTER_ADDR'] = hosts.split()[0]
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', os.environ['SLURM_PROCID'])


def stop() -> None:
    """Leave the process group, if there is one."""
    if _is_running():
        # Threads of gloo let go of their last tensors with the interpreter's lock. Up to torch 2.4 the next line holds
        # that lock while it waits for them: a deadlock at exit, unless they are done.
        time.sleep(0.1)
        dist.destroy_process_group()


def _is_running() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes: (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if _is_running() else (0, 1)


def from_first(value: T) -> T:
    """The value that rank 0 holds; tensors in it have to be on the CPU, for its GPU is not that of the others."""
    values: list[Any] = [value]
    if _is_running():
        dist.broadcast_object_list(values)
    return values[0]


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on every rank."""
    values: list[Any] = [value] * rank_and_world()[1]
    if _is_running():
        dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    if not _is_running():
        return flag
    total = torch.tensor(float(flag), device='cuda' if dist.get_backend() == 'nccl' else 'cpu')
    dist.all_reduce(total)
    return bool(total.item())


def add_up(values: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks, on every rank."""
    if _is_running():
        dist.all_reduce(values)
    return values


class _AddedUp(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, part: torch.Tensor) -> torch.Tensor:
        return add_up(part.clone())

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


def add_up_parts(part: torch.Tensor) -> torch.Tensor:
    """The sum over all ranks, of which each gives a part.

    Gradients pass to the part of this rank alone; `add_up_gradients` then makes those of the whole of them.
    """
    total: torch.Tensor = _AddedUp.apply(part)
    return total


def add_up_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace the gradients by their sums over all ranks; a rank without one counts as zero."""
    if not _is_running():
        return
    learnt = list(parameters)
    parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in learnt]
    sums = add_up(torch.cat([part.flatten() for part in parts]))
    for each, total in zip(learnt, sums.split([each.numel() for each in learnt]), strict=True):
        each.grad = total.view_as(each)


def barrier() -> None:
    """Wait for all ranks."""
    if _is_running():
        dist.barrier()
