"""The little world with its trained runs, a cache of its own, and a way to call commands."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from l2rec.cli.app import main
from tests.trained import World, little_world


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    out: str
    err: str
    code: int

    def json(self) -> Any:
        """What stood on stdout, as plain values."""
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The little world; made once, read by many, changed by none."""
    return little_world(tmp_path_factory.getbasetemp() / "world")


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls a command as the shell does, in this process."""

    def called(*words: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        told = capsys.readouterr()
        return Said(told.out, told.err, int(ended.value.code or 0))

    return called
