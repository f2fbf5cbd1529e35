"""Rivals measured in turns: each library in an environment of its own under `.bench/`, each turn a process of its own.

Programs that use this run as workers in those environments too, so it needs nothing beside Python.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Taken = dict[str, float]
"""What a turn took, by its kind, such as `wall` and `cpu`."""


def environment(name: str, pins: Sequence[str]) -> str:
    """Returns the Python of an environment, made anew where it does not hold `pins`; pip's failures are raised."""
    folder = ROOT / ".bench" / name
    python, done = folder / "bin" / "python", folder / "installed.json"
    if not done.exists() or json.loads(done.read_text()) != list(pins):
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True, stdout=sys.stderr)
        done.write_text(json.dumps(list(pins)))
    return str(python)


def taken_by(command: Sequence[str], folder: Path | None = None, more: Mapping[str, str] | None = None) -> Taken | str:
    """Returns what a process says in its last line that it took, or the last line of what went wrong.

    Args:
        command: Program and arguments.
        folder: Where it runs; here where None.
        more: What stands in its environment beside what stands in ours.
    """
    env = {**os.environ, **(more or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    taken: Taken = json.loads(done.stdout.strip().splitlines()[-1])
    return taken


def in_turns(
    names: Sequence[str], rounds: int, turn: Callable[[str], Taken | str]
) -> tuple[dict[str, list[Taken]], dict[str, str]]:
    """Returns everybody's turns, and what went wrong with those that failed, which get no further turn."""
    found: dict[str, list[Taken]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    for number in range(rounds):
        for name in [name for name in names if name not in failed]:
            taken = turn(name)
            print(f"round {number + 1}: {name}: {taken}", file=sys.stderr)
            if isinstance(taken, str):
                failed[name] = taken
            else:
                found[name].append(taken)
    return found, failed
