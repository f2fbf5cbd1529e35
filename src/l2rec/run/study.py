"""The trials of one search, kept by Optuna in `study.db`: what comes next, what was seen, what each came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats.qmc import Halton

from l2rec.errors import MissingExtraError
from l2rec.models import Choices, Range, Space

if TYPE_CHECKING:
    import optuna

DATABASE = "study.db"
SPREAD_TRIALS = 6
"""First trials, which take the file's own values or are spread over the space; the sampler needs some to learn from."""
_PLACE, _SECONDS, _WHY = "place", "seconds", "why"
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Tried:
    """One trial, as it stands.

    Attributes:
        number: From 1, in the order of the proposals.
        state: `complete`; `pruned`: ended early; `failed`: no training with these settings; `running`.
        settings: What was proposed, by setting.
        validations: NDCG@10 of every validation so far; of a model that counts, the one.
        seconds: What it took, all resumptions together.
        why: Why it failed.
    """

    number: int
    state: str
    settings: dict[str, bool | int | float | str]
    validations: tuple[float, ...]
    seconds: float
    why: str | None

    @property
    def value(self) -> float | None:
        """The best validation; None before the first."""
        return max(self.validations, default=None)


class Underway:
    """The trial that is under way: a thin hand on Optuna's."""

    def __init__(self, study: "optuna.Study", trial: "optuna.Trial") -> None:
        """Takes a trial whose settings are proposed."""
        self._study, self._trial = study, trial
        told = trial.user_attrs
        self.number: int = told[_PLACE]
        self.settings: dict[str, bool | int | float | str] = trial.params
        self.seconds: float = told.get(_SECONDS, 0.0)

    def note(self, seconds: float) -> None:
        """Keeps what it has taken so far."""
        self.seconds = seconds
        self._trial.set_user_attr(_SECONDS, round(seconds, 2))

    def report(self, validation: int, value: float) -> bool:
        """Keeps what a validation, counted from 1, came to; returns whether the trial is to be ended.

        A validation that is done again after a kill is kept as it was.
        """
        if validation not in self._study.trials[self._trial.number].intermediate_values:
            self._trial.report(value, validation)
        return bool(self._trial.should_prune())

    def complete(self, value: float) -> None:
        """Ends it with its best validation."""
        self._study.tell(self._trial, value)

    def prune(self) -> None:
        """Ends it early."""
        self._end("PRUNED")

    def fail(self, why: str) -> None:
        """Ends it as one that cannot be trained."""
        self._trial.set_user_attr(_WHY, why)
        self._end("FAIL")

    def _end(self, state: str) -> None:
        import optuna

        self._study.tell(self._trial, state=optuna.trial.TrialState[state])


class Study:
    """The trials in a folder; the folder exists and nobody else has it open.

    The sampler (TPE) is made anew for each proposal, from the seed and the number of the trial: it keeps nothing in
    memory, and so a search that was killed proposes what it would have proposed.
    """

    def __init__(self, folder: Path, space: Space, seed: int, prune: bool) -> None:
        """Opens the study, or begins it.

        Args:
            folder: Gets `study.db`.
            space: What is tried.
            seed: Of the proposals.
            prune: Whether trials below the median of the others are ended early.

        Raises:
            MissingExtraError: Optuna is not installed.
        """
        refuse_without_optuna()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._seed, self._space = seed, space
        self._distributions = {name: _distribution(kind) for name, kind in space.items()}
        median = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2, n_min_trials=3)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / DATABASE).resolve().as_posix()}")
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="search",
            direction="maximize",
            pruner=median if prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )

    def __enter__(self) -> "Study":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    @property
    def facts(self) -> dict[str, Any]:
        """What was kept of the search itself."""
        return self._study.user_attrs

    def keep(self, name: str, value: Any) -> None:
        """Keeps a plain value in `facts`."""
        self._study.set_user_attr(name, value)

    def trials(self) -> list[Tried]:
        """Returns all trials by number, the one under way included."""
        found = [t for t in self._study.get_trials(deepcopy=False) if _PLACE in t.user_attrs]
        return [
            Tried(
                number=trial.user_attrs[_PLACE],
                state=_STATES[trial.state.name],
                settings={name: trial.params[name] for name in sorted(trial.params)},
                validations=_validations(trial),
                seconds=trial.user_attrs.get(_SECONDS, 0.0),
                why=trial.user_attrs.get(_WHY),
            )
            for trial in found
        ]

    def next(self, own: Mapping[str, Any] | None = None) -> Underway:
        """Returns the trial that a dead process left, or a new one.

        A proposal that a dead process did not finish is thrown away and made again; it is no trial.

        Args:
            own: What the first trial takes, by setting; one that is missing or lies outside the space is proposed.
        """
        import optuna

        for left in self._study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            if _PLACE in left.user_attrs:
                return Underway(self._study, optuna.trial.Trial(self._study, left._trial_id))
            self._study.tell(left.number, state=optuna.trial.TrialState.FAIL)
        number = len(self.trials()) + 1
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(n_startup_trials=SPREAD_TRIALS, seed=seed)
        if number <= SPREAD_TRIALS and not self._study.get_trials(states=(optuna.trial.TrialState.WAITING,)):
            self._study.enqueue_trial(spread(self._space, self._seed, number) | self._fitting(own, number))
        trial = self._study.ask(self._distributions)
        trial.set_user_attr(_PLACE, number)
        return Underway(self._study, trial)

    def _fitting(self, own: Mapping[str, Any] | None, number: int) -> dict[str, Any]:
        """The values that the first trial takes."""
        given = own if own and number == 1 else {}
        return {name: given[name] for name, kind in self._space.items() if name in given and _has(kind, given[name])}


def spread(space: Space, seed: int, number: int) -> dict[str, bool | int | float | str]:
    """Returns a first trial: a point of a scrambled Halton sequence, which leaves no part of a range out.

    Independent draws may all fall together: of five, in a range of four octaves, they once did within half of one.

    Args:
        space: What is tried.
        seed: Of the sequence.
        number: Of the trial, from 1.
    """
    points = Halton(len(space), scramble=True, rng=seed).random(number)[-1]
    return {name: _at(kind, float(point)) for (name, kind), point in zip(sorted(space.items()), points, strict=True)}


def _at(kind: Choices | Range, point: float) -> bool | int | float | str:
    """The value at a point of [0, 1)."""
    if isinstance(kind, Choices):
        return kind.choices[int(point * len(kind.choices))]
    step = kind.step or (1 if kind.is_whole else None)
    if kind.log:
        value: float = kind.low * (kind.high / kind.low) ** point
        return round(value) if kind.is_whole else value
    if step is None:
        return kind.low + (kind.high - kind.low) * point
    places = int((kind.high - kind.low) / step + 1e-9) + 1
    return kind.low + step * int(point * places)


def refuse_without_optuna() -> None:
    """Returns if Optuna is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec("optuna") is None:
        raise MissingExtraError("optuna", "search")


def _validations(trial: "optuna.trial.FrozenTrial") -> tuple[float, ...]:
    seen = tuple(value for _, value in sorted(trial.intermediate_values.items()))
    return seen if seen or trial.value is None else (trial.value,)


def _has(kind: Choices | Range, value: Any) -> bool:
    """Whether a setting's value is one of those that are tried."""
    if isinstance(kind, Choices):
        return value in kind.choices
    if not isinstance(value, int | float):
        return False
    steps = 0.0 if kind.step is None else (value - kind.low) / kind.step
    return bool(kind.low <= value <= kind.high and abs(steps - round(steps)) < 1e-9)


def _distribution(kind: Choices | Range) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(kind, Choices):
        return CategoricalDistribution(kind.choices)
    if kind.is_whole:
        return IntDistribution(int(kind.low), int(kind.high), log=kind.log, step=int(kind.step or 1))
    return FloatDistribution(kind.low, kind.high, log=kind.log, step=kind.step)
