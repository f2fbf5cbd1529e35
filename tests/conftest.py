"""What every test has: one thread, no network, checked shapes, and the little worlds as fixtures."""

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"

import hypothesis
import jaxtyping
import pytest
import torch

from tests import checking  # noqa: F401  (the hook finds it as loaded)

torch.set_num_threads(1)
hypothesis.settings.register_profile("gate", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("gate")
jaxtyping.install_import_hook("l2rec", "tests.checking.checked")

from l2rec.types import Cases, Histories, Items  # noqa: E402  (after the hook, or its shapes go unchecked)
from tests import worlds  # noqa: E402
from tests.serving import redis_server  # noqa: E402
from tests.serving.pages import browser  # noqa: E402

if TYPE_CHECKING:
    from l2rec.data.prepared import Prepared


def pytest_unconfigure(config: pytest.Config) -> None:
    """Says in the last line what this machine could not test; `pytest_terminal_summary` would come a line too early."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    missing = [tool.MISSING for tool in (redis_server, browser) if tool.PROGRAM is None]
    if missing and reporter is not None:
        reporter.ensure_newline()
        reporter.write_line("; ".join(missing))


def pytest_collection_finish() -> None:
    """Leaves the modules out of what is looked through for garbage from now on, a second each time that it is."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The little world as `l2rec prepare` leaves it, split leave-last-out; to be read, not changed."""
    from l2rec.data.prepare import prepare

    folder = tmp_path_factory.mktemp("world")
    return prepare(worlds.write_log(folder / "log"), folder / "prepared").folder


@pytest.fixture(scope="session")
def prepared(prepared_folder: Path) -> "Prepared":
    """The same in memory."""
    from l2rec.data.prepared import load

    return load(prepared_folder)
