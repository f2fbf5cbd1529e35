"""Items as bags of words: weights by the textbook, rare words count, unknown ones do not, and items that come later."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from l2rec.nn.words import WordBag, bags_of, shared_words, words_of
from l2rec.types import Items

DESCRIBED = [["red", "lamp", "lamp"], ["red", "chair"], ["blue", "lamp"], ["alone"], []]
IDF = {"red": math.log(5 / 2), "lamp": math.log(5 / 2)}


def bag(width: int = 6) -> WordBag:
    torch.manual_seed(3)
    return WordBag(DESCRIBED, all_trained(DESCRIBED), width, 1.0)


def all_trained(described: list[list[str]]) -> torch.Tensor:
    return torch.ones(len(described), dtype=torch.bool)


def by_hand(made: WordBag, words: list[str]) -> torch.Tensor:
    """The definition: the unit vector of IDF weights times the vectors of the words, in alphabetical order."""
    rows = {"lamp": made.vectors.weight[0], "red": made.vectors.weight[1]}
    known = [word for word in dict.fromkeys(words) if word in rows]
    length = math.sqrt(sum(IDF[word] ** 2 for word in known)) or 1.0
    return sum((IDF[word] / length * rows[word] for word in known), torch.zeros(made.vectors.embedding_dim))


def test_a_vector_is_the_unit_idf_vector_times_the_vectors_of_the_words() -> None:
    made = bag()
    expected = torch.stack([by_hand(made, words) for words in DESCRIBED])
    torch.testing.assert_close(made(), expected)
    torch.testing.assert_close(made(torch.tensor([2, 0, 2])), expected[[2, 0, 2]])
    assert made.vectors.weight.shape == (shared_words(DESCRIBED, all_trained(DESCRIBED)), 6) == (2, 6)


def test_a_rarer_word_weighs_more() -> None:
    made = WordBag([["a", "b"], ["a", "b"], ["a"], ["c"]], torch.ones(4, dtype=torch.bool), 4, 1.0)
    assert made.words[0].tolist()[:2] == [1, 0]
    assert made.weights[0, 0] > made.weights[0, 1] > 0


def test_untrained_vectors_tell_the_cosine_of_the_idf_vectors() -> None:
    made = bag(width=20_000)
    vectors = made().detach()
    assert float(vectors[0] @ vectors[1]) == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert float(vectors[1] @ vectors[2]) == pytest.approx(0.0, abs=0.03)
    assert float(vectors[0] @ vectors[0]) == pytest.approx(1.0, abs=0.03)


def test_an_item_of_words_that_nobody_shares_is_zero_and_so_is_one_without_words() -> None:
    assert not bag()()[3:].any()
    nothing = WordBag([[], ["x"]], torch.ones(2, dtype=torch.bool), 3, 1.0)
    assert nothing().shape == (2, 3)
    assert not nothing().any()


def test_a_later_item_has_the_words_that_are_known_and_no_others() -> None:
    made = bag()
    before = made().clone()
    made.put(torch.tensor([5, 1]), [["lamp", "never", "red"], ["lamp"]])
    after = made()
    torch.testing.assert_close(after[[0, 2, 3, 4]], before[[0, 2, 3, 4]])
    torch.testing.assert_close(after[5], by_hand(made, ["lamp", "red"]))
    torch.testing.assert_close(after[1], by_hand(made, ["lamp"]))
    torch.testing.assert_close(made.of([["red", "other"]])[0], by_hand(made, ["red"]))


def test_of_more_words_than_count_the_rarest_stay() -> None:
    words = [f"w{n:02d}" for n in range(70)]
    made = WordBag([words, words, *[[word] for word in words[:6]]], torch.ones(8, dtype=torch.bool), 2, 1.0)
    assert sorted(made.words[0].tolist()) == list(range(6, 70))


def test_an_untrained_item_moves_no_weight_and_brings_no_word() -> None:
    more = [*DESCRIBED, ["red", "alone", "chair"], ["lamp"]]
    trained = torch.tensor([True] * 5 + [False] * 2)
    torch.manual_seed(3)
    whole, made = WordBag(more, trained, 6, 1.0), bag()
    assert torch.equal(whole.vectors.weight, made.vectors.weight)
    torch.testing.assert_close(whole()[:5], made())
    made.put(torch.tensor([5, 6]), more[5:])
    torch.testing.assert_close(made(), whole())
    assert shared_words(more, trained) == 2


def test_padding_is_left_out_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = bag()
    table, bags, summed = made.vectors.weight, functional.embedding_bag, []

    def heard(words: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        summed.append(words.numel())
        return bags(words, *given, **named)

    monkeypatch.setattr(functional, "embedding_bag", heard)
    for items in (None, torch.tensor([1, 4, 0, 1]), torch.tensor([], dtype=torch.long)):
        chosen = slice(None) if items is None else items
        words, weights = made.words[chosen], made.weights[chosen]
        padded = bags(words, table, mode="sum", per_sample_weights=weights)
        found = made(items)
        torch.testing.assert_close(found, padded)
        assert summed.pop() == int((weights != 0).sum()), "words, not places"
        [mine], [theirs] = (torch.autograd.grad((each * each).sum(), [table]) for each in (found, padded))
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_words_learn() -> None:
    made = bag()
    made()[0].sum().backward()
    assert made.vectors.weight.grad is not None
    assert bool(made.vectors.weight.grad.any())


def test_a_bag_holds_folded_words_of_the_title_and_whole_attributes() -> None:
    items = Items(("Red LAMP | Home",), ("Red LAMP-2",), (("brand=Home Co",),), torch.zeros(1, dtype=torch.long))
    assert bags_of(items) == [["red", "lamp", "2", "brand=Home Co"]]
    assert words_of("Ärger, 6-inch") == ["ärger", "6", "inch"]
