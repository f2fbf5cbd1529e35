"""The training loop, on one page: batches go in, the best weights come out, and a killed run goes on exactly."""

import math
import time
from pathlib import Path

import torch

from l2rec.config import TrainingSettings
from l2rec.errors import DivergedError, InterruptedRunError, RunError
from l2rec.models import _checkpoint
from l2rec.models._base import Learner
from l2rec.training import runlog
from l2rec.training.course import NDCG, Course
from l2rec.training.interrupt import Interrupt
from l2rec.training.occasion import Fitted, Occasion
from l2rec.training.optim import learning_rate
from l2rec.training.progress import Bar
from l2rec.training.seeds import sow
from l2rec.training.setup import Setup, batches_of, set_up
from l2rec.training.step import Taken
from l2rec.types import Histories

__all__ = ["Fitted", "Occasion", "fit"]


def fit(model: Learner, train: Histories, settings: TrainingSettings, occasion: Occasion) -> Fitted:
    """Trains the model, leaves its best weights in it and in `weights.safetensors`, and returns how it went.

    Killed at any moment and called again with `resume`, it ends with the weights and the log of an uninterrupted call.
    Ctrl-C or SIGTERM ends the step, writes a checkpoint and raises.

    Args:
        model: A learner with its first weights.
        train: The training part; sequences of fewer than two events give nothing.
        settings: How to learn.
        occasion: Folder, seed, validation, device.

    Raises:
        RunError: see `set_up`; or a loss or gradient is not finite, the validation gives no finite NDCG@10, or the
            training was interrupted.
        SettingError: a tracker is unknown.
        MissingExtraError: a tracker's package is not installed.
    """
    setup = set_up(model, train, settings, occasion)
    processes, course, optimizer = setup.processes, setup.course, setup.optimizer
    setup.tidy(model, occasion.folder)
    start = time.perf_counter() - course.seconds
    with (
        Interrupt() as interrupt,
        runlog.RunLog(processes, occasion.folder, settings, course) as log,
        Bar(occasion.progress and processes.is_first, settings.epochs) as bar,
    ):
        while course.stopped is None:
            batches = batches_of(model, train, settings, setup, occasion.seed)
            steps = math.ceil(len(batches) / settings.accumulate)
            setup.begin(model, occasion.seed)
            while course.place < steps:
                begun = time.perf_counter()
                sow(occasion.seed, course.step, processes.rank, processes.device)
                rate = learning_rate(settings, course.share(steps, settings.epochs, model.preparation))
                first = course.place * settings.accumulate
                window = batches[first : first + settings.accumulate]
                taken = setup.step(window, interrupt.asked)
                _refuse_what_is_not_finite(taken, setup, first, settings)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                course.step, course.place = course.step + 1, course.place + 1
                now = time.perf_counter()
                course.seconds, course.training_seconds = now - start, course.training_seconds + now - begun
                runlog.count(course, taken, window, model.token_counts, now - begun)
                bar.update(course, steps, taken.loss)
                if course.step % runlog.EVERY == 0 or course.place == steps:
                    log.write(runlog.step_line(course, rate, model.readings))
                    model.readings.clear()
                if taken.asked or (interrupt.asked and processes.size == 1):
                    setup.save(model)
                    raise InterruptedRunError(_interrupted(course, setup.checkpoints.folder))
                if course.step % settings.checkpoint_every == 0 and course.place < steps:
                    setup.save(model)
            late = processes.from_first(course.late(settings))
            if course.validates(settings, model.preparation, late):
                metrics = processes.from_first(_validated(model, occasion) if processes.is_first else {})
                course.seconds = time.perf_counter() - start
                best = course.judge(metrics)
                log.write(runlog.validation_line(course, metrics, best))
            course.end_epoch(settings, late)
            setup.save(model)
            setup.save_best(model, occasion.folder)
    processes.wait()
    _checkpoint.load(model, occasion.folder)
    return _fitted(course)


def _validated(model: Learner, occasion: Occasion) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        metrics = occasion.validate(model)
    if not math.isfinite(metrics.get(NDCG, math.nan)):
        raise RunError(
            f"validation: {NDCG} is {metrics.get(NDCG)}, a finite number is needed to choose the best weights. "
            "Add 10 to evaluation.cutoffs, and see that there are validation cases."
        )
    return metrics


def _refuse_what_is_not_finite(taken: Taken, setup: Setup, batch: int, settings: TrainingSettings) -> None:
    course = setup.course
    if not taken.is_finite:
        raise DivergedError(
            f"step {course.step + 1} (epoch {course.epoch + 1}, batch {batch}): loss {taken.loss}, gradient norm "
            f"{taken.grad_norm}: expected finite numbers. The last checkpoint is untouched. Lower "
            f"training.learning_rate ({settings.learning_rate:g}) or raise training.warmup_share "
            f"({settings.warmup_share:g}) and start anew"
            + ("." if setup.step.precision == "fp32" else ', or try training.precision="fp32".')
        )


def _interrupted(course: Course, place: Path) -> str:
    return (
        f"{place}: interrupted at step {course.step} (epoch {course.epoch + 1}); a checkpoint is written. "
        "Go on from it with the same command and --resume."
    )


def _fitted(course: Course) -> Fitted:
    each = course.training_seconds / max(course.epoch, 1)
    return Fitted(course.best, course.best_epoch, course.step, course.seconds, each, course.stopped or "epochs")
