"""`train_pipeline` where BasicSR has its own: `from basicsr_ext.train import train_pipeline`."""

from basicsr_ext.jobs.train import train_pipeline

__all__ = ['train_pipeline']
