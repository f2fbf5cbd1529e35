"""What a person sees of a search on stderr: a line a trial, and on a terminal how far it is and how long still."""

import math
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from l2rec.evaluation.leaderboard import number
from l2rec.run.searched import Budget, best_of, ended
from l2rec.run.study import Tried
from l2rec.training.course import NDCG


class SearchBar:
    """Lines and a bar on stderr; the bar on a terminal only."""

    def __init__(self, shown: bool, budget: Budget) -> None:
        """Makes a bar that stays empty until `update`; not `shown`, nothing is written."""
        self.shown, self.budget = shown, budget
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            disable=not (shown and self.console.is_terminal),
        )
        self.task = self.progress.add_task("", total=1.0, left="")

    def __enter__(self) -> "SearchBar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def update(self, tried: Sequence[Tried]) -> None:
        """Shows where the search is; the last trial is the one under way."""
        share, left = outlook(self.budget, tried)
        self.progress.update(self.task, completed=share, left=left, description=under_way(self.budget, tried))

    def ended(self, tried: Sequence[Tried]) -> None:
        """Writes a line on the trial that has just ended, the last one."""
        if self.shown:
            self.progress.console.print(line(tried))
        self.update(tried)


def under_way(budget: Budget, tried: Sequence[Tried]) -> str:
    """Returns e.g. `trial 3/20, validation 4: .0812, best .0901 (trial 2)`."""
    last, best = tried[-1], best_of(tried)
    place = f"{last.number}" if budget.trials is None else f"{last.number}/{budget.trials}"
    seen = f", validation {len(last.validations)}: {number(last.validations[-1])}" if last.validations else ""
    found = "no best yet" if best is None else f"best {number(max(best.validations))} (trial {best.number})"
    return f"trial {place}{seen}, {found}"


def outlook(budget: Budget, tried: Sequence[Tried]) -> tuple[float, str]:
    """Returns the share of the budget that is used up, and in words the minutes that are left.

    Trials to come are taken to last as long as those that have ended on the average; before the first, nothing is said.
    """
    over = ended(tried)
    seconds = [trial.seconds for trial in tried]
    shares, left = [0.0], math.inf
    if budget.trials is not None:
        shares.append(len(over) / budget.trials)
        if over:
            mean = sum(trial.seconds for trial in over) / len(over)
            left = mean * (budget.trials - len(over))
    if budget.seconds is not None:
        shares.append(sum(seconds) / budget.seconds)
        left = min(left, max(budget.seconds - sum(seconds), 0.0))
    return min(max(shares), 1.0), "" if left == math.inf else f"about {left / 60:.0f} min left"


def line(tried: Sequence[Tried]) -> str:
    """Returns what is said of the last trial when it has ended."""
    last, best = tried[-1], best_of(tried)
    value = "" if last.value is None else f", {NDCG} {number(last.value)}"
    first = ", the best so far" if best is not None and best.number == last.number else ""
    why = f": {last.why}" if last.why else ""
    settings = ", ".join(f"{name}={_setting(chosen)}" for name, chosen in last.settings.items())
    return f"trial {last.number}: {last.state}{value}{first}, {last.seconds:.1f} s, {settings}{why}"


def _setting(value: bool | int | float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
