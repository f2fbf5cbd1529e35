"""What `bench/gpu_tables.py` runs: the rows of a folder of `configs/`, of a share of its users, or of an ablation."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from l2rec.config import RunSettings, flat
from l2rec.models import Learner, find
from l2rec.run import settings_of
from l2rec.run.pipeline import resolved
from l2rec.run.reuse import NO_LOSS

CONFIGS = Path("configs")
"""As seen from the repository's root, where the configs look for their data too."""
_NOT_LEARNT = ("data", "seed", "tuning.", *NO_LOSS)
"""What the names of settings begin with that two rows with the same learnt weights may differ in."""


@dataclass(frozen=True)
class Share:
    """A table whose rows are trained on a share of the users.

    Attributes:
        configs: Folder of `configs/`.
        share: Of the training users.
        rows: Epochs and epochs between two validations, by config; None for a row that counts.
    """

    configs: str
    share: float
    rows: dict[str, tuple[int, int] | None]


@dataclass(frozen=True)
class Ablation:
    """A table of `l2rec ablate`.

    Attributes:
        config: The full model, below `configs/`.
        changes: Settings of every row.
        only: Its rows; all where empty.
    """

    config: str
    changes: tuple[str, ...]
    only: str


_L2REC, _THIRD = "l2rec-without-transition", ("training.share=0.3", "training.evaluate_every=3")
SHARES = {
    "scientific-share-10": Share(
        "scientific",
        0.1,
        {
            "transition": None,
            _L2REC: (9, 3),
            "l2rec-transition": (9, 3),
            "sasrec-words": (36, 6),
            "sasrec": (60, 6),
            "gru4rec": (60, 6),
            "hstu": (60, 6),
            "bert4rec": (120, 12),
            "sasrec-words-transition": (36, 6),
            "unisrec-inductive": (36, 6),
            "learn": (10, 2),
            "learn-transition": (10, 2),
        },
    ),
    "scientific-share-30": Share("scientific", 0.3, {_L2REC: (3, 3)}),
    "scientific-share-5": Share("scientific", 0.05, {_L2REC: (18, 6)}),
    "scientific-share-2": Share("scientific", 0.02, {_L2REC: (36, 12)}),
}
"""The tables of docs/results.md on a share of the users; fewer users get more epochs, of which validation chooses."""
ABLATIONS = {
    "scientific-ablation-plain": Ablation(
        "scientific/l2rec-both-transition.toml",
        ("model.transition_weight=0", *_THIRD, "training.turned=0.3", "model.words=false", "model.shortcut=false"),
        "",
    ),
    "scientific-ablation-words": Ablation(
        "scientific/l2rec-both-transition.toml",
        ("model.transition_weight=0", *_THIRD, "training.turned=0.3"),
        "view-behavioural,fusion-mean,no-bpc",
    ),
    "scientific-ablation-one-view": Ablation(f"scientific/{_L2REC}.toml", _THIRD, ""),
    "scientific-ablation-static": Ablation(
        f"scientific/{_L2REC}.toml", ("model.signals=[]", "model.behavioural=2", *_THIRD), "personal-router"
    ),
}
"""The ablations of docs/results.md; the folder of a table in `bench/results/runs` has its name."""
SUBJECTS = ("l2rec-transition", _L2REC)
"""Rows that docs/results.md tests against all others of their table, too."""
BANDS = {"scientific": _L2REC, "beauty": "l2rec-transition", "scientific-share-10": _L2REC}
"""Tables whose rows it compares on new and tail items (`bench/bands.py`), and the row that is tested there."""
SMALL_SHARE = Share("demo", 0.5, {"popularity": None, "sasrec": (1, 1)})
SMALL_ABLATION = Ablation("demo/l2rec.toml", ("training.epochs=1", "training.share=0.1"), "no-words")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        config: Its file; the file's name is its label.
        changes: Settings over it.
        source: Label of the row whose learnt weights it has; trained where None.
    """

    config: Path
    changes: tuple[str, ...] = ()
    source: str | None = None


def rows_of(name: str, only: tuple[str, ...] = (), changes: tuple[str, ...] = ()) -> list[Row]:
    """Returns the rows of a folder of `configs/`; one that has another's learnt weights comes after it.

    Args:
        name: The folder.
        only: Configs by name; all where empty.
        changes: Settings that are laid over every config of a learner.

    Raises:
        SystemExit: there is no such folder, or its data are not prepared.
    """
    paths = [path for path in sorted((CONFIGS / name).glob("*.toml")) if not only or path.stem in only]
    if not paths:
        sys.exit(
            f"--tables {name}: no config in {CONFIGS / name}. Pass a folder of configs/, in the repository's root, "
            f"or one of {', '.join((*SHARES, *ABLATIONS))}."
        )
    settings = {path: resolved(settings_of(path)) for path in paths}
    for path, told in settings.items():
        if told.data != "sample" and not Path(told.data).is_dir():
            sys.exit(f"{path}: data {told.data}: not prepared. First: l2rec prepare SOURCE --out {told.data}")
    rows = [
        Row(path, changes if learns(told) else (), next(sources(told, settings), None))
        for path, told in settings.items()
    ]
    return sorted(rows, key=lambda row: row.source is not None)


def shared_rows(share: Share) -> list[Row]:
    """Returns the rows of a table on a share of the users."""
    rows = []
    for row in rows_of(share.configs, tuple(share.rows)):
        epochs = share.rows[row.config.stem]
        changes: tuple[str, ...] = (f"training.share={share.share}",)
        if epochs:
            changes += (f"training.epochs={epochs[0]}", f"training.evaluate_every={epochs[1]}")
        rows.append(Row(row.config, changes, row.source))
    return rows


def learns(settings: RunSettings) -> bool:
    """Whether the model of a config learns anything; a floor counts."""
    return issubclass(find(settings.model["name"]).model, Learner)


def sources(settings: RunSettings, others: dict[Path, RunSettings]) -> Iterator[str]:
    """Yields the configs that learn the same and add no floor to it, for one that adds one; defaults are filled in."""
    if _weight(settings):
        mine = _learnt(settings)
        yield from (path.stem for path, other in others.items() if not _weight(other) and _learnt(other) == mine)


def _weight(settings: RunSettings) -> float:
    return float(settings.model.get("transition_weight", 0))


def _learnt(settings: RunSettings) -> dict[str, object]:
    told = flat(settings.model_dump(mode="json"))
    return {name: value for name, value in told.items() if not name.startswith(_NOT_LEARNT)}
