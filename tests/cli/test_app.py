"""The command line as a whole: quick help, quiet errors, data on stdout, and no surprise at import."""

import resource
import subprocess
import sys

import pytest

from l2rec.cli import app as application
from l2rec.cli import doctor
from l2rec.errors import DataError, L2RecError
from tests.cli.conftest import Call

COMMANDS = ("demo", "prepare", "diagnose", "train", "evaluate", "compare", "recommend", "models", "doctor")
HEAVY = ("torch", "polars", "transformers", "numpy", "pydantic", "accelerate", "matplotlib")


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom l2rec.cli.app import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
        f"    sys.stderr.write(' '.join(name for name in {HEAVY} if name in sys.modules))\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr == ""
    assert all(name in done.stdout for name in COMMANDS)
    # Time on the processor, as the wall clock of a shared machine tells of its other work.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, l2rec\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_m_l2rec_is_the_same_program() -> None:
    words = [sys.executable, "-m", "l2rec", "evaluate", "no/such/run"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("l2rec: no/such/run: no run in this folder (manifest.json is missing).")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, call: Call) -> None:
    said = call(command, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: l2rec {command}") or f" {command} " in said.out.splitlines()[0]


def test_the_version_is_the_packages(call: Call) -> None:
    from importlib.metadata import version

    assert call("--version").out == f"l2rec {version('l2rec')}\n"


def test_what_a_user_can_mend_is_one_line_and_exit_code_2(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise DataError("a.csv line 3: broken. Mend it.")

    monkeypatch.setattr(application, "app", lambda _: broken())
    said = call("anything")
    assert (said.out, said.err, said.code) == ("", "l2rec: a.csv line 3: broken. Mend it.\n", 2)


def test_what_is_our_fault_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(application, "app", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        application.main(["anything"])
    assert not issubclass(ZeroDivisionError, L2RecError)


def test_an_unknown_command_or_flag_is_refused(call: Call) -> None:
    said = call("trian")
    assert said.code == 2
    assert "trian" in said.err
    said = call("doctor", "--jsn")
    assert said.code == 2
    assert "--jsn" in said.err


def test_the_doctor_says_what_is_missing_and_how_to_mend_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("doctor")
    assert said.code == 0
    assert "python" in said.out
    parts = {finding["part"]: finding for finding in call("doctor", "--json").json()}
    assert parts["torch"]["state"] == "ok"
    monkeypatch.setattr("l2rec.run.health.OLDEST_PYTHON", (9, 0))
    assert call("doctor").code == 1
    assert doctor.doctor.__doc__


def test_the_python_names_are_loaded_when_they_are_named() -> None:
    import l2rec

    assert {name for name in l2rec.__all__ if callable(vars(l2rec).get(name) or l2rec.__getattr__(name))} == {
        "Recommender",
        "Run",
        "prepare",
        "train",
    }
    with pytest.raises(AttributeError, match="module 'l2rec' has no attribute 'trian'"):
        l2rec.__getattr__("trian")
