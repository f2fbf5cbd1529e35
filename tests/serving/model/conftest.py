"""The language model of the tests, and a run on it that is alive."""

from pathlib import Path

import pytest

from l2rec.serving.model.live import Live
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.trained import World


@pytest.fixture
def live(world: World, backbone: Path) -> Live:  # noqa: F811
    """A little L2Rec, new for every test."""
    return runs.l2rec(world, backbone)
