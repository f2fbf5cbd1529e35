"""A backbone that learns: which weights do, that untrained it is the model itself, and where it drops."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from l2rec.errors import BackboneError
from l2rec.nn import backbone as backbones
from l2rec.nn.tuned import Tuned

IDS = torch.tensor([[2, 5, 9, 3], [2, 7, 3, 0]])
MASK = torch.tensor([[True] * 4, [True] * 3 + [False]])


def made(backbone: Path, learning: int = 2, dropout: float = 0.1, rounded: bool = False) -> Tuned:
    return Tuned(backbones.load(str(backbone)), learning, dropout, rounded).eval()


def read(tuned: Tuned) -> torch.Tensor:
    found: torch.Tensor = tuned(tuned.backbone.token_embedding(IDS), MASK)
    return found


@torch.no_grad()
def test_untrained_it_is_the_model_itself(backbone: Path) -> None:
    network = AutoModel.from_pretrained(backbone)
    wanted = network(IDS, attention_mask=MASK.long()).last_hidden_state
    found = read(made(backbone))
    torch.testing.assert_close(found[MASK], wanted[MASK], rtol=1e-4, atol=1e-5)
    rounded = read(made(backbone, rounded=True))
    assert rounded.dtype == torch.float32
    assert 1e-4 < float((rounded[MASK] - wanted[MASK]).abs().max()) < 0.1


@pytest.mark.parametrize("learning", [0, 1, 2])
def test_the_upper_blocks_learn_and_with_all_of_them_the_token_vectors(backbone: Path, learning: int) -> None:
    tuned = made(backbone, learning)
    moved = {name.partition("network.")[2] for name, p in tuned.named_parameters() if p.requires_grad}
    blocks = {int(name.split(".")[2]) for name in moved if name.startswith("encoder.layer.")}
    assert blocks == {0: set(), 1: {1}, 2: {0, 1}}[learning]
    assert ("embeddings.word_embeddings.weight" in moved) is (learning == 2)
    if learning:
        read(tuned).square().sum().backward()
        assert tuned.get_parameter("backbone.network.encoder.layer.1.output.dense.weight").grad is not None


@torch.no_grad()
def test_it_drops_in_training_only(backbone: Path) -> None:
    tuned = made(backbone, dropout=0.5)
    assert torch.equal(read(tuned), read(tuned))
    tuned.train()
    assert not torch.allclose(read(tuned), read(tuned), atol=1e-2)
    assert torch.equal(read(made(backbone, dropout=0.0).train()), read(made(backbone)))


def test_a_row_beyond_the_table_of_positions_is_refused(backbone: Path) -> None:
    tuned = made(backbone)
    with pytest.raises(
        BackboneError, match=r"model\.tokens: 257 positions: the backbone has 256\. Lower model\.tokens\."
    ):
        tuned(torch.zeros(1, 257, 32), torch.ones(1, 257, dtype=torch.bool))
