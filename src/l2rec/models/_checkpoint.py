"""Weights on disk: one safetensors file, written at once or not at all, that knows its own checksum."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from l2rec.errors import ModelError, RunError
from l2rec.models._base import Recommender

WEIGHTS = "weights.safetensors"
_CHECKSUM = "sha256"


def save(model: Recommender, folder: Path) -> Path:
    """Writes what `model` learnt or counted to `folder/weights.safetensors` and returns that path.

    Raises:
        ModelError: the state holds a sparse tensor.
    """
    return write_tensors(model.state(), folder / WEIGHTS)


def load(model: Recommender, folder: Path) -> None:
    """Gives `model` what `save` wrote.

    Raises:
        RunError: the file is missing, half written or changed, or does not fit the model.
    """
    model.load_state(read_tensors(folder / WEIGHTS))


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> Path:
    """Writes tensors with their checksum; a reader sees the old file or the new one, never half of one.

    The same tensors always give the same bytes. Folders on the way are made.

    Raises:
        ModelError: a tensor is sparse.
    """
    plain = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(to_bytes(plain, metadata={_CHECKSUM: _checksum(plain)}))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp's 0600 would lock out the server that reads the run
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a file that `write_tensors` wrote, on the CPU.

    Raises:
        RunError: the file is missing, half written, or changed since it was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            written = (file.metadata() or {}).get(_CHECKSUM, "")
    except FileNotFoundError:
        raise RunError(f"{path}: no such file. Train the run first, or pass the folder of one that was.") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: not a whole safetensors file: {error}. Train again, or restore a copy.") from None
    found = _checksum(tensors)
    if found != written:
        stated = f"{written[:12]}..." if written else "none"
        raise RunError(
            f"{path}: checksum {found[:12]}..., the file states {stated}: it was changed after it was "
            "written. Train again, or restore a copy."
        )
    return tensors


def _plain(name: str, tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided:
        raise ModelError(f"{name}: {tensor.layout}: only dense tensors are stored. Keep its crow, col and values.")
    return tensor.detach().cpu().contiguous().clone()  # safetensors refuses tensors that share memory


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 over name, type, shape and bytes of every tensor, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
