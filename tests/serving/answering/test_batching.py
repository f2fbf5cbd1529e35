"""The thread that owns the model: batches as large as the load, a bounded queue, deadlines, a graceful end."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from l2rec.serving.answering.batching import Batcher, BusyError, LateError, StoppedError


class Slow:
    """Doubles numbers when its gate is open; knows its batches and threads."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.told: list[str] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(list(numbers))
        self.told += map(str, numbers)
        self.threads.add(threading.get_ident())
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


@pytest.fixture
def slow() -> Slow:
    return Slow()


async def entered(slow: Slow) -> None:
    await asyncio.to_thread(slow.entered.wait, 10.0)


def test_what_waits_is_answered_together_and_one_alone_at_once() -> None:
    async def story() -> None:
        slow = Slow()
        batcher = Batcher(slow, largest=4)
        first = asyncio.create_task(batcher.ask(0, 10.0))
        await entered(slow)
        rest = [asyncio.create_task(batcher.ask(n, 10.0)) for n in range(1, 7)]
        await asyncio.sleep(0)
        assert len(batcher) == 6
        slow.gate.set()
        assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10, 12]
        assert slow.batches == [[0], [1, 2, 3, 4], [5, 6]]
        assert len(slow.threads) == 1
        batcher.stop()
        batcher.join(10.0)

    asyncio.run(story())


def test_beyond_the_bound_a_question_is_refused() -> None:
    async def story() -> None:
        slow = Slow()
        batcher = Batcher(slow, most=2)
        tasks = [asyncio.create_task(batcher.ask(0, 10.0))]
        await entered(slow)
        tasks += [asyncio.create_task(batcher.ask(n, 10.0)) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match=r"2 questions are waiting: no more than 2 may\. Ask later"):
            await batcher.ask(3, 10.0)
        slow.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4]
        batcher.stop()

    asyncio.run(story())


def test_a_question_past_its_deadline_is_never_computed() -> None:
    async def story() -> None:
        slow = Slow()
        batcher = Batcher(slow)
        first = asyncio.create_task(batcher.ask(0, 10.0))
        await entered(slow)
        started = time.monotonic()
        with pytest.raises(LateError, match=r"no answer within 50 ms\. Allow more with deadline_ms"):
            await batcher.ask(1, 0.05)
        assert time.monotonic() - started < 5
        slow.gate.set()
        assert await first == 0
        assert await batcher.ask(2, 10.0) == 4
        assert slow.batches == [[0], [2]]
        batcher.stop()

    asyncio.run(story())


def test_a_mistake_in_one_batch_is_told_and_the_next_is_answered() -> None:
    async def story() -> None:
        slow = Slow()
        slow.gate.set()
        batcher = Batcher(slow)
        with pytest.raises(ValueError, match="thirteen"):
            await batcher.ask(13, 10.0)
        assert await batcher.ask(1, 10.0) == 2
        batcher.stop()

    asyncio.run(story())


def test_errands_run_on_the_same_thread_between_batches() -> None:
    async def story() -> None:
        slow = Slow()
        sizes: list[int] = []
        batcher = Batcher(slow, sizes=sizes.append)
        first = asyncio.create_task(batcher.ask(0, 10.0))
        await entered(slow)
        errand = asyncio.create_task(batcher.between(threading.get_ident))
        await asyncio.sleep(0.05)
        assert not errand.done()
        slow.gate.set()
        assert {await errand} == slow.threads
        assert await first == 0
        with pytest.raises(ZeroDivisionError):
            await batcher.between(lambda: 1 // 0)
        assert sizes == [1]
        batcher.stop()

    asyncio.run(story())


def test_errands_are_bounded_and_come_one_behind_each_batch(slow: Slow) -> None:
    async def story() -> None:
        order: list[str] = []
        slow.told = order
        batcher = Batcher(slow, largest=1, errands=3)
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(batcher.ask(0, 10.0))]
        await entered(slow)
        tasks += [asyncio.create_task(batcher.errand(lambda: order.append("errand"), 10.0)) for _ in range(3)]
        tasks += [asyncio.create_task(batcher.ask(n, 10.0)) for n in (1, 2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match=r"3 errands are waiting: no more than 3 may\. Ask later"):
            await batcher.errand(lambda: order.append("one too many"), 10.0)
        tasks += [asyncio.create_task(batcher.between(lambda: order.append("change"))) for _ in range(9)]
        await asyncio.sleep(0)
        slow.gate.set()
        await asyncio.gather(*tasks)
        assert order == ["0", *["change"] * 9, "1", "errand", "2", "errand", "3", "errand"]
        batcher.stop()

    asyncio.run(story())


def test_an_errand_that_is_late_or_whose_caller_has_gone_is_not_run_and_leaves_its_place(slow: Slow) -> None:
    async def story() -> None:
        ran: list[int] = []
        batcher = Batcher(slow, errands=1)
        first = asyncio.create_task(batcher.ask(0, 10.0))
        await entered(slow)
        with pytest.raises(LateError, match=r"not begun within 50 ms\. Allow more with deadline_ms"):
            await batcher.errand(lambda: ran.append(1), 0.05)
        gone = asyncio.create_task(batcher.errand(lambda: ran.append(2), 10.0))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        kept = asyncio.create_task(batcher.errand(threading.get_ident, 10.0))
        await asyncio.sleep(0.01)
        slow.gate.set()
        assert await first == 0
        assert {await kept} == slow.threads
        with pytest.raises(ZeroDivisionError):
            await batcher.errand(lambda: 1 // 0, 10.0)
        assert ran == []
        batcher.stop()
        with pytest.raises(StoppedError, match="the model has been replaced"):
            await batcher.errand(lambda: ran.append(3), 10.0)

    asyncio.run(story())


def test_an_errand_that_was_begun_is_waited_for_beyond_its_deadline(slow: Slow) -> None:
    async def story() -> None:
        batcher = Batcher(slow)
        slow.gate.set()
        assert await batcher.errand(lambda: time.sleep(0.3) or "done", 0.1) == "done"
        batcher.stop()

    asyncio.run(story())


def test_an_errand_that_asks_is_stopped_past_its_deadline_or_without_its_caller_and_the_next_is_not(slow: Slow) -> None:
    async def story() -> None:
        batcher = Batcher(slow)
        slow.gate.set()
        steps: list[int] = []
        begun = threading.Event()

        def long() -> None:
            for step in range(500):
                batcher.refuse_late()
                steps.append(step)
                begun.set()
                time.sleep(0.01)

        with pytest.raises(LateError, match=r"not done before its deadline\. Allow more with deadline_ms"):
            await batcher.errand(long, 0.1)
        assert 1 <= len(steps) <= 11
        begun.clear()
        gone = asyncio.create_task(batcher.errand(long, 30.0))
        await asyncio.to_thread(begun.wait, 10.0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await batcher.ask(4, 10.0) == 8
        assert len(steps) < 400
        assert await batcher.errand(lambda: batcher.refuse_late() or "done", 10.0) == "done"
        await batcher.between(batcher.refuse_late)
        batcher.stop()

    asyncio.run(story())


def test_a_thread_that_finds_an_errand_past_its_deadline_does_not_run_it(slow: Slow) -> None:
    async def story() -> None:
        ran: list[int] = []
        batcher = Batcher(slow)
        first = asyncio.create_task(batcher.ask(0, 10.0))
        await entered(slow)
        late = asyncio.create_task(batcher.errand(lambda: ran.append(1), 0.05))
        await asyncio.sleep(0)
        time.sleep(0.1)  # the loop is held up: only the thread can tell
        slow.gate.set()
        time.sleep(0.2)
        with pytest.raises(LateError, match="not begun"):
            await late
        assert (await first, ran) == (0, [])
        batcher.stop()

    asyncio.run(story())


def test_a_stop_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def story() -> None:
        slow = Slow()
        batcher = Batcher(slow, largest=1)
        tasks = [asyncio.create_task(batcher.ask(0, 10.0))]
        await entered(slow)
        tasks += [asyncio.create_task(batcher.ask(n, 10.0)) for n in (1, 2)]
        await asyncio.sleep(0)
        batcher.stop()
        with pytest.raises(StoppedError, match="the model has been replaced"):
            await batcher.ask(3, 10.0)
        with pytest.raises(StoppedError, match="the model has been replaced"):
            await batcher.between(lambda: 1)
        slow.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4]
        await asyncio.to_thread(batcher.join, 10.0)
        assert slow.batches == [[0], [1], [2]]

    asyncio.run(story())
