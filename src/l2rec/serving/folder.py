"""What a run folder says: settings, manifest and ids; enough to build its model again and to serve it."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import torch

from l2rec import models
from l2rec.config import RunSettings, cache_folder, read_toml, to_toml, validated
from l2rec.data import sample
from l2rec.data.ids import Ids
from l2rec.data.prepared import Prepared
from l2rec.data.prepared import load as load_prepared
from l2rec.errors import RunError, SettingError
from l2rec.models import Recommender
from l2rec.models._checkpoint import WEIGHTS, load
from l2rec.nn.backbone import fingerprint
from l2rec.serving.manifest import FORMAT, Manifest
from l2rec.serving.pins import IDS, file_hash, refuse_changed
from l2rec.types import Items

CONFIG = "config.toml"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    Attributes:
        path: The folder.
        settings: What decided the result.
        manifest: What else did.
    """

    path: Path
    settings: RunSettings
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Returns the run in `path`.

        Raises:
            RunError: there is none, it is half written, or another version of l2rec wrote it.
            SettingError: its config.toml was changed to something that is no setting.
        """
        if not (path / MANIFEST).is_file():
            raise RunError(f"{path}: no run in this folder ({MANIFEST} is missing). Train one: l2rec train CONFIG.")
        try:
            told = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            manifest = Manifest.model_validate(told)
        except ValueError:  # JSON's and pydantic's errors are ones too
            raise RunError(f"{path / MANIFEST}: not a run's manifest. Train the run again.") from None
        if manifest.format != FORMAT:
            raise RunError(f"{path}: layout {manifest.format}, this l2rec reads {FORMAT}. Train the run again.")
        settings = validated(RunSettings, read_toml(path / CONFIG), "")
        return cls(path, settings, manifest)

    @classmethod
    def write(cls, path: Path, settings: RunSettings, manifest: Manifest) -> "RunFolder":
        """Writes settings and manifest and returns the folder; where files are pinned, the settings are pinned too.

        Raises:
            RunError: the folder cannot be written.
        """
        config = to_toml(settings.model_dump(mode="json"))
        if manifest.files:
            pinned = {**manifest.files, CONFIG: hashlib.sha256(config.encode()).hexdigest()}
            manifest = manifest.model_copy(update={"files": pinned})
        told = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / CONFIG, config)
            write_text(path / MANIFEST, told + "\n")
        return cls(path, settings, manifest)

    @classmethod
    def finished(cls, path: Path) -> str | None:
        """Returns when the run in `path` was finished; None where none was.

        Raises:
            L2RecError: see `open`.
        """
        return cls.open(path).manifest.finished if (path / MANIFEST).is_file() else None

    def refuse_unfinished(self) -> None:
        """Refuses a run that still trains or was cut off.

        Raises:
            RunError: it was not trained to the end.
        """
        if self.manifest.finished is None:
            again = f"l2rec train {self.path / CONFIG} --out {self.path} --resume"
            raise RunError(f"{self.path}: not trained to the end. Go on: {again}")

    @property
    def is_pinned(self) -> bool:
        """Whether the manifest knows the hashes of the files; an earlier l2rec wrote none."""
        return bool(self.manifest.files)

    def refuse_other_weights(self, published: str) -> None:
        """Refuses weights that are not those that were published, by their SHA-256.

        Raises:
            RunError: the run was trained again, or its weights were changed.
        """
        found = self.manifest.files.get(WEIGHTS) or file_hash(self.path / WEIGHTS)
        if found != published:
            raise RunError(f"{self.path}: weights {found[:12]}, {published[:12]} was published. Publish the run again.")

    def refuse_changed(self, *names: str) -> None:
        """Refuses files that are not what they were when the run was finished, all or those named; see `is_pinned`."""
        if self.is_pinned:
            refuse_changed(self.path, self.manifest.files, names or self.manifest.files)

    def catalogue(self) -> tuple[Items, Ids]:
        """Returns the catalogue that the run was trained on, and its outside ids; read once.

        Raises:
            RunError: the copy in the folder is missing or damaged, or the settings were changed.
        """
        return self._catalogue

    @cached_property
    def _catalogue(self) -> tuple[Items, Ids]:
        self.refuse_changed(CONFIG, *(name for name in self.manifest.files if name.startswith(f"{IDS}/")))
        return read_catalogue(self.path / IDS)

    def data(self) -> Prepared:
        """Returns the prepared data that the run was trained on.

        Raises:
            DataError: the data cannot be read.
            RunError: the data is not what it was.
        """
        data = open_data("sample" if self.settings.data == "sample" else self.manifest.data)
        if data.manifest.fingerprint != self.manifest.fingerprint:
            raise RunError(
                f"{data.folder}: fingerprint {data.manifest.fingerprint[:12]}, the run {self.path} was trained on "
                f"{self.manifest.fingerprint[:12]}. Prepare the data as it was, or train again."
            )
        return data

    def model(self, items: Items, device: torch.device) -> Recommender:
        """Returns the trained model, ready to score.

        Raises:
            RunError: the weights are missing, changed, or do not fit, or the settings or the backbone's weights are
                not what they were.
        """
        self.refuse_changed(CONFIG, WEIGHTS)
        self.refuse_another_backbone()
        with torch.random.fork_rng(devices=[]):
            # As before the training: frozen weights that are random lie in no file.
            torch.manual_seed(self.settings.seed)
            model = build(self.settings, items, self.manifest.attributes)
        load(model, self.path)
        return model.to(device).eval()

    def refuse_another_backbone(self) -> None:
        """Refuses files of a backbone that are not what they were; random weights come from the seed alone.

        Raises:
            RunError: they were replaced or changed since the run was trained.
        """
        name = self.settings.model.get("backbone")
        if self.manifest.backbone is None or name is None or not self.settings.model.get("pretrained", True):
            return
        found = fingerprint(name)
        if found != self.manifest.backbone:
            raise RunError(
                f'{self.path}: model.backbone "{name}": sha256 {found[:12]}, the run was trained on '
                f"{self.manifest.backbone[:12]}. Restore the backbone's files, or train again."
            )


def copy_ids(prepared: Prepared, folder: Path) -> None:
    """Copies the tables of items and users into a run folder; items are counted as in `prepared`, maybe a part."""
    (folder / IDS).mkdir(parents=True, exist_ok=True)
    for name in ("items.parquet", "users.parquet"):
        shutil.copyfile(prepared.folder / name, folder / IDS / name)
    items = pl.read_parquet(prepared.folder / "items.parquet")
    own = pl.Series("count", prepared.items.counts.numpy(), items["count"].dtype)
    if not items["count"].equals(own):
        items.with_columns(own).write_parquet(folder / IDS / "items.parquet")


def read_catalogue(folder: Path) -> tuple[Items, Ids]:
    """Returns the catalogue of a folder with `items.parquet`, and its outside ids.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        table = pl.read_parquet(folder / "items.parquet")
        attributes = tuple(tuple(tokens) for tokens in table["attributes"].to_list())
        counts = torch.tensor(table["count"].to_numpy())
        items = Items(tuple(table["text"]), tuple(table["title"]), attributes, counts)
        return items, Ids.of(table["item_id"].to_list())
    except (OSError, pl.exceptions.PolarsError):
        raise RunError(f"{folder / 'items.parquet'}: missing or damaged. Train the run again.") from None


def open_data(name: str) -> Prepared:
    """Returns the prepared data in a folder, or the bundled sample, prepared in the cache, for `sample`.

    Raises:
        DataError: the folder holds no prepared data, or it was changed.
    """
    if name == "sample":
        return sample.load_or_prepare(cache_folder() / "sample")
    return load_prepared(Path(name))


def build(settings: RunSettings, items: Items, attributes: int) -> Recommender:
    """Returns the untrained model that the settings describe.

    Raises:
        SettingError: a setting of the model is unknown, missing or out of range.
        ModelError: no model has that name.
    """
    name, config = model_config(settings)
    return models.find(name).model(config, items, attributes)


def model_config(settings: RunSettings) -> tuple[str, Any]:
    """Returns the model's name and its own settings, checked; see `build` for what it raises."""
    values = dict(settings.model)
    name = values.pop("name", None)
    if not isinstance(name, str):
        raise SettingError('model.name: missing. Set it in the TOML file, e.g. [model] name = "sasrec"')
    return name, validated(models.find(name).config, values, "model")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's refusal to write below `path` into a complaint.

    Raises:
        RunError: `path` lies below a file, or in a place that is read-only or full.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}. Choose another place with --out.") from None


def write_text(path: Path, text: str) -> None:
    """Writes a file at once or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o644)  # mkstemp's 0600 would lock out the server that reads the run
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
