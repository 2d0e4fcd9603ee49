"""The training loop."""

import datetime
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from basicsr.utils import AvgTimer, MessageLogger, get_root_logger
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from basicsr_ext.training import distributed, interrupt
from basicsr_ext.training.best import best_score, is_better, save_networks
from basicsr_ext.training.loader import build_train_loader
from basicsr_ext.training.log import TrainingLog
from basicsr_ext.training.validation import Results, means, validate_with, write_metrics

Options = dict[str, Any]


class TrainingRun:
    """The loop: exactly `total_iter` iterations, each on the batch that the schedule gives it."""

    def __init__(
        self, opt: Options, model: Any, train_set: Any, val_sets: list[Any], tb_logger: Any, start: int
    ) -> None:
        self.opt, self.model, self.val_sets, self.tb_logger, self.start = opt, model, val_sets, tb_logger, start
        self.loader = build_train_loader(train_set, opt, start)
        self.sampler: Any = self.loader.sampler
        self.total_iter = int(opt['train']['total_iter'])
        self.folder = Path(opt['path']['experiments_root'])
        self.logger = get_root_logger()
        self.message_logger = MessageLogger(opt, start, tb_logger)
        self.log = TrainingLog(self.folder / 'training_log.jsonl', start) if opt['rank'] == 0 else None

    def go(self) -> None:
        """Train until the last iteration or until a stop is requested; the state is saved in both cases."""
        self._announce()
        began = time.time()
        if getattr(self.model, 'validation_due', False):
            self._validate(self.start)
            if self.model.validation_due:  # interrupted again: the state on disk still says so
                return
        current_iter = self.start
        data_timer, iter_timer = AvgTimer(), AvgTimer()
        for batch in self._with_progress():
            data_timer.record()
            current_iter += 1
            self.model.update_learning_rate(current_iter, warmup_iter=int(self.opt['train'].get('warmup_iter', -1)))
            self.model.feed_data(batch)
            self.model.optimize_parameters(current_iter)
            iter_timer.record()
            if current_iter == self.start + 1:
                self.message_logger.reset_start_time()
            if current_iter % int(self.opt['logger']['print_freq']) == 0:
                self._print(current_iter, iter_timer.get_avg_time(), data_timer.get_avg_time())
            if self.val_sets and self._is_due(current_iter, self.opt['val']['val_freq']):
                self._validate(current_iter)
            stop = distributed.any_rank(interrupt.requested())
            if stop or self._is_due(current_iter, self.opt['logger']['save_checkpoint_freq']):
                self._save(current_iter)
            if stop:
                self.logger.warning(f'Stopped by a signal after iter {current_iter}; continue with --auto_resume.')
                break
            data_timer.start()
            iter_timer.start()
        else:
            duration = datetime.timedelta(seconds=int(time.time() - began))
            self.logger.info(f'End of training. Time consumed: {duration}\nSave the latest model.')
            self.model.save(-1, -1)
        if self.log is not None:
            self.log.close()

    def _with_progress(self) -> Iterator[Any]:
        """The batches, with a bar on a terminal that the lines of the log do not break."""
        hidden = self.opt['rank'] != 0 or not sys.stderr.isatty()
        with logging_redirect_tqdm([self.logger]) if not hidden else nullcontext():
            yield from tqdm(self.loader, 'Training', self.total_iter, initial=self.start, unit='iter', disable=hidden)

    def _announce(self) -> None:
        samples = self.sampler.batch_size * self.sampler.world_size
        self.logger.info(
            f'Training statistics:\n\tNumber of train images: {self.sampler.size}'
            f'\n\tSamples per iteration: {samples}'
            f'\n\tIterations per epoch: {self.sampler.epoch_size / samples:.2f}'
            f'\n\tIterations: {self.start} done of {self.total_iter}.'
        )
        if self.opt['datasets']['train'].get('prefetch_mode'):
            self.logger.info('datasets.train.prefetch_mode is not used: the workers of this loop always work ahead.')

    def _print(self, current_iter: int, iter_time: float, data_time: float) -> None:
        losses, rates = self.model.get_current_log(), self.model.get_current_learning_rate()
        epoch = self.sampler.epoch_of(current_iter)
        if self.log is not None:
            self.log.write(current_iter, epoch=epoch, lrs=rates, **losses)
        times = {'time': iter_time, 'data_time': data_time}
        self.message_logger({'epoch': epoch, 'iter': current_iter, 'lrs': rates, **times, **losses})

    def _save(self, current_iter: int) -> None:
        self.logger.info('Saving models and training states.')
        self.model.save(self.sampler.epoch_of(current_iter), current_iter)

    def _is_due(self, current_iter: int, frequency: float) -> bool:
        return current_iter % int(frequency) == 0 or current_iter == self.total_iter

    def _validate(self, current_iter: int) -> None:
        self.model.validation_due = True
        try:
            results = {
                dataset.opt['name']: validate_with(self.model, dataset, self.opt, current_iter, self.tb_logger)
                for dataset in self.val_sets
            }
        except interrupt.Interrupted:
            self.logger.warning(f'Validation of iter {current_iter} was interrupted; the resumed run begins with it.')
            return
        self.model.validation_due = False
        if self.log is not None and any(results.values()):
            write_metrics(self.folder / 'metrics.json', results)
            self.log.write(current_iter, validation={name: means(images) for name, images in results.items()})
        self._keep_best(current_iter, results)

    def _keep_best(self, current_iter: int, results: dict[str, Results]) -> None:
        best = best_score(self.opt['val'].get('metrics') or {}, results, current_iter)
        if best is not None and is_better(best, getattr(self.model, 'best_score', None)):
            self.model.best_score = best
            save_networks(self.model, 'best')
            self.logger.info(f'Best {best["metric"]} on {best["dataset"]}: {best["value"]:.4f}; saved net_g_best.pth.')
