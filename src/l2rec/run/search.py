"""From a space and a budget to chosen settings: every trial is an ordinary training, judged by its validations."""

import gc
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from l2rec.config import RunSettings, TuningSettings, flat, read_toml, validated
from l2rec.data.share import learnt_part
from l2rec.errors import DataError, DivergedError, InterruptedRunError, RunError, SettingError
from l2rec.models._checkpoint import WEIGHTS
from l2rec.run import facts, reuse
from l2rec.run.pipeline import Options, plan, train, with_source
from l2rec.run.record import Run, validation
from l2rec.run.search_bar import SearchBar
from l2rec.run.searched import FINGERPRINT, SOURCE, TOLD, Budget, Ground, best_of, write
from l2rec.run.space import SearchSettings, space_of
from l2rec.run.study import Study, Tried, Underway, refuse_without_optuna
from l2rec.run.vectors import Vectors
from l2rec.serving.folder import writing
from l2rec.serving.pins import file_hash
from l2rec.training.checkpoint import Checkpoints
from l2rec.training.course import NDCG
from l2rec.training.runlog import LOG
from l2rec.training.setup import FREE

TRIALS = "trials"
_LOCK = ".lock"


@dataclass(frozen=True)
class Order:
    """What to search, with what, and where.

    Attributes:
        config: The TOML file that the search begins from.
        folder: Gets `best.toml`, `search.json`, `study.db` and `trials/`.
        budget: How long.
        overrides: `name=value`, laid over the file.
        prune: Whether trials below the median of the others are ended early.
        options: Device; whether to go on with a search in the folder; whether to show progress on stderr; a run whose
            learnt weights every trial takes, where only the third signal is searched.
    """

    config: Path
    folder: Path
    budget: Budget
    overrides: tuple[str, ...] = ()
    prune: bool = True
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Searched:
    """What a search has come to.

    Attributes:
        trials: All of them, by number.
        best: The one with the best validation; the first of equals.
    """

    trials: tuple[Tried, ...]
    best: Tried


class _PrunedError(Exception):
    """The trial under way is not worth its end."""


def search(order: Order) -> Searched:
    """Tries settings until the budget is used up, writes what was found and returns it.

    Killed at any moment and called again with `options.resume`, it proposes and finds what an uninterrupted call does,
    as far as no clock decides. The test part is not read.

    Raises:
        L2RecError: the settings, the space, the data or the folder cannot be used as they are, the search was
            interrupted, or no trial could be trained.
        MissingExtraError: Optuna is not installed.
    """
    refuse_without_optuna()
    if order.budget == Budget():
        raise SettingError("--trials, --seconds: neither given. Pass one or both, the same for every model compared.")
    ground = ground_of(order)
    if (order.folder / TOLD).exists() and not order.options.resume:
        raise RunError(f"{order.folder}: holds a search already. Pass --resume to go on with it, or another --out.")
    with (
        _alone(order.folder),
        Study(order.folder, ground.space, ground.settings.seed, order.prune) as study,
        SearchBar(order.options.progress, order.budget) as bar,
    ):
        _keep(study, ground, order)
        while order.budget.left(study.trials()):
            write(order.folder, ground, order.budget, study.trials())
            _interruptible(study, ground, order, bar)
            gc.collect()  # hooks tie a model into a ring, which would outlive it by gigabytes
        trials = study.trials()
        write(order.folder, ground, order.budget, trials)
    best = best_of(trials)
    if best is None:
        why = next((trial.why for trial in trials if trial.why), "none was trained to its end.")
        raise RunError(f"{order.folder}: {len(trials)} trials and none to choose: {why}")
    return Searched(tuple(trials), best)


def ground_of(order: Order) -> Ground:
    """Returns what all trials share; everything that can be refused before the first is looked at.

    Raises:
        L2RecError: the settings, the space or the data cannot be used as they are.
    """
    values = read_toml(order.config, order.overrides)
    wanted = validated(SearchSettings, values.pop("search", {}), "search")
    own = validated(TuningSettings, values.pop("tuning", {}), "tuning")
    chosen, source = with_source(validated(RunSettings, values, ""), order.options)
    run = plan(chosen, order.options.device)
    if not len(run.prepared.cases("validation")):
        raise DataError(f"{run.settings.data}: 0 validation cases, a search chooses by them. Use another split.")
    space = space_of(run.settings.model["name"], wanted)
    if source is not None:
        reuse.refuse_searched(space)
        reuse.give(source, run.model, run.prepared)  # refuses other data, another backbone and weights that do not fit
    settings = flat(run.settings.model_dump(mode="json", exclude={"tuning"}))
    searched = {*space, *(f"training.{name}" for name in FREE)}
    fixed = {name: value for name, value in settings.items() if name not in searched}
    fixed |= {f'search.space."{name}"': kind.model_dump(mode="json") for name, kind in space.items()}
    fixed |= {FINGERPRINT: run.prepared.manifest.fingerprint, "pruning": order.prune}
    fixed |= {SOURCE: None if source is None else file_hash(source.path / WEIGHTS)}
    earlier = () if source is None else source.settings.tuning.spent
    spent = earlier + (() if own.spent == earlier else own.spent)
    return Ground(values, run.settings, space, fixed, spent, None if source is None else Vectors())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder against a second process; the lock goes with the process, however that ends."""
    with writing(folder):
        (folder / TRIALS).mkdir(parents=True, exist_ok=True)
    lock = sqlite3.connect(folder / _LOCK, timeout=0, isolation_level=None)
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise RunError(f"{folder}: another process searches in it. Wait for it, or pass another --out.") from None
        yield
    finally:
        lock.close()


def _keep(study: Study, ground: Ground, order: Order) -> None:
    """Keeps what may not change, or refuses that it has changed; a budget may grow."""
    now = json.loads(json.dumps(ground.facts))
    before = study.facts.get("facts", now)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise RunError(
                f"{order.folder}: {name} was {before.get(name)} and now is {now.get(name)}. "
                "Go on with the search as it began, or pass another --out."
            )
    asked = asdict(order.budget)
    for name, granted in study.facts.get("budget", asked).items():
        if (granted is None) != (asked[name] is None) or (granted is not None and asked[name] < granted):
            raise RunError(
                f"{order.folder}: --{name} was {granted} and now is {asked[name]}: a budget only grows. "
                "Pass as much or more, or another --out."
            )
    study.keep("facts", now)
    study.keep("budget", asked)


def _interruptible(study: Study, ground: Ground, order: Order, bar: SearchBar) -> None:
    """Takes the next trial to its end, or says how to go on."""
    try:
        trial = study.next(flat(ground.settings.model_dump(mode="json")))
        bar.update(study.trials())
        _try(trial, study, ground, order, bar)
        bar.ended(study.trials())
    except (InterruptedRunError, KeyboardInterrupt):
        raise InterruptedRunError(
            f"{order.folder}: interrupted; nothing that was found is lost. Go on with the same command and --resume."
        ) from None


def _try(trial: Underway, study: Study, ground: Ground, order: Order, bar: SearchBar) -> None:
    """Trains one trial, from its checkpoint where it has one, and ends it."""
    folder = order.folder / TRIALS / f"{trial.number:03d}"
    start = time.perf_counter() - max(trial.seconds, _checkpointed(folder))

    def note() -> None:
        trial.note(time.perf_counter() - start)

    def heard(metrics: dict[str, float]) -> None:
        note()
        hopeless = trial.report(len(_validations(folder)) + 1, metrics[NDCG])
        bar.update(study.trials())
        if hopeless:
            raise _PrunedError

    try:
        settings = _settings(ground, trial, order.budget.seconds_left(study.trials()))
        run = train(settings, folder, replace(order.options, resume=True, progress=False, heard=heard))
        value = _value(run, order.options, ground.vectors)
    except _PrunedError:
        end: Callable[[], None] = trial.prune
    except (DivergedError, SettingError, torch.OutOfMemoryError) as error:
        end = partial(trial.fail, str(error))
    else:
        end = partial(trial.complete, value)
    finally:
        note()
    end()
    shutil.rmtree(folder / "last", ignore_errors=True)


def _settings(ground: Ground, trial: Underway, left: float) -> RunSettings:
    """The trial's settings; it gets no more seconds than the budget has left."""
    settings = validated(RunSettings, ground.with_settings(trial.settings), "")
    seconds = min(left, settings.training.max_seconds or left)
    training = settings.training.model_copy(update={"max_seconds": None if seconds == float("inf") else seconds})
    return settings.model_copy(update={"training": training})


def _checkpointed(folder: Path) -> float:
    """The seconds that the trial's checkpoint knows of."""
    newest = Checkpoints(folder / "last").newest()
    return 0.0 if newest is None else float(json.loads((newest / "course.json").read_text())["course"]["seconds"])


def _validations(folder: Path) -> list[float]:
    """NDCG@10 of every validation in the trial's log."""
    if not (folder / LOG).is_file():
        return []
    lines = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    return [line["metrics"][NDCG] for line in lines if "metrics" in line]


def _value(run: Run, options: Options, vectors: Vectors | None) -> float:
    """The best validation of a trained run; one that was not trained for it is asked now."""
    if options.source is None and (seen := _validations(run.path)):
        return max(seen)
    prepared = run.folder.data()
    known = learnt_part(prepared, run.settings.training, run.settings.seed).items
    model = run.folder.model(known, facts.device_of(options.device))
    return validation(model, prepared.cases("validation"), run.settings.evaluation, vectors)[NDCG]
