"""The tables with more seeds: every config of a folder trained, measured and compared by the ordinary commands."""

import json
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGS = Path("configs")
"""As seen from the repository's root, where the configs look for their data too."""


@dataclass(frozen=True)
class Tables:
    """What is trained.

    Attributes:
        names: Folders of `configs/`.
        seeds: As `l2rec train --seeds` takes them.
        device: As `--device` takes it.
        runs: Folder of the run folders.
        changes: Settings that are laid over every config of a learner, as `--set` takes them.
        only: Configs by name; all of a folder where empty.
    """

    names: tuple[str, ...]
    seeds: str
    device: str
    runs: Path
    changes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


def small(device: str, runs: Path) -> Tables:
    """Returns one epoch of two models on the bundled sample, with two seeds."""
    changes = ("training.epochs=1", "training.evaluate_every=1")
    return Tables(("demo",), "0,1", device, runs, changes, ("popularity", "sasrec"))


def measure(asked: Tables) -> dict[str, Any]:
    """Returns, for each folder, the comparison as `l2rec compare --json` gives it, and what failed.

    A run that is there already goes on or is taken as it is, so the same call after a kill goes on.
    """
    return {name: _table(asked, name) for name in asked.names}


def _table(asked: Tables, name: str) -> dict[str, Any]:
    done, failed, commands = [], {}, []
    for config in _configs(asked, name):
        run = asked.runs / name / config.stem
        changes = [word for change in asked.changes if _learns(config) for word in ("--set", change)]
        place = ["--out", str(run), "--device", asked.device]
        train = ["train", str(config), "--seeds", asked.seeds, *place, "--resume", *changes]
        evaluate = ["evaluate", str(run), "--device", asked.device]
        begun = time.perf_counter()
        for words in (train, evaluate):
            commands.append(shlex.join(["l2rec", *words]))
            code, _ = _said(words)
            if code:
                failed[config.stem] = f"l2rec {words[0]} ended with {code}"
                break
        else:
            done.append(str(run))
        print(f"{config.stem}: {failed.get(config.stem, 'done')}, {time.perf_counter() - begun:.0f} s", flush=True)
    compare = ["compare", *done, "--labelled", "--out", str(asked.runs / name / "report.html"), "--json"]
    commands.append(shlex.join(["l2rec", *compare]))
    code, told = _said(compare) if done else (1, "")
    if code:
        failed["compare"] = f"l2rec compare ended with {code}" if done else "no run to compare"
    return {"comparison": None if code else json.loads(told), "failed": failed, "commands": commands}


def _configs(asked: Tables, name: str) -> list[Path]:
    """The configs of a folder whose data are there.

    Raises:
        SystemExit: there is no such folder, or its data are not prepared.
    """
    found = [path for path in sorted((CONFIGS / name).glob("*.toml")) if not asked.only or path.stem in asked.only]
    if not found:
        sys.exit(
            f"--tables {name}: no config in {CONFIGS / name}. Pass a folder of configs/, in the repository's root."
        )
    for path in found:
        data = tomllib.loads(path.read_text(encoding="utf-8"))["data"]
        if data != "sample" and not Path(data).is_dir():
            sys.exit(f"{path}: data {data}: not prepared. First: l2rec prepare SOURCE --out {data}")
    return found


def _learns(config: Path) -> bool:
    return "training" in tomllib.loads(config.read_text(encoding="utf-8"))


def _said(words: list[str]) -> tuple[int, str]:
    """Runs a command, shows what it says on stderr, and returns its exit code and its stdout."""
    print("$", shlex.join(["l2rec", *words]), flush=True)
    done = subprocess.run([sys.executable, "-m", "l2rec", *words], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout
