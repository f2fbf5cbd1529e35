"""A model that is told no arithmetic takes the one that the device has, and is the model that was told it by name."""

from pathlib import Path

import pytest
import torch

from l2rec.models import find, names
from l2rec.nn.backbone import Backbone
from l2rec.nn.tuned import Tuned
from tests import worlds
from tests.models.test_every_model import HISTORIES, fresh, scores

READERS = [name for name in names() if "dtype" in find(name).config.model_fields]


def test_automatic_is_the_default() -> None:
    assert {"l2rec", "learn", "unisrec", "recformer", "llara", "ilora"} <= {*READERS}
    assert {find(name).config().dtype for name in READERS} == {"auto"}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("has", "dtype", "other"), [(True, "bfloat16", "float32"), (False, "float32", "bfloat16")])
def test_automatic_is_what_the_device_has(
    name: str, has: bool, dtype: str, other: str, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda _: has)
    model = fresh(name, backbone, dtype="auto")
    assert model.settings.model_dump()["dtype"] == dtype, "a resume compares what was used"
    rounded = [part.rounded for part in model.modules() if isinstance(part, Tuned)]
    frozen = [part.dtype is torch.bfloat16 for part in model.modules() if isinstance(part, Backbone)]
    assert (rounded or frozen) == [has]
    batch = worlds.batch_of(HISTORIES)
    found = scores(model, batch)
    assert torch.equal(found, scores(fresh(name, backbone, dtype=dtype), batch))
    assert not torch.equal(found, scores(fresh(name, backbone, dtype=other), batch)), "vectors on disk are told apart"
