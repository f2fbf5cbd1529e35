"""Weights on disk come back whole or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from l2rec.errors import ModelError, RunError
from l2rec.models import Counter, _checkpoint, find
from tests import worlds

TENSORS = {
    "half": torch.randn(3, 4).bfloat16(),
    "whole": torch.arange(5),
    "truth": torch.tensor([True, False]),
    "number": torch.tensor(0.5),
    "none": torch.zeros(0, 7),
}


def counted(name: str, size: int = 30) -> Counter:
    found = find(name)
    model = found.model(found.config(), worlds.tiny_items(size))
    assert isinstance(model, Counter)
    model.count(worlds.tiny_histories(items=size))
    return model


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    back = _checkpoint.read_tensors(_checkpoint.write_tensors(TENSORS, tmp_path / "new" / "weights.safetensors"))
    assert set(back) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


def test_views_of_one_memory_are_stored_apart(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    path = _checkpoint.write_tensors({"a": base, "b": base.T, "c": base[0]}, tmp_path / "w")
    assert torch.equal(_checkpoint.read_tensors(path)["b"], base.T)


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    first = _checkpoint.write_tensors(TENSORS, tmp_path / "first").read_bytes()
    reversed_order = dict(reversed(TENSORS.items()))
    assert _checkpoint.write_tensors(reversed_order, tmp_path / "second").read_bytes() == first


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"weights\.safetensors: no such file\. Train the run first"):
        _checkpoint.load(counted("popularity"), tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_half_a_file_is_refused(tmp_path: Path, share: float) -> None:
    path = _checkpoint.save(counted("transition"), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match=r"weights\.safetensors: not a whole safetensors file: .* Train again"):
        _checkpoint.load(counted("transition"), tmp_path)


def test_one_changed_bit_is_refused(tmp_path: Path) -> None:
    path = _checkpoint.save(counted("popularity"), tmp_path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"checksum \w{12}\.\.\., the file states \w{12}\.\.\.: it was changed"):
        _checkpoint.load(counted("popularity"), tmp_path)


def test_a_renamed_tensor_is_refused(tmp_path: Path) -> None:
    path = _checkpoint.save(counted("popularity"), tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"events"', b'"evennt"'))
    with pytest.raises(RunError, match="it was changed after it was written"):
        _checkpoint.read_tensors(path)


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    save_file({"events": torch.zeros(30)}, tmp_path / _checkpoint.WEIGHTS)
    with pytest.raises(RunError, match="the file states none"):
        _checkpoint.load(counted("popularity"), tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _checkpoint.write_tensors({"a": torch.zeros(2)}, tmp_path / "w")

    def no_room(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        _checkpoint.write_tensors({"a": torch.ones(2)}, path)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]
    assert _checkpoint.read_tensors(path)["a"].tolist() == [0.0, 0.0]


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"links: torch\.sparse_coo: only dense tensors are stored\. Keep its crow"):
        _checkpoint.write_tensors(
            {"links": torch.sparse_coo_tensor(size=(2, 2), check_invariants=True)}, tmp_path / "w"
        )


@pytest.mark.parametrize("name", ["popularity", "transition", "ease"])
def test_the_weights_of_another_catalogue_are_refused(tmp_path: Path, name: str) -> None:
    _checkpoint.save(counted(name, 20), tmp_path)
    with pytest.raises(RunError, match=r"weights: \S+: does not fit the model or the catalogue\. Use the run's own"):
        _checkpoint.load(counted(name, 30), tmp_path)


def test_the_weights_of_another_floor_are_refused(tmp_path: Path) -> None:
    _checkpoint.save(counted("transition"), tmp_path)
    with pytest.raises(RunError, match=r"weights: links\.col: does not fit"):
        _checkpoint.load(counted("popularity"), tmp_path)
