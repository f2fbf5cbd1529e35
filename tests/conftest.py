"""What every test has: one thread, no network, checked shapes, and the little worlds as fixtures."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import hypothesis
import jaxtyping
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("gate", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("gate")
jaxtyping.install_import_hook("l2rec", "beartype.beartype")

from l2rec.types import Cases, Histories, Items  # noqa: E402  (after the hook, or its shapes go unchecked)
from tests import worlds  # noqa: E402


@pytest.fixture(autouse=True)
def _the_same_chance_in_every_test() -> None:
    torch.manual_seed(0)


@pytest.fixture
def items() -> Items:
    """Thirty items; the last was never trained."""
    return worlds.tiny_items(30)


@pytest.fixture
def histories() -> Histories:
    """Forty users of the thirty items; the first has no event and the second has one."""
    return worlds.tiny_histories(users=40, items=30)


@pytest.fixture
def cases() -> Cases:
    """What the forty users did next."""
    return worlds.tiny_cases(users=40, items=30)
