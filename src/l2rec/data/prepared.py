"""A prepared folder in memory: catalogue, ids, training sequences and the cases of an evaluation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.data import manifest as manifests
from l2rec.data.ids import Ids
from l2rec.data.manifest import Manifest
from l2rec.types import Cases, Histories, Items

Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Prepared:
    """What `l2rec prepare` wrote.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
        items: The catalogue, by item number.
        item_ids: Outside ids of the items.
        user_ids: Outside ids of the users.
        train: The training sequence of every user number; empty for a newcomer.
    """

    folder: Path
    manifest: Manifest
    items: Items
    item_ids: Ids
    user_ids: Ids
    train: Histories
    _cases: dict[Part, Cases] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def split_name(self) -> str:
        """What a protocol calls the split: `loo`, `temporal-last`, ..."""
        return self.manifest.split_name

    def cases(self, part: Part) -> Cases:
        """Returns the cases of a part; a history is all that the user did before the target, other parts included.

        They are put together when first asked for, and kept.
        """
        if part not in self._cases:
            self._cases[part] = self._asked(part)
        return self._cases[part]

    def _asked(self, part: Part) -> Cases:
        names = ("train", "validation") if part == "validation" else ("train", "validation", "test")
        events = pl.concat([self._events(name, number) for number, name in enumerate(names)])
        events = events.sort("user", "part", maintain_order=True)
        user = events["user"].to_numpy()
        target = np.flatnonzero((events["part"] == len(names) - 1).to_numpy() & (events["case"] >= 0).to_numpy())
        target = target[np.argsort(events["case"].to_numpy()[target])]
        start = np.searchsorted(user, user[target])
        lengths = target - start
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(start, lengths)
        item, time = torch.tensor(events["item"].to_numpy()), torch.tensor(events["timestamp"].to_numpy())
        users = torch.tensor(user[target])
        rows = torch.from_numpy(within)
        histories = Histories(item[rows], time[rows], torch.from_numpy(offsets), self.train.attributes[users])
        return Cases(users, histories, item[torch.from_numpy(target)], time[torch.from_numpy(target)])

    def _events(self, name: str, number: int) -> pl.DataFrame:
        frame = pl.read_parquet(self.folder / f"{name}.parquet")
        case = pl.col("case") if name != "train" else pl.lit(-1)
        return frame.select(
            pl.col("user", "item", "timestamp").cast(pl.Int64), part=pl.lit(number), case=case.cast(pl.Int64)
        )


def load(folder: Path | str) -> Prepared:
    """Returns the prepared data of a folder.

    Raises:
        DataError: the folder is missing, half written or changed.
    """
    folder = Path(folder)
    manifest = manifests.read(folder)
    items = pl.read_parquet(folder / "items.parquet")
    users = pl.read_parquet(folder / "users.parquet")
    catalogue = Items(
        tuple(items["text"]),
        tuple(items["title"]),
        tuple(tuple(tokens) for tokens in items["attributes"].to_list()),
        torch.tensor(items["count"].to_numpy()),
    )
    attributes = _vectors(users["vector"], len(manifest.user_columns))
    train = _sequences(pl.read_parquet(folder / "train.parquet"), attributes)
    ids = Ids.of(items["item_id"].to_list(), "item"), Ids.of(users["user_id"].to_list(), "user")
    return Prepared(folder, manifest, catalogue, *ids, train)


def _vectors(column: pl.Series, width: int) -> Float[Tensor, "U A"]:
    flat = column.explode(empty_as_null=False).to_numpy() if width else np.zeros(0, np.float32)
    return torch.tensor(flat, dtype=torch.float32).reshape(len(column), width)


def _sequences(events: pl.DataFrame, attributes: Float[Tensor, "U A"]) -> Histories:
    lengths = np.bincount(events["user"].to_numpy(), minlength=len(attributes))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    item, time = (torch.tensor(events[name].cast(pl.Int64).to_numpy()) for name in ("item", "timestamp"))
    return Histories(item, time, offsets, attributes)
