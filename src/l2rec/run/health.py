"""What of this machine can be used: one finding a part, each with its remedy where something is missing."""

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import torch

from l2rec.config import cache_folder
from l2rec.errors import L2RecError
from l2rec.nn import arithmetic, backbone

OLDEST_PYTHON = (3, 11)
LEAST_DISK = 2 * 1024**3


class Finding(NamedTuple):
    """One line of the examination.

    Attributes:
        part: What was looked at.
        state: `ok`; `optional` where it can be done without; `missing` where it cannot.
        found: What was found, and the remedy.
    """

    part: str
    state: str
    found: str


def examined() -> list[Finding]:
    """Returns what was found of every part."""
    return [_python(), *_torch(), _backbone(), *_extras(), _disk(), _cache()]


def _python() -> Finding:
    new = sys.version_info[:2] >= OLDEST_PYTHON
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "ok", found) if new else Finding("python", "missing", f"{found}. Install Python 3.11.")


def _torch() -> list[Finding]:
    findings = [Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory / 1024**3
            found = f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB"
            findings.append(Finding(f"cuda:{number}", "ok", found))
    else:
        findings.append(Finding("cuda", "optional", "none; everything runs on the CPU"))
    fast = arithmetic.has_bf16(arithmetic.best_device().type)
    slow = "not in hardware; training uses fp32 by itself"
    return [*findings, Finding("bf16", "ok", "in hardware") if fast else Finding("bf16", "optional", slow)]


def _backbone() -> Finding:
    try:
        digest = backbone.fingerprint(backbone.MINILM)
    except L2RecError as error:
        return Finding(backbone.MINILM, "optional", str(error))
    return Finding(backbone.MINILM, "ok", f"sha256 {digest[:12]}, as published")


def _extras() -> list[Finding]:
    """One finding for every extra that the package's metadata names."""
    wanted: dict[str, list[str]] = {}
    for line in requires("l2rec") or []:
        requirement, _, marker = line.partition(";")
        if "extra ==" in marker:
            extra = marker.split("extra ==")[1].strip(" '\")")
            wanted.setdefault(extra, []).append(_name(requirement))
    findings = []
    for extra, packages in wanted.items():
        absent = [package for package in packages if not _installed(package)]
        remedy = f'without {", ".join(absent)}. Run: pip install "l2rec[{extra}]"'
        state = "optional" if absent else "ok"
        findings.append(Finding(f"extra {extra}", state, remedy if absent else "installed"))
    return findings


def _name(requirement: str) -> str:
    for end in "[<>=!~ ":
        requirement = requirement.partition(end)[0]
    return requirement


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / 1024**3:.1f} GiB free in {Path.cwd()}"
    return Finding("disk", "ok" if free >= LEAST_DISK else "optional", found)


def _cache() -> Finding:
    folder = cache_folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    return Finding("cache", "ok", f"{folder}, {size / 1024**2:.0f} MiB; $L2REC_CACHE moves it")
