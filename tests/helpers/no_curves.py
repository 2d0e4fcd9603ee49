"""Imported by the server that forks processes: trainings in them draw no curves, most of the time of a small one."""

from basicsr_ext.training.loop import TrainingRun

TrainingRun._draw_curve = lambda self: None  # type: ignore[method-assign]
