"""Automatic arithmetic is bfloat16 where the hardware has it, single precision elsewhere, and what is named stays."""

from pathlib import Path

import pytest
import torch

from l2rec.nn import arithmetic


@pytest.mark.parametrize(("has", "precision", "dtype"), [(True, "bf16", "bfloat16"), (False, "fp32", "float32")])
def test_automatic_is_what_the_device_has(
    has: bool, precision: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(arithmetic, "has_bf16", lambda kind: asked.append(kind) or has)
    assert arithmetic.precision_of("auto", "cpu") == precision
    assert arithmetic.dtype_of("auto", "mps") == dtype
    arithmetic.dtype_of("auto")
    assert asked == ["cpu", "mps", arithmetic.best_device().type], "the best device where none is named"


@pytest.mark.parametrize("has", [True, False])
def test_what_is_named_stays(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "has_bf16", lambda _: has)
    assert [arithmetic.precision_of(name) for name in ("bf16", "fp32")] == ["bf16", "fp32"]
    assert [arithmetic.dtype_of(name) for name in ("bfloat16", "float32")] == ["bfloat16", "float32"]
    assert [arithmetic.torch_dtype(name) for name in ("bfloat16", "float32")] == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu avx2 avx512f avx512_bf16", True),
        ("flags : avx512f amx_bf16 amx_tile", True),
        ("Features : fp asimd bf16 i8mm", True),
        ("flags : fpu avx2 fma", False),
        ("flags : avx2 no_bf16_here", False),
    ],
)
def test_a_cpu_says_it_in_its_flags(flags: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(arithmetic, "_CPU", tmp_path / "cpuinfo")
    assert arithmetic.has_bf16.__wrapped__("cpu") is has


def test_a_cpu_that_says_nothing_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_CPU", tmp_path / "nothing")
    assert not arithmetic.has_bf16.__wrapped__("cpu")


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_is_asked_for_units_and_not_for_emulation(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or has)
    assert arithmetic.has_bf16.__wrapped__("cuda") is has
    assert arithmetic.has_bf16.__wrapped__("mps"), "not asked"


def test_the_machine_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = arithmetic.has_bf16("cpu")
    (tmp_path / "cpuinfo").write_text("" if before else "bf16")
    monkeypatch.setattr(arithmetic, "_CPU", tmp_path / "cpuinfo")
    assert arithmetic.has_bf16("cpu") is before
