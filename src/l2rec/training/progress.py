"""The bar that a person watches: how far, how fast, how long still, and whether it gets better."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from l2rec.training.course import NDCG, Course


class Bar:
    """A progress bar on stderr, shown on a terminal only."""

    def __init__(self, shown: bool, epochs: int) -> None:
        """Makes a bar that stays empty until `update`; not `shown`, it writes nothing."""
        console = Console(stderr=True)
        self.epochs = epochs
        self.task: TaskID | None = None
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps, {task.fields[rate]:.0f} sequences/s, loss {task.fields[loss]:.4f}, {task.fields[best]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            disable=not (shown and console.is_terminal),
            speed_estimate_period=120,
        )

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def update(self, course: Course, steps: int, loss: float) -> None:
        """Shows where the training is.

        Args:
            course: How far it has come.
            steps: Steps of the epoch that is under way.
            loss: Loss of the last step.
        """
        if self.progress.disable:
            return
        done = course.epoch * steps + course.place
        rate = course.sums["sequences"] / max(course.sums["seconds"], 1e-9)
        best = f"best {NDCG} {course.best[NDCG]:.4f} (epoch {course.best_epoch})" if course.best else f"no {NDCG} yet"
        epoch = f"{course.epoch + 1}/{self.epochs}"
        if self.task is None:
            self.task = self.progress.add_task("", completed=done - 1, epoch=epoch, rate=rate, loss=loss, best=best)
        total = steps * self.epochs
        self.progress.update(self.task, total=total, completed=done, epoch=epoch, rate=rate, loss=loss, best=best)
