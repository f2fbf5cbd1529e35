"""A wish to stop is heard once, waits for a good moment, and the second one is obeyed at once."""

import os
import signal
import threading

import pytest

from l2rec.training.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_kept_for_later(number: signal.Signals) -> None:
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked


def test_the_second_one_ends_what_is_under_way() -> None:
    with Interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_than_the_first_trains_without_hearing() -> None:
    found = []

    def train() -> None:
        with Interrupt() as interrupt:
            found.append(interrupt.asked)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [False]
