"""glibc is told to keep freed memory, and nothing is done where there is another C library."""

import ctypes
import platform
import sys

import pytest

from l2rec.training.memory import keep_freed_memory


def test_glibc_listens() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
