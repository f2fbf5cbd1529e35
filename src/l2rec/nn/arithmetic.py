"""The arithmetic that a device is quick in: bfloat16 where it has units for it, single precision elsewhere."""

from functools import lru_cache
from pathlib import Path

import torch

_CPU = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def precision_of(asked: str, kind: str | None = None) -> str:
    """Returns the `precision` of a training, `auto` told as what is used.

    Args:
        asked: `auto`, `bf16` or `fp32`.
        kind: Of the device, e.g. `cpu`; the best there is where None.
    """
    return _settled(asked, ("bf16", "fp32"), kind)


def dtype_of(asked: str, kind: str | None = None) -> str:
    """Returns the `dtype` of a model, `auto` told as what is used.

    Args:
        asked: `auto`, `bfloat16` or `float32`.
        kind: Of the device, e.g. `cpu`; the best there is where None.
    """
    return _settled(asked, ("bfloat16", "float32"), kind)


def torch_dtype(settled: str) -> torch.dtype:
    """Returns what a settled `dtype` is called in torch; single precision for what is not `bfloat16`."""
    return torch.bfloat16 if settled == "bfloat16" else torch.float32


def _settled(asked: str, names: tuple[str, str], kind: str | None) -> str:
    if asked != "auto":
        return asked
    return names[0] if has_bf16(kind or best_device().type) else names[1]


@lru_cache
def has_bf16(kind: str) -> bool:
    """Returns whether a kind of device computes in bfloat16 in hardware; what is neither CPU nor CUDA is taken to."""
    if kind == "cpu":
        return _cpu_has_bf16()
    return kind != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bf16() -> bool:
    try:
        flags = _CPU.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return not _BF16_FLAGS.isdisjoint(flags.split())


def best_device() -> torch.device:
    """Returns the machine's accelerator, or its CPU where it has none."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
