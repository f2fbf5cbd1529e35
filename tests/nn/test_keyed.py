"""Key-value text: what an item says, what each token is, and in which order a history is read."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from l2rec.nn.keyed import KEY, VALUE, attributes_of, newest_first, tokenize_keyed

ITEMS = [[("lamp", "red green blue"), ("table", "black")], [("lamp", "white")], []]


@pytest.fixture
def tokenizer(backbone: Path) -> PreTrainedTokenizerBase:
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(backbone)
    return found


def test_an_item_is_its_title_and_its_attributes_the_shortest_first() -> None:
    tokens = (("kind=a long name", "colour=red", "colour=blue", "empty"), ("colour=red=ish",))
    assert attributes_of(("Lamp", ""), tokens) == [
        [("title", "Lamp"), ("empty", ""), ("colour", "red, blue"), ("kind", "a long name")],
        [("colour", "red=ish")],
    ]


def test_names_and_values_take_turns_and_each_is_cut(tokenizer: PreTrainedTokenizerBase) -> None:
    found = tokenize_keyed(tokenizer, ITEMS, value_tokens=2, item_tokens=4)
    words = [
        tokenizer.convert_ids_to_tokens(row[:n]) for row, n in zip(found.tokens.ids, found.tokens.lengths, strict=True)
    ]
    assert words == [["lamp", "red", "green", "table"], ["lamp", "white"], ["[SEP]"]]
    assert found.kinds.tolist() == [[KEY, VALUE, VALUE, KEY], [KEY, VALUE, 0, 0], [VALUE, 0, 0, 0]]
    assert found.tokens.start == tokenizer.cls_token_id


def test_without_an_opening_token_the_separator_opens(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.cls_token = None
    assert tokenize_keyed(tokenizer, ITEMS, 2, 4).tokens.start == tokenizer.sep_token_id


def test_a_history_is_read_from_its_newest_item_to_its_oldest(tokenizer: PreTrainedTokenizerBase) -> None:
    keyed = tokenize_keyed(tokenizer, ITEMS, 3, 9)
    items, mask = (
        torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]]),
        torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]]).bool(),
    )
    line = newest_first(keyed, items, mask, most=99)
    words = [tokenizer.convert_ids_to_tokens(ids[seen]) for ids, seen in zip(line.ids, line.mask, strict=True)]
    assert words == [
        ["[CLS]", "lamp", "white", "lamp", "red", "green", "blue", "table", "black"],
        ["[CLS]", "lamp", "white"],
        ["[CLS]"],
    ]
    assert line.kinds.tolist() == [[0, 1, 2, 1, 2, 2, 2, 1, 2], [0, 1, 2, *[0] * 6], [0] * 9]
    assert line.items.tolist() == [[0, 1, 1, 2, 2, 2, 2, 2, 2], [0, 1, 1, *[0] * 6], [0] * 9]


def test_what_is_too_long_loses_its_oldest_words(tokenizer: PreTrainedTokenizerBase) -> None:
    keyed = tokenize_keyed(tokenizer, ITEMS, 3, 9)
    row = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    whole, cut = newest_first(keyed, *row, most=99), newest_first(keyed, *row, most=4)
    for name in ("ids", "mask", "kinds", "items"):
        assert vars(cut)[name].tolist() == vars(whole)[name][:, :4].tolist()
