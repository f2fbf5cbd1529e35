"""Learnt weights of a finished run for one that would learn the same: another third signal, another evaluation."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from l2rec.config import RunSettings, TrainingSettings, flat
from l2rec.data.prepared import Prepared
from l2rec.errors import RunError, SettingError
from l2rec.models import Learner, Recommender, find
from l2rec.models._checkpoint import WEIGHTS, read_tensors, save
from l2rec.run import facts
from l2rec.run.record import forget
from l2rec.serving.folder import CONFIG, RunFolder, copy_ids, model_config, write_text, writing
from l2rec.serving.manifest import Manifest, Source
from l2rec.serving.pins import file_hash, pinned_files
from l2rec.training.runlog import LOG
from l2rec.training.setup import FREE

NO_LOSS = ("evaluation.", "model.transition.", "model.transition_weight")
"""What the names of settings begin with that take no part in the loss."""


def changes(then: RunFolder, now: RunSettings, but: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields, in words, every setting that a run does not have as it is now asked for.

    What moves no weight and how the settings were chosen are left out.

    Args:
        then: The run.
        now: Every setting, defaults filled in.
        but: What the names of further settings begin with that may differ.
    """
    unnamed = flat({"training": TrainingSettings().model_dump(mode="json")})  # an earlier l2rec knew fewer of them
    was, asked = unnamed | flat(then.manifest.settings), flat(now.model_dump(mode="json"))
    free = {f"training.{name}" for name in FREE}
    for name in sorted((was.keys() | asked.keys()) - free, key=lambda name: (name != "model.name", name)):
        if was.get(name) != asked.get(name) and not name.startswith(("tuning.", *but)):
            yield f"{then.path}: {name} was {was.get(name)} and now is {asked.get(name)}"


def opened(path: Path) -> RunFolder:
    """Returns the finished run in a folder.

    Raises:
        RunError: there is none, it was not trained to the end, or its model learns nothing.
    """
    source = RunFolder.open(path)
    source.refuse_unfinished()
    if not issubclass(find(source.manifest.model).model, Learner):
        raise RunError(f"{path}: {source.manifest.model} counts and learns no weights. Leave --from out to count.")
    return source


def in_arithmetic_of(source: RunFolder, settings: RunSettings) -> RunSettings:
    """Returns the settings, `auto` told as what `source` was trained in."""
    was, (_, config) = source.manifest.settings, model_config(settings)
    model, training = settings.model, settings.training
    if config.model_dump().get("dtype") == "auto":
        model = model | {"dtype": was["model"].get("dtype", "auto")}
    if training.precision == "auto":
        training = training.model_copy(update={"precision": was["training"]["precision"]})
    return settings.model_copy(update={"model": model, "training": training})


def refuse_unlike(source: RunFolder, settings: RunSettings) -> None:
    """Refuses a run whose learnt weights are not those of these settings; its data are looked at in `give`.

    Args:
        source: The finished run.
        settings: Every setting of the run that is to have its weights, defaults filled in.

    Raises:
        RunError: a setting differs that takes part in the training.
    """
    for told in changes(source, settings, ("data", *NO_LOSS)):
        raise RunError(
            f"{told}. --from takes a run that differs in the third signal and the evaluation alone; "
            "leave --from out to train."
        )


def refuse_searched(names: Iterable[str]) -> None:
    """Refuses to search settings that take part in the training beside learnt weights that stay.

    Raises:
        SettingError: one of the names is of such a setting.
    """
    for name in names:
        if not name.startswith(NO_LOSS):
            raise SettingError(
                f"search.space: {name}: --from takes weights that are learnt, and only settings of the third signal "
                "can be searched with them. Set search.declared=false and name those, or leave --from out."
            )


def give(source: RunFolder, model: Recommender, prepared: Prepared) -> None:
    """Gives a model the learnt weights of a run, and counts its third signal where it has one.

    Raises:
        RunError: the run was trained on other data, its files or its backbone were changed, or its weights do not fit.
    """
    assert isinstance(model, Learner)
    now, then = prepared.manifest.fingerprint, source.manifest.fingerprint
    if now != then:
        raise RunError(
            f"{source.path}: was trained on data with fingerprint {then[:12]}, {prepared.folder} has {now[:12]}. "
            "--from takes a run on the same data; leave --from out to train."
        )
    source.refuse_changed(CONFIG, WEIGHTS)
    source.refuse_another_backbone()
    model.load_learnt(read_tensors(source.path / WEIGHTS))
    if model.third is not None:
        model.third.count(prepared.train)


def told(source: RunFolder, manifest: Manifest) -> Manifest:
    """Returns the manifest with what it has of the run that learnt its weights: place, hash, seconds and device."""
    origin = Source(path=str(source.path.resolve()), weights=file_hash(source.path / WEIGHTS))
    learnt = {"seconds": source.manifest.seconds, "device": source.manifest.device}
    return manifest.model_copy(update={"source": origin, "finished": facts.now(), **learnt})


def write(source: RunFolder, model: Recommender, prepared: Prepared, run: RunFolder) -> RunFolder:
    """Writes a run with the weights that `give` gave and the log of their training; the manifest comes last.

    A call that dies before that leaves no run, and the same call writes it again.

    Raises:
        RunError: the folder cannot be written.
    """
    with writing(run.path):
        copy_ids(prepared, run.path)
        forget(run.path)
        if (source.path / LOG).is_file():
            write_text(run.path / LOG, (source.path / LOG).read_text(encoding="utf-8"))
        save(model, run.path)
    manifest = run.manifest.model_copy(update={"files": pinned_files(run.path)})
    return RunFolder.write(run.path, run.settings, manifest)
