"""The store of prefixes keeps to its budget, forgets the oldest, and never gives one user's past to another."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.models import PrefixReader
from l2rec.nn.prefix import Prefix
from l2rec.serving.model.prefixes import Prefixes
from l2rec.types import Items
from tests import worlds
from tests.models.llm.little import SEQUENCES, made, steps

NOBODY = torch.zeros(0)


def prefix(*items: int, blocks: int = 1) -> Prefix:
    """A prefix of one position: 8 bytes for its view and 192 a block."""
    states = tuple(torch.zeros(1, 1, 24) for _ in range(blocks))
    return Prefix(items, NOBODY, states, states, torch.zeros(1, dtype=torch.long), NOBODY, NOBODY)


def test_a_longer_history_finds_its_beginning_and_every_other_nothing() -> None:
    kept, own = Prefixes(1000), prefix(4, 9)
    kept.keep("w", "anna", own)
    assert kept.find("w", "anna", [4, 9, 1], NOBODY) is own
    assert kept.find("w", "anna", [4, 9], NOBODY) is own
    assert kept.find("w", "anna", [9, 1], NOBODY) is None
    assert kept.find("v", "anna", [4, 9, 1], NOBODY) is None
    assert kept.find("w", "berta", [4, 9, 1], NOBODY) is None
    assert kept.counts == {"grown": 1, "same": 1, "slid": 1, "unknown": 2}


def test_the_longer_prefix_takes_the_place_of_the_shorter() -> None:
    kept = Prefixes(1000)
    kept.keep("w", "anna", prefix(4, blocks=2))
    kept.keep("w", "anna", prefix(4, 9))
    assert (len(kept), kept.size) == (1, 200)
    assert kept.find("w", "anna", [4], NOBODY) is None
    kept.keep("w", "anna", None)
    assert (len(kept), kept.size) == (0, 0)


def test_beyond_the_budget_the_user_asked_for_longest_ago_is_forgotten() -> None:
    kept = Prefixes(600)
    for number, user in enumerate(("anna", "berta", "clara")):
        kept.keep("w", user, prefix(number))
    assert (len(kept), kept.size) == (3, 600)
    assert kept.find("w", "anna", [0, 5], NOBODY) is not None
    kept.keep("w", "dora", prefix(3, blocks=2))
    assert kept.size == 200 + 392
    assert kept.counts["dropped"] == 2
    asked = {user: kept.find("w", user, [n, 5], NOBODY) for n, user in enumerate(("anna", "berta", "clara", "dora"))}
    assert [user for user, found in asked.items() if found] == ["anna", "dora"]


@pytest.mark.parametrize("limit", [0, 199])
def test_what_is_above_the_whole_budget_is_not_kept_and_drives_nobody_out(limit: int) -> None:
    kept = Prefixes(limit)
    kept.keep("w", "anna", prefix(1))
    assert (len(kept), kept.size, kept.counts["dropped"]) == (0, 0, 1)
    roomy = Prefixes(300)
    roomy.keep("w", "anna", prefix(1))
    roomy.keep("w", "berta", prefix(1, blocks=2))
    assert (len(roomy), roomy.size) == (1, 200)


def test_an_item_whose_text_was_rewritten_is_forgotten_with_all_who_have_it() -> None:
    kept = Prefixes(1000)
    for user, items in (("anna", (1, 2)), ("berta", (3,)), ("clara", (2, 4))):
        kept.keep("w", user, prefix(*items))
    kept.forget([2, 7])
    assert (len(kept), kept.size) == (1, 200)
    assert kept.find("w", "berta", [3], NOBODY) is not None


class Adding(PrefixReader):
    """A reader whose vector is the sum of the items, and which notes how many it read of each."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def read_on(
        self,
        prefixes: Sequence[Prefix | None],
        histories: Sequence[Sequence[int]],
        attributes: Float[Tensor, "B A"],
    ) -> tuple[Float[Tensor, "B D"], list[Prefix | None]]:
        """See the base class."""
        self.read = [len(h) - (0 if p is None else len(p.items)) for p, h in zip(prefixes, histories, strict=True)]
        return torch.tensor([[float(sum(h))] for h in histories]), [prefix(*h) if h else None for h in histories]


def test_of_everybody_only_what_is_new_is_read_and_of_nobody_nothing_is_remembered() -> None:
    kept, model, nobodies = Prefixes(1000), Adding(), torch.zeros(4, 0)
    users = ("anna", "berta", "", "clara")
    found = kept.vectors(model, "w", users, [[4], [9, 2], [5, 5], []], nobodies)
    assert (found.flatten().tolist(), model.read) == ([4.0, 11.0, 10.0, 0.0], [1, 2, 2, 0])
    found = kept.vectors(model, "w", users, [[4, 1], [2, 3], [5, 5, 1], [8]], nobodies)
    assert (found.flatten().tolist(), model.read) == ([5.0, 5.0, 11.0, 8.0], [1, 2, 3, 1])
    assert kept.counts == {"unknown": 4, "grown": 1, "slid": 1}
    assert len(kept) == 3


def test_a_live_user_gets_the_vectors_of_the_full_pass_event_by_event_until_the_window_slides(backbone: Path) -> None:
    """The window of the little model is eight items: each event beyond is read with the whole window."""
    model, kept, own = made(backbone, attributes=2), Prefixes(10**6), torch.ones(1, 2)
    steps(model, 3, batch=worlds.training_batch_of(SEQUENCES, attributes=2))
    model.eval()
    events = [3, 10, 2, 7, 22, 8, 1, 4, 13, 11, 3]
    for count in range(1, len(events) + 1):
        history = events[:count][-8:]
        found = kept.vectors(model, "w", ["anna"], [history], own)
        batch = worlds.batch_of([history], attributes=2)
        batch.attributes.copy_(own)
        torch.testing.assert_close(found, model.user_vectors(batch).detach(), rtol=1e-4, atol=1e-4)
    assert kept.counts == {"unknown": 1, "grown": 7, "slid": 3}
    assert len(kept) == 1


def test_a_rewritten_item_is_read_anew_once_it_is_forgotten(backbone: Path) -> None:
    model, kept, nobody = made(backbone).eval(), Prefixes(10**6), torch.zeros(1, 0)
    before = kept.vectors(model, "w", ["anna"], [[3, 10]], nobody)
    texts = ("black mirror 9", "black mirror 9", ())
    model.put_items([10], Items(texts[:1], texts[1:2], (texts[2],), torch.zeros(1, dtype=torch.long)))
    assert torch.equal(kept.vectors(model, "w", ["anna"], [[3, 10]], nobody), before)
    kept.forget([10])
    after = kept.vectors(model, "w", ["anna"], [[3, 10]], nobody)
    torch.testing.assert_close(after, model.user_vectors(worlds.batch_of([[3, 10]])).detach(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after, before, atol=1e-3)
