"""Histories as text, against a plain loop over tokens."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2rec.nn import backbone
from l2rec.nn.prompts import lay_out, tokenize
from tests.nn.networks import tokens


def slow(items: list[int], start: int | None) -> tuple[list[int], list[int], list[int]]:
    """Token ids, the event of each, and where each event ends."""
    catalogue = tokens(start)
    ids = [] if start is None else [start]
    events = [0] * len(ids)
    last = []
    for event, item in enumerate(items):
        own = catalogue.ids[item, : catalogue.lengths[item]].tolist()
        ids += own
        events += [event] * len(own)
        last.append(len(ids) - 1)
    return ids, events, last


@given(
    histories=st.lists(st.lists(st.integers(0, 11), max_size=5), min_size=1, max_size=4),
    start=st.sampled_from([2, None]),
    junk=st.integers(0, 11),
    room=st.integers(1, 3),
)
def test_rows_are_what_a_plain_loop_writes(histories: list[list[int]], start: int | None, junk: int, room: int) -> None:
    width = max(map(len, histories)) + room
    items = torch.tensor([[*h, *[junk] * (width - len(h))] for h in histories])
    mask = torch.tensor([[n < len(h) for n in range(width)] for h in histories])
    found = lay_out(tokens(start), items, mask)
    expected = [slow(history, start) for history in histories]
    assert found.ids.shape[1] == max(1, *(len(ids) for ids, _, _ in expected), 1)
    for row, (ids, events, last) in enumerate(expected):
        assert found.ids[row][found.mask[row]].tolist() == ids
        assert found.mask[row].tolist() == [n < len(ids) for n in range(found.ids.shape[1])]
        assert found.item[row, : len(ids)].tolist() == events
        assert found.last[row].tolist() == last + [0] * (width - len(last))
        assert found.events[row].tolist() == mask[row].tolist()


def test_minilm_texts_are_cut_and_end_with_the_separator() -> None:
    found = tokenize(backbone.tokenizer(backbone.MINILM), ("Lamp", "A red lamp, for | the table by the wall", ""), 5)
    assert found.start == 101
    assert found.lengths.tolist() == [2, 5, 1]
    assert found.ids[0].tolist() == [10437, 102, 0, 0, 0]
    assert found.ids[1, 4].item() == 102
    assert found.ids[2].tolist() == [102, 0, 0, 0, 0]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("special", [False, True])
def test_tokens_are_those_of_the_tokenizers_own_call(side: str, special: bool) -> None:
    texts = (
        "Lamp",
        "",
        "A [SEP] red lamp, for | the table",
        "naïve œuvre 東京 🚀",
        " \n\t ",
        "a" * 400,
        "Æon-9 (1999)",
    )
    for limit in (1, 2, 3, 5, 64):
        plain, ours = (backbone.tokenizer(backbone.MINILM) for _ in range(2))
        for one in (plain, ours):
            one.truncation_side, one.split_special_tokens = side, special
        ours(["before"], padding="max_length", max_length=9)  # what was set for an earlier call is forgotten
        rows = plain(list(texts), add_special_tokens=False, truncation=True, max_length=max(limit - 1, 1))["input_ids"]
        rows = [[*row[: limit - 1], plain.sep_token_id] for row in rows]
        width = max(map(len, rows))
        found = tokenize(ours, texts, limit)
        assert found.ids.tolist() == [row + [0] * (width - len(row)) for row in rows]
        assert found.lengths.tolist() == [len(row) for row in rows]
        assert (found.ids.dtype, found.lengths.dtype) == (torch.int64, torch.int64)
        assert ours(list(texts))["input_ids"] == plain(list(texts))["input_ids"]


def test_no_texts_are_no_rows() -> None:
    found = tokenize(backbone.tokenizer(backbone.MINILM), (), 5)
    assert found.ids.shape == (0, 1)
    assert found.lengths.shape == (0,)


class Bare:
    """A tokenizer without Rust, and without special tokens but those given."""

    is_fast = False

    def __init__(self, eos: int | None, bos: int | None) -> None:
        self.sep_token_id = self.pad_token_id = self.cls_token_id = None
        self.eos_token_id, self.bos_token_id = eos, bos

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


@pytest.mark.parametrize(("eos", "bos", "end"), [(7, 1, 7), (None, None, 0)])
def test_decoders_end_an_item_with_eos_and_open_with_bos_where_they_have_them(
    eos: int | None, bos: int | None, end: int
) -> None:
    found = tokenize(Bare(eos, bos), ("ab", "abcdef"), 4)  # type: ignore[arg-type]
    assert found.start == bos
    assert found.ids.tolist() == [[97, 98, end, 0], [97, 98, 99, end]]
