"""The training loop."""

import datetime
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from basicsr.utils import AvgTimer, MessageLogger, get_root_logger
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from basicsr_ext.data.distinct_items import distinct_items, plan
from basicsr_ext.data.wrapper_base import is_dynamic
from basicsr_ext.errors import DivergenceError, first_few
from basicsr_ext.options.blocks import read_block
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.schedule.warmup import Warmup
from basicsr_ext.training.best import BestOptions, best_score, is_better, save_networks
from basicsr_ext.training.carried import carrying
from basicsr_ext.training.learning_rate import averaged_weights, use_training_weights
from basicsr_ext.training.loader import build_train_loader
from basicsr_ext.training.losses import generator_losses, has_perceptual, switch_perceptual
from basicsr_ext.training.pictures import draw_shuffled_patch, draw_training_curve
from basicsr_ext.training.state import remove_older
from basicsr_ext.training.training_log import TrainingLog
from basicsr_ext.training.validation import Scores, validate_with, write_metrics

Options = dict[str, Any]


class TrainingRun:
    """The loop: exactly `total_iter` iterations, each on the batch that the schedule gives it.

    Args:
        opt: completed options.
        model: that is trained.
        train_set, val_sets: the datasets.
        warmup: a pixel-shuffled one.
        tb_logger: TensorBoard writer or None.
        start: iterations already done.
        report: writes the page of the training, when the curve is drawn anew and at the end; called by one process.
    """

    def __init__(
        self,
        opt: Options,
        model: Any,
        train_set: Any,
        val_sets: list[Any],
        warmup: Warmup,
        tb_logger: Any,
        start: int,
        report: Callable[[], object],
    ) -> None:
        self.opt, self.model, self.val_sets, self.tb_logger, self.start = opt, model, val_sets, tb_logger, start
        self.warmup, self.train_set = warmup, train_set
        self.loader = build_train_loader(train_set, opt, start, warmup)
        self.sampler: Any = self.loader.sampler
        self.is_dynamic = is_dynamic(train_set)
        self.total_iter = int(opt['train']['total_iter'])
        self._val_freq = (opt.get('val') or {}).get('val_freq', self.total_iter)
        self._chosen = read_block(BestOptions, (opt.get('val') or {}).get('best') or {}, 'val.best')
        self.folder = Path(opt['path']['experiments_root'])
        self.logger = get_root_logger()
        self.report = report
        self.message_logger = MessageLogger(opt, start, tb_logger)
        notes = carrying(model)
        self.log = (
            TrainingLog(self.folder / 'training_log.jsonl', start, notes.validation_due) if opt['rank'] == 0 else None
        )
        warmup.restore(notes.warmup_state)
        notes.in_warmup = False

    def go(self) -> None:
        """Train until the last iteration or until a stop is requested; the state is saved in both cases."""
        self._announce()
        use_training_weights(self.model.optimizers)
        self._draw_curve()  # a killed run may have left an old one
        self._follow_warmup(self.start)
        began = time.time()
        if self.model.validation_due:
            with averaged_weights(self.model.optimizers):
                self._validate(self.start, is_saved=True)
            if self.model.validation_due:  # interrupted again: the state on disk still says so
                return
        current_iter = self.start
        data_timer, iter_timer = AvgTimer(), AvgTimer()
        for batch in self._with_progress():
            data_timer.record()
            current_iter += 1
            self._follow_warmup(current_iter)
            self.model.update_learning_rate(current_iter, warmup_iter=int(self.opt['train'].get('warmup_iter', -1)))
            self.model.feed_data(batch)
            self.model.optimize_parameters(current_iter)
            iter_timer.record()
            self._observe_warmup(current_iter)
            if current_iter == self.start + 1:
                self.message_logger.reset_start_time()
            if current_iter % int(self.opt['logger']['print_freq']) == 0:
                self._print(current_iter, iter_timer.get_avg_time(), data_timer.get_avg_time())
            self.model.validation_due = bool(self.val_sets) and self._is_due(current_iter, self._val_freq)
            is_saved = self._is_due(current_iter, self.opt['logger']['save_checkpoint_freq'])
            if is_saved:  # before a validation, which may fail
                self._save(current_iter)
            if self.model.validation_due:
                with averaged_weights(self.model.optimizers):
                    self._validate(current_iter, is_saved)
            stop = distributed.any_rank(interrupt.requested())
            if stop and not is_saved:
                self._save(current_iter)
            if stop:
                self.logger.warning(f'Stopped by a signal after iter {current_iter}; continue with --auto_resume.')
                break
            data_timer.start()
            iter_timer.start()
        else:
            duration = datetime.timedelta(seconds=int(time.time() - began))
            self.logger.info(f'End of training. Time consumed: {duration}\nSave the latest model.')
            self._log_distinct(current_iter)
            with averaged_weights(self.model.optimizers):
                self.model.save(-1, -1)
        if self.log is not None:
            self.log.close()
            self.report()

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
        for sentence in plan(self.train_set, self.sampler):
            self.logger.info(sentence)
        if self.opt['datasets']['train'].get('prefetch_mode'):
            self.logger.info('datasets.train.prefetch_mode is not used: the workers of this loop always work ahead.')
        for number, (first, last) in enumerate(self.warmup.intervals()):
            until = f'{last}' if number or self.warmup.is_decided else f'at most {last}, when the loss stops falling'
            self.logger.info(f'Pixel-shuffled warm-up: iterations {first} to {until}.')
        if self.warmup.is_decided and self.warmup.end >= self.total_iter:
            self.logger.warning(f'The warm-up takes all {self.total_iter} iterations; nothing is trained afterwards.')
        if self.warmup.covers(self.start + 1) and self.log is not None:
            self._draw_patch()

    def _draw_patch(self) -> None:
        """The first sample, as it is and as the warm-up changes it."""
        first = next(iter(self.sampler))
        moment = first.seed, first.iteration, first.position
        plain = ScheduledIndex(int(first), *moment, warmup=False, epoch=first.epoch, epochs=first.epochs)
        draw_shuffled_patch(self.loader.dataset[plain], self.loader.dataset[first], self.folder / 'warmup_patch.png')

    def _follow_warmup(self, current_iter: int) -> None:
        """Tell the model whether the iteration belongs to a warm-up."""
        active = self.warmup.covers(current_iter)
        if active == self.model.in_warmup:
            return
        self.model.in_warmup = active
        if has_perceptual(self.model):
            switch_perceptual(self.model, on=not active)
            self.logger.info(f'Perceptual losses are {"off" if active else "on"} from iteration {current_iter} on.')
        if not active:
            self.logger.info(f'The pixel-shuffled warm-up is over; iteration {current_iter} is an ordinary one.')

    def _observe_warmup(self, current_iter: int) -> None:
        """Let the loss decide about the end of the warm-up, if that is asked for."""
        if self.warmup.is_decided or current_iter > self.warmup.end:
            return
        losses = generator_losses(self.model.get_current_log())
        if not losses:  # of a generator that does not learn yet
            return
        self.warmup.observe(current_iter, sum(losses))
        self.model.warmup_state = self.warmup.state()
        if self.warmup.is_decided:
            self.logger.info(f'The loss has stopped falling: the warm-up ends with iteration {self.warmup.end}.')

    def _print(self, current_iter: int, iter_time: float, data_time: float) -> None:
        losses, rates = self.model.get_current_log(), self.model.get_current_learning_rate()
        epoch = self.sampler.epoch_of(current_iter)
        norm = {'grad_norm': float(self.model.grad_norm)} if hasattr(self.model, 'grad_norm') else {}
        if self.log is not None:
            more: dict[str, Any] = {'warmup': True} if self.model.in_warmup else {}
            if self.is_dynamic:
                more['distinct_items'] = distinct_items(self.train_set, self.sampler, current_iter)
            self.log.write(current_iter, epoch=epoch, lrs=rates, **losses, **norm, **more)
        times = {'time': iter_time, 'data_time': data_time}
        self.message_logger({'epoch': epoch, 'iter': current_iter, 'lrs': rates, **times, **losses, **norm})
        if self.tb_logger is not None:
            self.tb_logger.add_scalar('learning_rate', rates[0], current_iter)

    def _save(self, current_iter: int) -> None:
        self.logger.info('Saving models and training states.')
        self._log_distinct(current_iter)
        self._refuse_broken_weights(current_iter)
        with averaged_weights(self.model.optimizers):
            self.model.save(self.sampler.epoch_of(current_iter), current_iter)
        if self.log is not None and self.opt['logger'].get('keep_last'):
            remove_older(self.folder, self.opt['logger']['keep_last'])
        self._draw_curve()

    def _refuse_broken_weights(self, current_iter: int) -> None:
        broken = [name for name, value in self.model.net_g.named_parameters() if not value.isfinite().all()]
        if broken:
            raise DivergenceError(
                f'iteration {current_iter}',
                'finite weights',
                f'NaN or infinite ones in {first_few(broken)}',
                'Lower the rate; the last saved state is intact.',
            )

    def _draw_curve(self) -> None:
        if self.log is not None:
            draw_training_curve(self.log.path, self.warmup.intervals(), self.folder / 'training_curve.png')
            self.report()

    def _log_distinct(self, current_iter: int) -> None:
        if self.is_dynamic and self.log is not None:
            number = distinct_items(self.train_set, self.sampler, current_iter)
            self.logger.info(f'Distinct images used in the first {current_iter} iterations: {number}.')

    def _is_due(self, current_iter: int, frequency: float) -> bool:
        return current_iter % int(frequency) == 0 or current_iter == self.total_iter

    def _validate(self, current_iter: int, is_saved: bool) -> None:
        """Validate, and keep what it says in the state of this iteration, if there is one.

        Args:
            current_iter: iteration.
            is_saved: whether the state is saved. It says that this validation is due; otherwise it is saved if the
                validation fails, by a single process, as several would wait for each other.
        """
        try:
            results = {
                dataset.opt['name']: validate_with(self.model, dataset, self.opt, current_iter, self.tb_logger)
                for dataset in self.val_sets
            }
        except interrupt.Interrupted:
            self.logger.warning(f'Validation of iter {current_iter} was interrupted; the resumed run begins with it.')
            return
        except Exception:
            if not is_saved and not self.opt['dist']:
                self._save(current_iter)
            raise
        self.model.validation_due = False
        self._keep_best(current_iter, results)
        if self.log is not None and any(scores.means for scores in results.values()):
            write_metrics(self.folder / 'metrics.json', results, self.model.best_score)
            self.log.write(current_iter, validation={name: scores.means for name, scores in results.items()})
        if is_saved:
            self.model.save_training_state(self.sampler.epoch_of(current_iter), current_iter)
            self._draw_curve()

    def _keep_best(self, current_iter: int, results: dict[str, Scores]) -> None:
        if self.model.in_warmup:  # its scores say little about the network afterwards
            return
        best = best_score(self.model.opt['val'].get('metrics') or {}, results, current_iter, self._chosen)
        if best is not None and is_better(best, self.model.best_score):
            self.model.best_score = best
            save_networks(self.model, 'best')
            self.logger.info(f'Best {best["metric"]} on {best["dataset"]}: {best["value"]:.4f}; saved net_g_best.pth.')
