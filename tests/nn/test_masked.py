"""Hidden words: how many, what stands in their place, and what the head makes of the states."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer

from l2rec.errors import SettingError
from l2rec.nn.masked import WordTask


@pytest.fixture
def task(backbone: Path) -> WordTask:
    return WordTask(AutoTokenizer.from_pretrained(backbone), nn.Embedding(320, 8), 0.25)


def test_a_share_of_the_words_is_hidden_eight_in_ten_by_the_mask_and_no_other_token(task: WordTask) -> None:
    ids, words = torch.full((200, 100), 7), torch.rand(200, 100) < 0.5
    changed, hidden = task.hide(ids, words)
    assert not hidden[~words].any()
    assert torch.equal(changed[~hidden], ids[~hidden])
    assert float(hidden[words].float().mean()) == pytest.approx(0.25, abs=0.02)
    at = changed[hidden]
    assert float((at == task.mask_token).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((at == 7).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert at.unique().numel() > 140


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_over_the_token_vectors(task: WordTask) -> None:
    states, table, words = torch.randn(5, 8), torch.randn(320, 8), torch.tensor([3, 0, 319, 7, 7])
    nn.init.normal_(task.bias)
    logits = functional.layer_norm(functional.gelu(task.turn(states)), (8,)) @ table.T + task.bias
    wanted = -torch.stack([logits[n].log_softmax(0)[word] for n, word in enumerate(words)]).mean()
    torch.testing.assert_close(task(states, words, table), wanted)


def test_no_hidden_word_costs_nothing(task: WordTask) -> None:
    states = torch.randn(0, 8, requires_grad=True)
    assert task(states, torch.zeros(0, dtype=torch.long), torch.randn(320, 8)).item() == 0.0


def test_a_tokenizer_without_a_mask_is_refused(backbone: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    tokenizer.mask_token = None
    with pytest.raises(SettingError, match=r"model\.preparation: .* no mask token.*Set model\.preparation to 0"):
        WordTask(tokenizer, nn.Embedding(320, 8), 0.25)
