"""What a search has come to: the budget that was granted and spent, `search.json` with every trial, and `best.toml`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from l2rec.config import RunSettings, TuningSettings, overridden, to_toml
from l2rec.models import Choices, Range
from l2rec.run.space import values_of
from l2rec.run.study import Tried
from l2rec.run.vectors import Vectors
from l2rec.serving.folder import write_text, writing
from l2rec.training.course import NDCG

BEST, TOLD = "best.toml", "search.json"
FINGERPRINT = "the data's fingerprint"
SOURCE = "--from, by its weights' hash,"


@dataclass(frozen=True)
class Budget:
    """What a search may use, over all its resumptions; the first that is used up ends it.

    Attributes:
        trials: Trials, pruned and failed ones included.
        seconds: Seconds of trials; the one under way ends with the epoch in which they are up.
    """

    trials: int | None = None
    seconds: float | None = None

    def left(self, tried: Sequence[Tried]) -> bool:
        """Returns whether another trial may begin, or the one under way go on."""
        return (self.trials is None or len(ended(tried)) < self.trials) and self.seconds_left(tried) > 0

    def seconds_left(self, tried: Sequence[Tried]) -> float:
        """Returns the seconds that the trials which have ended leave; infinity where there is no bound."""
        return float("inf") if self.seconds is None else self.seconds - _seconds(ended(tried))


def ended(tried: Sequence[Tried]) -> list[Tried]:
    """Returns the trials that are over."""
    return [trial for trial in tried if trial.state != "running"]


def spent(tried: Sequence[Tried]) -> Budget:
    """Returns what the trials that are over have used."""
    over = ended(tried)
    return Budget(len(over), round(_seconds(over), 2))


def _seconds(tried: Sequence[Tried]) -> float:
    return sum((trial.seconds for trial in tried), 0.0)


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """Returns the trial with the best validation among those that were trained to their end; the first of equals."""
    whole = [(trial.value, -trial.number, trial) for trial in tried if trial.state == "complete" and trial.validations]
    return max(whole, key=lambda each: each[:2])[2] if whole else None


@dataclass(frozen=True)
class Ground:
    """What all trials share.

    Attributes:
        values: The TOML file's, without `[search]` and `[tuning]`.
        settings: What they are as settings, defaults filled in.
        space: What is tried.
        facts: What may not change while the search lasts, by name.
        before: What the file's own values had cost, and the settings of weights that are taken; see `TuningSettings`.
        vectors: Those of the weights that are taken, made in the first trial of a process; None where trials train.
    """

    values: dict[str, Any]
    settings: RunSettings
    space: dict[str, Choices | Range]
    facts: dict[str, Any]
    before: tuple[str, ...] = ()
    vectors: Vectors | None = None

    def with_settings(self, chosen: dict[str, bool | int | float | str]) -> dict[str, Any]:
        """Returns the values with those of a trial laid over them."""
        return overridden(self.values, [f"{name} = {json.dumps(value)}" for name, value in chosen.items()])


def write(folder: Path, ground: Ground, budget: Budget, tried: Sequence[Tried]) -> None:
    """Writes `search.json` and, as soon as a trial was trained to its end, `best.toml`; each at once or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    best = best_of(tried)
    told = {
        "model": ground.settings.model["name"],
        "data": ground.settings.data,
        "fingerprint": ground.facts[FINGERPRINT],
        "part": "validation",
        "metric": NDCG,
        "seed": ground.settings.seed,
        "source": ground.facts[SOURCE],
        "space": {name: kind.model_dump(mode="json", exclude_none=True) for name, kind in ground.space.items()},
        "budget": asdict(budget),
        "spent": asdict(spent(tried)),
        "finished": not budget.left(tried),
        "best": None if best is None else best.number,
        "trials": [asdict(trial) | {"value": trial.value} for trial in tried],
    }
    with writing(folder):
        write_text(folder / TOLD, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        if best is not None:
            write_text(folder / BEST, _best_toml(ground, budget, tried, best))


def _best_toml(ground: Ground, budget: Budget, tried: Sequence[Tried], best: Tried) -> str:
    """The file of the search with the chosen settings.

    The budget told is the one granted, which is what rows are compared by; while it is not used up, the one spent.
    """
    used = spent(tried)
    told = used if budget.left(tried) else budget
    space = {name: values_of(kind) for name, kind in ground.space.items()}
    tuning = TuningSettings(
        trials=told.trials, seconds=told.seconds, method="search", before=ground.before or None, space=space
    )
    states = [trial.state for trial in ended(tried)]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    head = (
        f"# l2rec search: validation NDCG@10 {best.value:.4f} in trial {best.number} of {used.trials} "
        f"({counts}), {used.seconds:.0f} s.\n"
    )
    if ground.settings.training.held_back:
        head += "# Chosen with training.held_back; take that line out for the run that is kept.\n"
    values = ground.with_settings(best.settings) | {"tuning": tuning.model_dump(mode="json")}
    return head + to_toml(values)
