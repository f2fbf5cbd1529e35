"""Freed memory is kept: a block that is asked for again comes without new pages."""

import subprocess
import sys

import pytest

from l2rec.training.memory import keep_freed_memory

PROGRAM = """
import resource, sys, torch
from l2rec.training.memory import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else False
torch.ones(40 << 20, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(40 << 20, dtype=torch.uint8)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> tuple[bool, int]:
    told = subprocess.run([sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True).stdout
    kept, count = told.split()
    return bool(int(kept)), int(count)


def test_a_block_that_is_asked_for_again_costs_no_page_faults() -> None:
    kept, few = faults("keep")
    _, many = faults("default")
    if kept:
        assert few * 10 < many
    else:  # another C library than glibc: nothing is done and nothing is lost
        assert few <= many * 1.5


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
