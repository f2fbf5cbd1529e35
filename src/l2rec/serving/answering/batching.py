"""Micro-batching: one thread owns the model, takes what is waiting, and answers it together."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from l2rec.errors import L2RecError

A = TypeVar("A")
"""What is asked."""
R = TypeVar("R")
"""What is answered."""
T = TypeVar("T")


class BusyError(L2RecError):
    """More is waiting than may wait; the same question may be answered a little later."""


class ComingError(L2RecError):
    """The model is not alive yet."""


class LateError(L2RecError):
    """The deadline passed before the model came to the question."""


class StoppedError(L2RecError):
    """The thread takes no more questions."""


@dataclass(frozen=True)
class Waiting(Generic[A]):
    """A question with where its answer goes, and until when it is wanted (of `time.monotonic`)."""

    asked: A
    until: float
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Batcher(Generic[A, R]):
    """Answers questions in batches on one thread, without waiting for a batch to fill.

    While a batch is computed the next one gathers, so that batches are as large as the load makes them.

    Attributes:
        sizes: Called with the size of every batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[A]], Sequence[R]],
        *,
        largest: int = 32,
        most: int = 256,
        errands: int = 8,
        sizes: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Starts the thread.

        Args:
            answer: Answers a batch, in its order; called on the thread alone.
            largest: Questions in a batch at most.
            most: Questions that may wait; one more is refused.
            errands: Errands that may wait; one more is refused.
            sizes: See the class.
        """
        self.sizes = sizes
        self._answer, self._largest, self._most, self._most_errands = answer, largest, most, errands
        self._waiting: deque[Waiting[A]] = deque()
        self._between: deque[Waiting[Callable[[], Any]]] = deque()
        self._errands: deque[Waiting[Callable[[], Any]]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._errand: Waiting[Callable[[], Any]] | None = None
        self._thread = threading.Thread(target=self._work, name="l2rec-model", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many questions wait."""
        return len(self._waiting)

    async def ask(self, asked: A, seconds: float) -> R:
        """Returns the answer to a question.

        Raises:
            BusyError: too many are waiting.
            LateError: it was not answered within `seconds`; if its batch had not begun, it is never computed.
            StoppedError: `stop` was called before.
        """
        loop = asyncio.get_running_loop()
        one = Waiting(asked, time.monotonic() + seconds, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise StoppedError("the model has been replaced. Ask again.")
            if len(self._waiting) >= self._most:
                raise BusyError(
                    f"{len(self._waiting)} questions are waiting: no more than {self._most} may. Ask later."
                )
            self._waiting.append(one)
            self._changed.notify()
        try:
            async with asyncio.timeout(seconds):
                answered: R = await one.future
                return answered
        except TimeoutError:
            raise LateError(f"no answer within {seconds * 1000:.0f} ms. Allow more with deadline_ms.") from None

    async def between(self, work: Callable[[], T]) -> T:
        """Runs something on the thread before the next batch and returns what it returned.

        Nothing bounds how much may wait and all of it goes first: what a caller asks for is an `errand`.

        Raises:
            StoppedError: `stop` was called before.
        """
        loop = asyncio.get_running_loop()
        one = Waiting[Callable[[], Any]](work, 0.0, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise StoppedError("the model has been replaced. Ask again.")
            self._between.append(one)
            self._changed.notify()
        done: T = await one.future
        return done

    async def errand(self, work: Callable[[], T], seconds: float) -> T:
        """Runs something on the thread behind a batch, one such between two batches, and returns what it returned.

        Raises:
            BusyError: too many are waiting.
            LateError: it was not begun within `seconds`; it never is then, nor is one whose caller has gone. Or it was
                begun, and gave up in `refuse_late`.
            StoppedError: `stop` was called before.
        """
        loop = asyncio.get_running_loop()
        one = Waiting[Callable[[], Any]](work, time.monotonic() + seconds, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise StoppedError("the model has been replaced. Ask again.")
            if len(self._errands) >= self._most_errands:
                raise BusyError(
                    f"{len(self._errands)} errands are waiting: no more than {self._most_errands} may. Ask later."
                )
            self._errands.append(one)
            self._changed.notify()
        try:
            await asyncio.wait([one.future], timeout=seconds)
            if not one.future.done() and self._left(one):
                raise LateError(f"not begun within {seconds * 1000:.0f} ms. Allow more with deadline_ms.")
            done: T = await one.future
            return done
        except asyncio.CancelledError:
            self._left(one)
            one.future.cancel()
            raise

    def refuse_late(self) -> None:
        """Called by an errand between its steps, so that one that nobody waits for does not hold the thread.

        Raises:
            LateError: its deadline has passed, or whoever asked has gone.
        """
        one = self._errand
        if one is not None and (one.until <= time.monotonic() or one.future.cancelled()):
            raise LateError("not done before its deadline. Allow more with deadline_ms.")

    def _left(self, one: Waiting[Callable[[], Any]]) -> bool:
        """Takes an errand that was not begun out of those that wait; returns whether it was there."""
        with self._changed:
            found = one in self._errands
            if found:
                self._errands.remove(one)
            return found

    def stop(self) -> None:
        """Takes no more questions; those that wait are answered, then the thread ends. Returns at once."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, seconds: float | None = None) -> None:
        """Waits until the thread has ended, `seconds` at most."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._between or self._errands or self._stopping):
                    self._changed.wait()
                if not (self._waiting or self._between or self._errands):
                    return
                first = list(self._between)
                self._between.clear()
                batch = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
            for one in first:
                _tell(one.loop, [(one.future, *_tried(one.asked))])
            self._settle(batch)
            self._run_an_errand()

    def _run_an_errand(self) -> None:
        """Runs the oldest errand, unless changes came in the meantime: these go first."""
        with self._changed:
            if not self._errands or self._between:
                return
            one = self._errands.popleft()
        if one.until > time.monotonic() and not one.future.cancelled():
            self._errand = one
            _tell(one.loop, [(one.future, *_tried(one.asked))])
            self._errand = None
        else:
            error = LateError("not begun before its deadline. Allow more with deadline_ms.")
            _tell(one.loop, [(one.future, None, error)])

    def _settle(self, batch: Sequence[Waiting[A]]) -> None:
        """Answers those of a batch that are still wanted."""
        now = time.monotonic()
        wanted = [one for one in batch if one.until > now and not one.future.cancelled()]
        if not wanted:
            return
        self.sizes(len(wanted))
        answers, error = _tried(lambda: self._answer([one.asked for one in wanted]))
        told = [(one, None if error else answers[place]) for place, one in enumerate(wanted)]
        for loop in {one.loop for one in wanted}:
            _tell(loop, [(one.future, answer, error) for one, answer in told if one.loop is loop])


def _tried(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What came of it: a mistake in one batch must not end the thread, its askers are told."""
    try:
        return work(), None
    except Exception as error:
        return None, error


def _tell(
    loop: asyncio.AbstractEventLoop, answers: Sequence[tuple["asyncio.Future[Any]", Any, Exception | None]]
) -> None:
    def told() -> None:
        for future, answer, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(told)
