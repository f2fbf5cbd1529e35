"""The tables with more seeds: every row trained, measured and compared by the ordinary commands."""

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_jobs import (
    ABLATIONS,
    BANDS,
    CONFIGS,
    SHARES,
    SMALL_ABLATION,
    SMALL_SHARE,
    SUBJECTS,
    Ablation,
    Row,
    Share,
    rows_of,
    shared_rows,
)
from l2rec.run import settings_of


@dataclass(frozen=True)
class Tables:
    """What is trained.

    Attributes:
        names: Folders of `configs/`, or names of `shares` and `ablations`.
        seeds: As `l2rec train --seeds` takes them.
        device: As `--device` takes it.
        runs: Folder of the run folders.
        changes: Settings that are laid over every config of a learner in a folder, as `--set` takes them.
        only: Configs of a folder by name; all where empty.
        shares: Tables on a share of the users.
        ablations: Tables of `l2rec ablate`.
        subjects: Rows that are tested against all others of their table.
        bands: The row of a table that is tested on new and tail items, by table.
    """

    names: tuple[str, ...]
    seeds: str
    device: str
    runs: Path
    changes: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    shares: dict[str, Share] = field(default_factory=lambda: SHARES)
    ablations: dict[str, Ablation] = field(default_factory=lambda: ABLATIONS)
    subjects: tuple[str, ...] = SUBJECTS
    bands: dict[str, str] = field(default_factory=lambda: BANDS)


def small(device: str, runs: Path) -> Tables:
    """Returns one epoch of a table of each kind on the bundled sample, with two seeds."""
    changes = ("training.epochs=1", "training.evaluate_every=1")
    shares, ablations = {"demo-share-50": SMALL_SHARE}, {"demo-ablation": SMALL_ABLATION}
    names, only = ("demo", *shares, *ablations), ("popularity", "sasrec")
    return Tables(names, "0,1", device, runs, changes, only, shares, ablations)


def measure(asked: Tables) -> dict[str, Any]:
    """Returns, for each table, what `l2rec compare --json` or `l2rec ablate --json` gives, and what failed.

    A table with a row of `subjects` has its comparison against every other, and one of `bands` that on new and tail
    items.

    A run that is there already goes on or is taken as it is, so the same call after a kill goes on. All that has to be
    there is looked for before anything is trained.
    """
    rows = {name: _rows(asked, name) for name in asked.names if name not in asked.ablations}
    return {name: _table(asked, name, rows[name]) if name in rows else _ablation(asked, name) for name in asked.names}


def _rows(asked: Tables, name: str) -> list[Row]:
    if name in asked.shares:
        return shared_rows(asked.shares[name])
    return rows_of(name, asked.only, asked.changes)


def _table(asked: Tables, name: str, rows: list[Row]) -> dict[str, Any]:
    done, failed, commands = [], {}, []
    for row in rows:
        label = row.config.stem
        run = asked.runs / name / label
        begun = time.perf_counter()
        for words in _of_row(asked, name, row):
            commands.append(shlex.join(["l2rec", *words]))
            code, _ = _said(words)
            if code:
                failed[label] = f"l2rec {words[0]} ended with {code}"
                break
        else:
            done.append(str(run))
        print(f"{label}: {failed.get(label, 'done')}, {time.perf_counter() - begun:.0f} s", flush=True)
    comparisons = {}
    for subject in (None, *(subject for subject in asked.subjects if str(asked.runs / name / subject) in done)):
        page = asked.runs / name / (f"against-{subject}.html" if subject else "report.html")
        words = ["compare", *done, "--labelled", *(["--against", subject] if subject else []), "--out", str(page)]
        commands.append(shlex.join(["l2rec", *words, "--json"]))
        code, told = _said([*words, "--json"]) if done else (1, "")
        comparisons[subject] = None if code else json.loads(told)
        if code:
            failed["compare"] = f"l2rec compare ended with {code}" if done else "no run to compare"
    found = {"comparison": comparisons.pop(None), "against": comparisons}
    tested = asked.bands.get(name, "")
    if str(asked.runs / name / tested) in done:
        code, found["bands"] = _bands(asked.runs / name, rows[0], tested, commands)
        if code:
            failed["bands"] = f"bench/bands.py ended with {code}"
    return found | {"failed": failed, "commands": commands}


def _bands(runs: Path, row: Row, subject: str, commands: list[str]) -> tuple[int, Any]:
    """The exit code of `bench/bands.py` and what it finds; None where it failed."""
    out = runs / "bands.json"
    data = settings_of(row.config).data
    words = [str(Path(__file__).with_name("bands.py")), str(runs), "--data", data, "--against", subject]
    commands.append(shlex.join(["python", *words, "--out", str(out)]))
    code = subprocess.run([sys.executable, *words, "--out", str(out)], check=False).returncode
    return code, None if code else json.loads(out.read_text(encoding="utf-8"))


def _of_row(asked: Tables, name: str, row: Row) -> list[list[str]]:
    """The commands of a row: trained, or given the weights of another, then measured."""
    run = str(asked.runs / name / row.config.stem)
    changes = [word for change in row.changes for word in ("--set", change)]
    source = ["--from", str(asked.runs / name / row.source)] if row.source else []
    place = ["--out", run, "--device", asked.device]
    train = ["train", str(row.config), "--seeds", asked.seeds, *place, "--resume", *source, *changes]
    return [train, ["evaluate", run, "--device", asked.device]]


def _ablation(asked: Tables, name: str) -> dict[str, Any]:
    ablation = asked.ablations[name]
    words = ["ablate", str(CONFIGS / ablation.config), "--seeds", asked.seeds, "--out", str(asked.runs / name)]
    words += [word for change in ablation.changes for word in ("--set", change)]
    words += [*(["--only", ablation.only] if ablation.only else []), "--device", asked.device, "--json"]
    code, told = _said(words)
    failed = {"ablate": f"l2rec ablate ended with {code}"} if code else {}
    return {
        "ablation": None if code else json.loads(told),
        "failed": failed,
        "commands": [shlex.join(["l2rec", *words])],
    }


def _said(words: list[str]) -> tuple[int, str]:
    """Runs a command, shows what it says on stderr, and returns its exit code and its stdout."""
    print("$", shlex.join(["l2rec", *words]), flush=True)
    done = subprocess.run([sys.executable, "-m", "l2rec", *words], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout
