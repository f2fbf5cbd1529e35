"""Freed memory given back once a second, so that a server is as large as what it holds."""

import asyncio
import ctypes
import sys

PAUSE = 1.0
"""Seconds between two times."""


def trim() -> bool:
    """Has glibc give back what is free, and returns whether it was asked; elsewhere nothing is done.

    Between the long-lived prefixes of users lie the blocks of every batch. Left alone, the heap grew by a fifth over
    some thousand questions that it could have been without; a call takes 10 to 30 ms, without the interpreter's lock.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return False
    malloc_trim(0)
    return True


async def keep_trim(pause: float = PAUSE) -> None:
    """Trims for ever, each time in a thread; ends at once where there is nothing to ask.

    Args:
        pause: Seconds between two times.
    """
    while await asyncio.to_thread(trim):
        await asyncio.sleep(pause)
