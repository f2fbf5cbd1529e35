"""What a server freed does not stay with it."""

import asyncio
import ctypes
import sys

import psutil
import pytest
import torch

from l2rec.serving import trimming
from l2rec.serving.trimming import keep_trim, trim


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is asked")
def test_freed_blocks_between_kept_ones_are_given_back() -> None:
    process = psutil.Process()
    blocks = [torch.ones(15_000) for _ in range(8_000)]  # 60 KiB each, below what the system hands out by itself
    kept = blocks[::40]
    full = process.memory_info().rss
    del blocks
    assert trim()
    assert process.memory_info().rss < full - 300 * 2**20
    assert all(float(block.sum()) == 15_000 for block in kept)


def test_it_goes_on_until_it_is_stopped_and_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    async def watched() -> None:
        task = asyncio.create_task(keep_trim(0.001))
        while len(calls) < 3:
            await asyncio.sleep(0.001)
        task.cancel()

    monkeypatch.setattr(trimming, "trim", lambda: not calls.append(1))  # type: ignore[func-returns-value]
    asyncio.run(asyncio.wait_for(watched(), 10))


def test_another_c_library_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: object) -> ctypes.CDLL:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", nowhere)
    assert not trim()
    asyncio.run(asyncio.wait_for(keep_trim(), 10))
