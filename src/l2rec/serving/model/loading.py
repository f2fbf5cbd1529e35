"""From a run folder to what answers: its catalogue, and its model on a device."""

from pathlib import Path

import torch

from l2rec.data.ids import Ids
from l2rec.models import Recommender
from l2rec.serving.folder import RunFolder
from l2rec.types import Items

Loaded = tuple[RunFolder, Items, Ids, Recommender, torch.device]
"""The run, its items, their outside ids, its trained model, and where that computes."""


def loaded(run: str | Path | RunFolder, device: str = "cpu") -> Loaded:
    """Returns a run, given as its folder or where that lies, with its model.

    Raises:
        RunError: the folder holds no finished run, or its files were changed.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(Path(run))
    folder.refuse_unfinished()
    items, item_ids = folder.catalogue()
    where = torch.device(device)
    return folder, items, item_ids, folder.model(items, where), where
