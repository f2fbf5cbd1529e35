"""What is written down before the first step: versions, commit, data, protocol and the size of the model."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from l2rec.config import RunSettings
from l2rec.data.prepared import Prepared
from l2rec.errors import SettingError
from l2rec.evaluation.protocol import protocol_name
from l2rec.models import Recommender
from l2rec.nn.arithmetic import best_device
from l2rec.nn.backbone import fingerprint
from l2rec.serving.manifest import FORMAT, Manifest

PACKAGES = ("l2rec", "torch", "transformers", "accelerate", "numpy", "polars", "scipy", "safetensors")


def manifest_of(settings: RunSettings, model: Recommender, prepared: Prepared, device: torch.device) -> Manifest:
    """Returns the manifest of a run that is about to begin."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Manifest(
        format=FORMAT,
        model=settings.model["name"],
        protocol=protocol_name(prepared.split_name, settings.evaluation),
        data=str(prepared.folder.resolve()),
        fingerprint=prepared.manifest.fingerprint,
        attributes=prepared.train.attributes.shape[1],
        seed=settings.seed,
        parameters=sum(size for size, _ in sizes),
        trainable=sum(size for size, moves in sizes if moves),
        backbone=fingerprint(settings.model["backbone"]) if "backbone" in settings.model else None,
        settings=settings.model_dump(mode="json"),
        versions=versions(),
        device=device_name(device),
        commit=commit(Path(__file__).parent),
        started=now(),
    )


def is_first_process() -> bool:
    """Returns whether this process is the one of its group, as `torchrun` starts them, that writes the folder."""
    return os.environ.get("RANK", "0") == "0"


def now() -> str:
    """Returns the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Returns the version of Python and of every package that can move a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit(folder: Path) -> str | None:
    """Returns the commit of the git working tree around `folder`, with `+` where files had changed, or None."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def device_of(name: str | None) -> torch.device:
    """Returns the device of that name, or the best there is where no name is given.

    Raises:
        SettingError: there is no such device.
    """
    if name is None:
        return best_device()
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise SettingError(f"--device {name}: not usable here. Pass cpu, or see `l2rec doctor` for others.") from None
    return device


def device_name(device: torch.device) -> str:
    """Returns the device with its maker's name where it has one."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
