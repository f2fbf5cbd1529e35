"""A run on a frozen language model: what lies in no file of the run is the same at every load, or is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from l2rec.errors import RunError
from l2rec.models import Recommender as Model
from l2rec.run import Options, train
from l2rec.serving.folder import RunFolder
from l2rec.training.loop import Fitted, fit
from tests import worlds
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL
from tests.trained import World, settings


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """The models that a training leaves in memory."""
    found: list[Model] = []

    def keeping(model: Model, *rest: object) -> Fitted:
        found.append(model)
        return fit(model, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("l2rec.run.pipeline.fit", keeping)
    return found


def trained(world: World, backbone: Path, folder: Path, pretrained: bool) -> RunFolder:  # noqa: F811
    chosen = settings(world, {"name": "l2rec", **SMALL, "backbone": str(backbone), "pretrained": pretrained}, seed=3)
    short = chosen.model_copy(update={"training": chosen.training.model_copy(update={"epochs": 1})})
    return train(short, folder, Options(device="cpu")).folder


@pytest.mark.parametrize("pretrained", [True, False])
def test_every_load_scores_as_the_training_left_it(
    pretrained: bool,
    kept: list[Model],
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = trained(world, backbone, tmp_path / "run", pretrained)
    batch = worlds.batch_of([[3, 10, 2], [7]])
    with torch.no_grad():
        left = kept[0].eval().scores(batch)
    for chance in (1, 2):
        torch.manual_seed(chance)
        before = torch.get_rng_state()
        model = RunFolder.open(folder.path).model(folder.catalogue()[0], torch.device("cpu"))
        assert torch.equal(torch.get_rng_state(), before), "a load moves the caller's chance"
        with torch.no_grad():
            assert torch.equal(model.scores(batch), left)


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_backbone_that_changed_since_the_training_is_refused(
    pretrained: bool,
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    own = Path(shutil.copytree(backbone, tmp_path / "backbone"))
    folder = trained(world, own, tmp_path / "run", pretrained)
    tensors = load_file(own / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, own / "model.safetensors", {"format": "pt"})
    items = folder.catalogue()[0]
    if not pretrained:
        folder.model(items, torch.device("cpu"))
        return
    message = r'run: model\.backbone ".*backbone": sha256 .{12}, the run was trained on .{12}\. Restore the backbone'
    with pytest.raises(RunError, match=message):
        folder.model(items, torch.device("cpu"))
