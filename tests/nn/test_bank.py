"""Pooled texts of a catalogue: plain means, computed once, and kept only where they may be."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from l2rec.nn import bank
from l2rec.nn.prompts import Tokens
from tests.nn import networks


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vectors of each test in a folder of its own."""
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def slow(kind: str, tokens: Tokens) -> Tensor:
    """The mean hidden state of one text at a time, the opening token counted."""
    frozen, means = networks.little(kind), []
    for ids, length in zip(tokens.ids, tokens.lengths.tolist(), strict=True):
        opening = [] if tokens.start is None else [tokens.start]
        row = torch.tensor([[*opening, *ids[:length].tolist()]])
        size = row.shape[1]
        both = torch.ones(1, size, size, dtype=torch.bool)
        visible = both if kind in ("bert", "roberta") else both.tril()
        means.append(frozen(frozen.token_embedding(row), visible, torch.arange(size).unsqueeze(0))[0].mean(0))
    return torch.stack(means)


@pytest.mark.parametrize("kind", networks.CONFIGS)
@pytest.mark.parametrize("start", [2, None])
def test_vectors_are_means_of_hidden_states_text_by_text(kind: str, start: int | None) -> None:
    tokens = networks.tokens(start)
    found = bank.text_vectors(networks.little(kind), tokens, ["a"])
    torch.testing.assert_close(found, slow(kind, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_the_size_of_a_call_changes_nothing(batch: int) -> None:
    tokens, calls = networks.tokens(), []

    def encode(ids: Tensor, mask: Tensor, items: Tensor) -> Tensor:
        calls.append(len(ids))
        return (ids * mask).unsqueeze(-1).float() + items.view(-1, 1, 1) * 1000

    found = bank.pooled(encode, tokens, torch.device("cpu"), batch)
    for item, length in enumerate(tokens.lengths.tolist()):
        own = [2, *tokens.ids[item, :length].tolist()]
        assert found[item].item() == pytest.approx(sum(own) / len(own) + 1000 * item)
    assert sum(calls) == networks.ITEMS
    assert len(calls) == (1 if batch == 10_000 else len(calls))
    assert batch > 1 or len(calls) == networks.ITEMS


def test_what_was_computed_once_comes_from_disk(cache: Path) -> None:
    calls = []

    def compute() -> Tensor:
        calls.append(1)
        return torch.full((2, 3), float(len(calls)))

    first = bank.cached(["a", [1, 2]], compute)
    assert torch.equal(bank.cached(["a", [1, 2]], compute), first)
    assert len(calls) == 1
    assert not torch.equal(bank.cached(["a", [1, 3]], compute), first)
    assert [path.suffix for path in cache.iterdir()] == [".safetensors"] * 2


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "file" / "cache"))
    assert torch.equal(bank.cached(["a"], lambda: torch.ones(2, 2)), torch.ones(2, 2))


def test_texts_and_backbones_have_entries_of_their_own_and_random_weights_have_none(cache: Path) -> None:
    frozen, tokens = networks.little("bert"), networks.tokens()
    other = Tokens(tokens.ids.clone(), tokens.lengths, tokens.start)
    other.ids[3, 0] += 1
    for texts, identity in ((tokens, ["a"]), (tokens, ["b"]), (other, ["a"]), (networks.tokens(None), ["a"])):
        bank.text_vectors(frozen, texts, identity)
    assert len(list(cache.iterdir())) == 4
    torch.testing.assert_close(bank.text_vectors(frozen, tokens, None), slow("bert", tokens), rtol=1e-4, atol=1e-5)
    networks.bent(frozen.requires_grad_(True))
    assert not torch.allclose(bank.text_vectors(frozen, tokens, None), slow("bert", tokens), atol=1e-3)
    assert len(list(cache.iterdir())) == 4


def test_centred_vectors_have_length_one_and_no_common_part() -> None:
    vectors = torch.randn(50, 4) + 10
    found = bank.centred(vectors, vectors.mean(0))
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(50))
    assert found.mean(0).norm().item() < 0.3
