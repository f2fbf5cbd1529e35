"""A trained run: what it measures, what it recommends, and where it keeps that."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from l2rec import models
from l2rec.config import EvaluationSettings, RunSettings
from l2rec.data.share import learnt_part
from l2rec.errors import RunError
from l2rec.evaluation import metrics
from l2rec.evaluation.protocol import protocol_name
from l2rec.evaluation.ranking import Rankings, rank
from l2rec.evaluation.results import Measured, Origin, Results, measure
from l2rec.models import Learner, Retriever
from l2rec.models import Recommender as Model
from l2rec.run import examples
from l2rec.run.facts import device_of
from l2rec.run.vectors import Vectors
from l2rec.serving.folder import RunFolder, write_text, writing
from l2rec.serving.manifest import Manifest
from l2rec.serving.recommender import Recommendation, Recommender
from l2rec.serving.wishes import Wish
from l2rec.types import Batch, Cases

RESULTS = "results.json"
RANKS = "ranks.parquet"
FILES = {"test": (RESULTS, RANKS), "validation": ("validation.json", "validation.parquet")}
"""What an evaluation keeps of each part."""
_IDLE = ("training.checkpoint_every", "training.trackers", "evaluation.batch_size")
"""Settings that move no number, as `tuning` does not, nor the data's place: its fingerprint is asked for as well."""
_OURS = "l2rec"
"""The model that is tested against all others of the package, floors and rivals, which are its baselines."""


@dataclass(frozen=True)
class Run:
    """A run folder that can be measured and asked.

    Attributes:
        folder: What lies on disk.
    """

    folder: RunFolder

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Returns the run in a folder.

        Raises:
            RunError: there is none, or it was not trained to the end.
        """
        folder = RunFolder.open(Path(path))
        folder.refuse_unfinished()
        return cls(folder)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def manifest(self) -> Manifest:
        """What decided the run beside its settings."""
        return self.folder.manifest

    @property
    def settings(self) -> RunSettings:
        """What decided the run."""
        return self.folder.settings

    @property
    def label(self) -> str:
        """What a table calls the run: its folder's name, or that of the folder with its seeds."""
        path = self.path.resolve()
        return path.parent.name if path.name == f"seed-{self.manifest.seed}" else path.name

    def evaluate(self, part: str = "test", *, again: bool = False, device: str | None = None) -> Results:
        """Returns what the run reaches on a part of its data, which is ranked once and then remembered.

        Args:
            part: `test`, or `validation` for choosing settings.
            again: Whether to rank once more what is remembered.
            device: `cpu`, `cuda` or `mps`; the best there is where None.

        Raises:
            DataError: the data cannot be read.
            RunError: the data, the weights or the backbone are not what they were, or the folder cannot be written.
        """
        means, values = FILES[part]
        if not again and (self.path / means).is_file():
            return self.measured(part).results
        prepared = self.folder.data()
        known = learnt_part(prepared, self.settings.training, self.settings.seed).items
        model = self.folder.model(known, device_of(device))
        cases = prepared.cases("validation" if part == "validation" else "test")
        settings = self.settings.evaluation
        origin = self._origin(protocol_name(prepared.split_name, settings), prepared.manifest.source, part)
        rankings = ranked(model, cases, settings)
        found = measure(rankings, cases, prepared.items, prepared.train.lengths(), _with_chief(settings), origin)
        with writing(self.path):
            if part == "test":
                examples.write(examples.examples_of(self.label, rankings, cases, prepared), self.path)
            found.frame.write_parquet(self.path / values)
            write_text(self.path / means, found.results.model_dump_json(indent=2) + "\n")
        return found.results

    def measured(self, part: str = "test") -> Measured:
        """Returns what an earlier evaluation of a part found, under the run's present label and tuning.

        Raises:
            RunError: there was none, or its files are damaged.
        """
        means, values = FILES[part]
        try:
            results = Results.model_validate_json((self.path / means).read_text(encoding="utf-8"))
            frame = pl.read_parquet(self.path / values)
        except FileNotFoundError:
            raise RunError(f"{self.path}: not evaluated yet. Run: l2rec evaluate {self.path}") from None
        except (OSError, ValueError, pl.exceptions.PolarsError):
            again = f"l2rec evaluate {self.path} --again" + (f" --part {part}" if part != "test" else "")
            raise RunError(f"{self.path / means}: its results are damaged. Run: {again}") from None
        origin = results.origin.model_copy(update=self._told())
        return Measured(results.model_copy(update={"origin": origin}), frame)

    def _origin(self, protocol: str, data: str, part: str) -> Origin:
        return Origin(
            **self._told(),
            model=self.manifest.model,
            seed=self.manifest.seed,
            data=data,
            share=self.settings.training.share,
            held_back=self.settings.training.held_back,
            fingerprint=self.manifest.fingerprint,
            part=part,
            protocol=protocol,
        )

    def _told(self) -> dict[str, Any]:
        """What the folder says now, whatever an evaluation wrote down when it was made."""
        return {
            "label": self.label,
            "settings": self._digest(),
            "tuning": self.settings.tuning,
            "baseline": self._is_baseline(),
        }

    def _digest(self) -> str:
        """What says whether two runs differ by more than their seeds: all settings that move a number.

        None is as if left out, which an earlier version may have done.
        """
        deciding = {
            f"{group}.{name}": value
            for group, said in self.manifest.settings.items()
            if isinstance(said, dict) and group != "tuning"
            for name, value in said.items()
            if value is not None and f"{group}.{name}" not in _IDLE
        }
        return sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def _is_baseline(self) -> bool:
        """Whether it is a floor or a rival of the package; a reader's own model is neither."""
        room = models.find(self.manifest.model).model.__module__.split(".")
        return room[:2] == ["l2rec", "models"] and self.manifest.model != _OURS

    @cached_property
    def recommender(self) -> Recommender:
        """The run as something that answers."""
        return Recommender.load(self.path)

    def recommend(
        self,
        *,
        user_id: str | None = None,
        history: Sequence[str] | None = None,
        text: str | None = None,
        k: int | None = None,
        wish: Wish | None = None,
    ) -> list[Recommendation]:
        """Returns the best items for exactly one of a user, a history or a text; see `Recommender.recommend`."""
        return self.recommender.recommend(user_id=user_id, history=history, text=text, k=k, wish=wish)


def runs_in(path: Path) -> list[Run]:
    """Returns the run in a folder, or the runs in its `seed-0`, `seed-1`, ...

    Raises:
        RunError: there is none, or one was not trained to the end.
    """
    seeds = sorted((p for p in path.glob("seed-*") if p.is_dir()), key=lambda p: (len(p.name), p.name))
    return [Run.open(each) for each in seeds or [path]]


def ranked(model: Model, cases: Cases, settings: EvaluationSettings, vectors: Vectors | None = None) -> Rankings:
    """Returns where a model in evaluation mode puts the targets of the cases; see `validation`."""
    counts = model.token_counts if isinstance(model, Learner) else torch.ones(model.item_count, dtype=torch.long)
    history = model.settings.history
    return rank(_scorer(model, vectors), cases, history=history, token_counts=counts, settings=settings)


def validation(
    model: Model, cases: Cases, settings: EvaluationSettings, vectors: Vectors | None = None
) -> dict[str, float]:
    """Returns every metric of a model on the validation cases; NDCG@10 among them whatever the cut-offs are.

    Args:
        model: In evaluation mode.
        cases: What is asked.
        settings: The protocol.
        vectors: Those of models with the same learnt weights; what is missing is added.
    """
    return metrics.means(ranked(model, cases, settings, vectors), _with_chief(settings).cutoffs)


def forget(folder: Path) -> None:
    """Removes what an evaluation wrote: the weights in the folder are about to change."""
    for name in (*FILES["test"], *FILES["validation"], examples.FILE):
        (folder / name).unlink(missing_ok=True)


def _with_chief(settings: EvaluationSettings) -> EvaluationSettings:
    """The settings with the cut-off of NDCG@10 among theirs: it chose the weights, orders tables and is tested."""
    return settings.model_copy(update={"cutoffs": tuple(sorted({*settings.cutoffs, 10}))})


def _scorer(model: Model, vectors: Vectors | None) -> Callable[[Batch], Tensor]:
    """Scores of a batch on the model's device; a retriever's item vectors are made once for all batches."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if isinstance(model, Retriever) and vectors is not None:
        return vectors.scorer(model, device)
    if isinstance(model, Retriever):
        with torch.no_grad():
            items = model.item_vectors()
        return lambda batch: model.scores_by(batch.to(device), items)
    return lambda batch: model.scores(batch.to(device))
