"""From settings to a trained run folder, on one page."""

import difflib
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from l2rec.config import RunSettings, TrainingSettings, TuningSettings, flat, read_toml, validated
from l2rec.data.prepared import Prepared
from l2rec.data.share import learnt_part
from l2rec.errors import DataError, RunError, SettingError
from l2rec.models import Counter, Learner, Recommender
from l2rec.models._checkpoint import save
from l2rec.nn.arithmetic import dtype_of, precision_of
from l2rec.run import facts, reuse
from l2rec.run.record import Run, forget, validation
from l2rec.run.space import SearchSettings
from l2rec.serving.folder import MANIFEST, RunFolder, build, copy_ids, model_config, open_data
from l2rec.serving.pins import pinned_files
from l2rec.training.check import check as training_check
from l2rec.training.checkpoint import Checkpoints
from l2rec.training.loop import Occasion, fit


@dataclass(frozen=True)
class Options:
    """What describes the occasion and moves no result.

    Attributes:
        device: `cpu`, `cuda` or `mps`; the best there is where None.
        resume: Whether to go on where a run in the same folder stopped; a finished run is taken as it is, unless its
            seconds were up and it is now given more.
        progress: Whether to show a progress bar on stderr.
        heard: Told the metrics of every validation before they are judged; what it raises ends the training.
        source: A finished run whose learnt weights are taken instead of trained, where only the third signal and the
            evaluation differ.
    """

    device: str | None = None
    resume: bool = False
    progress: bool = False
    heard: Callable[[dict[str, float]], None] | None = None
    source: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A run before its first step: everything that can be refused has been looked at.

    Attributes:
        settings: Every setting, defaults filled in.
        prepared: The data, its training part cut to what may be learnt from.
        model: The model, untrained.
        device: Where it will be computed.
    """

    settings: RunSettings
    prepared: Prepared
    model: Recommender
    device: torch.device


def plan(settings: RunSettings, device: str | None = None) -> Plan:
    """Returns the run that the settings describe, before its first step; writes nothing.

    Raises:
        L2RecError: the settings, the data, the model or the device cannot be used as they are.
    """
    where = facts.device_of(device)
    complete = resolved(settings, device)
    prepared = learnt_part(open_data(settings.data), settings.training, settings.seed)
    torch.manual_seed(settings.seed)
    model = build(complete, prepared.items, prepared.train.attributes.shape[1])
    if isinstance(model, Learner) and not len(prepared.cases("validation")):
        raise DataError(
            f"{settings.data}: 0 validation cases, training chooses its weights by them. "
            "Prepare data in which users have three events or more, or with another split."
        )
    return Plan(complete, prepared, model, where)


def settings_of(config: Path, overrides: Sequence[str] = ()) -> RunSettings:
    """Returns the settings of a TOML file with `name=value` overrides laid over them.

    `[search]` may stand in the file and decides no run.

    Raises:
        SettingError: the file cannot be read, or a setting is unknown, missing or out of range.
    """
    values = read_toml(config, overrides)
    validated(SearchSettings, values.pop("search", {}), "search")
    return validated(RunSettings, values, "")


def resolved(settings: RunSettings, device: str | None = None) -> RunSettings:
    """Returns the settings with every default of the model filled in, and the arithmetic as the device will use it.

    Raises:
        SettingError: a setting of the model is unknown, missing or out of range, or `tuning.space` names another one.
        ModelError: no model has that name.
    """
    name, config = model_config(settings)
    model, kind = config.model_dump(mode="json"), None if device is None else device.partition(":")[0]
    if "dtype" in model:
        model["dtype"] = dtype_of(model["dtype"], kind)
    training = {"precision": precision_of(settings.training.precision, kind)}
    complete = settings.model_copy(
        update={"model": {"name": name, **model}, "training": settings.training.model_copy(update=training)}
    )
    known = flat({"model": complete.model, "training": complete.training.model_dump(mode="json")})
    for searched in complete.tuning.space:
        if searched not in known:
            close = difflib.get_close_matches(searched, known, n=1, cutoff=0.75)
            hint = f'Did you mean "{close[0]}"?' if close else f"See `l2rec models {name}`."
            raise SettingError(f'tuning.space: "{searched}": the run has no such setting. {hint}')
    return complete


def train(settings: RunSettings | str | Path, folder: str | Path, options: Options | None = None) -> Run:
    """Trains the model that the settings describe, writes the run folder and returns it.

    Args:
        settings: Everything that decides the result, or the TOML file that says it.
        folder: The run folder; made where it is not there.
        options: What describes the occasion.

    Raises:
        L2RecError: the settings, the data, the model or the folder cannot be used as they are.
    """
    settings = settings if isinstance(settings, RunSettings) else settings_of(Path(settings))
    folder, options = Path(folder), options or Options()
    settings, source = with_source(settings, options)
    first = facts.is_first_process()
    before = _before(folder, resolved(settings, options.device), options.resume or not first)
    if before is not None and before.manifest.finished and not _has_more_time(before, settings.training):
        return Run(_retold(before, settings) if first else before)
    if before is not None and source is not None:
        raise RunError(f"{folder}: a training began here. Leave --from out to go on with it, or pass another --out.")
    run = plan(settings, options.device)
    manifest = facts.manifest_of(run.settings, run.model, run.prepared, run.device)
    if before is not None and before.manifest.fingerprint != manifest.fingerprint:
        raise RunError(f"{folder}: began on other data than {manifest.data} now holds. Pass --out for another folder.")
    if source is not None:
        reuse.give(source, run.model, run.prepared)
        taken = RunFolder(folder, run.settings, reuse.told(source, manifest))
        return Run(reuse.write(source, run.model, run.prepared, taken) if first else taken)
    if first:
        RunFolder.write(folder, run.settings, manifest)
        copy_ids(run.prepared, folder)
        forget(folder)
    seconds = round(_trained(run, folder, options), 2)
    final = manifest.model_copy(update={"finished": facts.now(), "seconds": seconds})
    if not first:
        return Run(RunFolder(folder, run.settings, final))
    return Run(RunFolder.write(folder, run.settings, final.model_copy(update={"files": pinned_files(folder)})))


def _before(folder: Path, settings: RunSettings, resume: bool) -> RunFolder | None:
    """Returns the run that the folder holds already and that may go on, or None where it holds none."""
    if not (folder / MANIFEST).is_file():
        return None
    if not resume:
        raise RunError(f"{folder}: holds a run already. Pass --resume to go on with it, or --out for another folder.")
    before = RunFolder.open(folder)
    for told in reuse.changes(before, settings):
        raise RunError(f"{told}. Go on with the run's own config.toml, or pass --out for another folder.")
    return before


def with_source(settings: RunSettings, options: Options) -> tuple[RunSettings, RunFolder | None]:
    """Returns the settings, and the run whose weights are taken; an arithmetic that they leave open is that run's.

    Raises:
        RunError: there is no such run, it is not finished, or a setting differs that takes part in the training.
    """
    if options.source is None:
        return settings, None
    source = reuse.opened(options.source)
    settings = reuse.in_arithmetic_of(source, settings)
    reuse.refuse_unlike(source, resolved(settings, options.device))
    return settings, source


def _retold(before: RunFolder, settings: RunSettings) -> RunFolder:
    """The finished run as it is; where the settings now say otherwise how they were chosen, the folder says so too."""
    if settings.tuning in (before.settings.tuning, TuningSettings()):
        return before
    told = {**before.manifest.settings, "tuning": settings.tuning.model_dump(mode="json")}
    manifest = before.manifest.model_copy(update={"settings": told})
    return RunFolder.write(before.path, before.settings.model_copy(update={"tuning": settings.tuning}), manifest)


def _has_more_time(before: RunFolder, settings: TrainingSettings) -> bool:
    """Whether a finished run stopped for lack of seconds, left a checkpoint, and is now given more of them."""
    given, taken = before.settings.training.max_seconds, before.manifest.seconds or 0
    if given is None or taken < given or Checkpoints(before.path / "last").newest() is None:
        return False
    return settings.max_seconds is None or settings.max_seconds > taken


def _trained(run: Plan, folder: Path, options: Options) -> float:
    """Counts or learns, saves the weights, and returns the seconds that it took; earlier parts of a run included."""
    if isinstance(run.model, Learner):
        return fit(run.model, run.prepared.train, run.settings.training, _occasion(run, folder, options)).seconds
    began = time.perf_counter()
    if isinstance(run.model, Counter):
        run.model.count(run.prepared.train)
    save(run.model, folder)
    return time.perf_counter() - began


def _occasion(run: Plan, folder: Path, options: Options) -> Occasion:
    evaluation, cases = run.settings.evaluation, run.prepared.cases("validation")

    def validate(model: Learner) -> dict[str, float]:
        metrics = validation(model, cases, evaluation)
        if options.heard is not None:
            options.heard(metrics)
        return metrics

    return Occasion(
        folder=folder,
        seed=run.settings.seed,
        validate=validate,
        resume=options.resume and Checkpoints(folder / "last").newest() is not None,
        progress=options.progress,
        device=options.device,
    )


def check(settings: RunSettings, folder: Path, options: Options | None = None) -> dict[str, Any]:
    """Returns what a training would be, as plain values; does everything up to its first step and writes nothing.

    Raises:
        L2RecError: whatever the training would stumble over before its first step.
    """
    options = options or Options()
    settings, source = with_source(settings, options)
    run = plan(settings, options.device)
    manifest = facts.manifest_of(run.settings, run.model, run.prepared, run.device)
    found: dict[str, Any] = {
        "model": manifest.model,
        "data": manifest.data,
        "users": len(run.prepared.user_ids),
        "items": len(run.prepared.items),
        "training events": len(run.prepared.train.items),
        "validation cases": len(run.prepared.cases("validation")),
        "protocol": manifest.protocol,
        "seed": manifest.seed,
        "device": manifest.device,
    }
    if not isinstance(run.model, Learner):
        return found
    if source is not None:
        reuse.give(source, run.model, run.prepared)
        return found | {"trainable": manifest.trainable, "weights of": str(source.path)}
    told = training_check(run.model, run.prepared.train, run.settings.training, _occasion(run, folder, options))
    return found | {
        "trainable": told.trainable,
        "frozen": told.frozen,
        "processes": told.processes,
        "steps an epoch": told.steps_per_epoch,
        "steps": told.steps,
        "padding": f"{told.padding:.1%}",
        "first loss": round(told.loss, 4),
        "forward seconds": round(told.forward_seconds, 3),
        **{f"MiB of {name}": round(size / 2**20, 1) for name, size in told.memory.items()},
    }


def train_seeds(settings: RunSettings, folder: Path, seeds: Sequence[int], options: Options) -> list[Run]:
    """Trains the same settings once a seed, in `folder/seed-0`, `folder/seed-1`, ...

    Raises:
        L2RecError: see `train`.
    """
    each = [of_seed(seed, settings, folder, options) for seed in seeds]
    for own, _, occasion in each:
        with_source(own, occasion)  # refused before the first is written
    runs = []
    for own, place, occasion in each:
        before = RunFolder.finished(place) if occasion.resume else None
        runs.append(train(own, place, occasion))
        if runs[-1].manifest.finished != before:
            gc.collect()  # hooks tie a model into a ring, which would outlive it by gigabytes
    return runs


def of_seed(seed: int, settings: RunSettings, folder: Path, options: Options) -> tuple[RunSettings, Path, Options]:
    """Returns what `train` takes for one seed of several; its source is the source's run of that seed."""
    name = f"seed-{seed}"
    source = None if options.source is None else options.source / name
    return settings.model_copy(update={"seed": seed}), folder / name, replace(options, source=source)
