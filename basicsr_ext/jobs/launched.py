"""What a launcher says of the processes that it started."""

import os


def processes_started() -> int:
    """How many processes torchrun, or a step of SLURM, has started of this program; 1 without a launcher."""
    name = 'WORLD_SIZE' if 'TORCHELASTIC_RUN_ID' in os.environ else 'SLURM_STEP_NUM_TASKS'
    said = os.environ.get(name, '')
    return int(said) if said.isdigit() else 1
