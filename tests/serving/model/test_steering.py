"""What a prompt wants and does not want, and how both move the scores of a history."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2rec.serving.model.steering import Shares, Steer, Weights, parse, standard, steered

READ = {
    "light comedies of the nineties, no horror": Steer("light comedies of the nineties", ("horror",)),
    "no horror or war": Steer("", ("horror", "war")),
    "No horror, war or musicals, from the 80s": Steer("from the 80s", ("horror", "war", "musicals")),
    "no horror, comedies from the eighties or nineties": Steer("comedies from the eighties or nineties", ("horror",)),
    "comedies without violence and with music": Steer("comedies, with music", ("violence",)),
    "thrillers, except for horror and war": Steer("thrillers", ("horror", "war")),
    "Nothing with ghosts. Something warm": Steer("Something warm", ("ghosts",)),
    "anything but westerns": Steer("", ("westerns",)),
    "comedies (no musicals) from 1995": Steer("comedies, from 1995", ("musicals",)),
    "not too dark, funny": Steer("funny", ("dark",)),
    "no horror but comedies": Steer("comedies", ("horror",)),
    "neither war nor horror": Steer("", ("war", "horror")),
    "I don't want horror; give me drama": Steer("give me drama", ("horror",)),
    "not from the eighties": Steer("", ("eighties",)),
    "not only funny but sad": Steer("not only funny but sad"),
    "nothing but comedies, no matter when": Steer("nothing but comedies, no matter when"),
    'like "No Country for Old Men", not sad': Steer('like "No Country for Old Men"', ("sad",)),
    "a non-fiction book about knots": Steer("a non-fiction book about knots"),
    "no": Steer(""),
    "no, no, no": Steer(""),
    "": Steer(""),
}


@pytest.mark.parametrize("prompt", READ)
def test_a_prompt_is_parted_into_what_is_wanted_and_what_is_not(prompt: str) -> None:
    assert parse(prompt) == READ[prompt]


PIECES = [
    "no",
    "not",
    "without",
    "nothing with",
    "except",
    "or",
    "and",
    "but",
    ",",
    ".",
    "(",
    ")",
    '"',
    "horror",
    "war",
]
PIECES += ["the", "nineties", "1995", "'", "—", "\n", "light comedies", "\x00", "don't want", "ß"]
ODD = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))


@given(ODD)
def test_no_prompt_is_too_odd_and_every_word_comes_from_it(prompt: str) -> None:
    found = parse(prompt)
    said = "".join(prompt.split())
    for phrase in (found.wanted, *found.unwanted):
        assert phrase == " ".join(phrase.split())
        assert all(word.rstrip(",") in said for word in phrase.split())
    assert all(found.unwanted)
    assert len(set(found.unwanted)) == len(found.unwanted)


@given(st.lists(st.sampled_from(["light", "comedies", "of", "1995", "knot", "nothingness", "nobody"]), max_size=8))
def test_a_prompt_without_a_negation_is_wanted_word_for_word(words: list[str]) -> None:
    assert parse(" ".join(words)) == Steer(" ".join(words))


@given(st.lists(st.sampled_from(["horror", "war", "musicals", "blood"]), min_size=1, max_size=4, unique=True))
def test_a_list_of_unwanted_things_is_read_whole(things: list[str]) -> None:
    assert parse("comedies, no " + " or ".join(things)) == Steer("comedies", tuple(things))
    listed = ", ".join(things[:-1]) + (" or " if things[:-1] else "") + things[-1]
    assert parse(f"comedies, no {listed}") == Steer("comedies", tuple(things))


def test_of_many_unwanted_phrases_eight_are_read_and_no_word_is_lost() -> None:
    found = parse("comedies. " + " ".join(f"no x{n}." for n in range(300)))
    assert found.wanted == "comedies"
    assert found.unwanted[:7] == tuple(f"x{n}" for n in range(7))
    assert found.unwanted[7:] == (", ".join(f"x{n}" for n in range(7, 300)),)
    assert parse(" ".join(f"no x{n}." for n in range(8))).unwanted == tuple(f"x{n}" for n in range(8))


def some_scores(*rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*rows, 200, generator=torch.Generator().manual_seed(seed))


def test_shares_are_standardised_and_added_with_their_weights() -> None:
    history, wanted = 7 * some_scores() + 3, some_scores(seed=1) / 50
    unwanted, stated, excluded = (
        some_scores(2, seed=2),
        (some_scores(seed=3) > 0) / 2,
        (some_scores(seed=4) > 1).float(),
    )
    found = steered(history, Shares(wanted, unwanted, stated, excluded), Weights(0.5, 2.0, 3.0, 4.0))
    standardised = [(row - row.mean()) / row.std(correction=0) for row in (history, wanted, *unwanted)]
    nearest = torch.maximum(standardised[2], standardised[3]).clamp(min=0)
    partly = steered(history, Shares(wanted, unwanted, left=0.5, unwanted_left=(1.0, 0.0)), Weights(0.5, 2.0))
    half = standardised[0] + 0.25 * standardised[1] - 2 * standardised[2].clamp(min=0)
    torch.testing.assert_close(partly, half)
    expected = standardised[0] + 0.5 * standardised[1] - 2 * nearest + 3 * stated - 4 * excluded
    torch.testing.assert_close(found, expected)


def test_a_prompt_that_says_nothing_leaves_the_order_as_it_was() -> None:
    history = some_scores()
    assert torch.equal(steered(history, Shares()).argsort(), history.argsort())
    alike = torch.full((200,), 5.0)
    assert torch.equal(steered(history, Shares(wanted=alike)).argsort(), history.argsort())
    assert standard(alike).tolist() == [0.0] * 200


@given(st.integers(0, 50), st.floats(0.1, 4), st.floats(0.1, 4))
def test_more_weight_never_lifts_what_is_unwanted_nor_lowers_what_is_wanted(
    seed: int, less: float, more: float
) -> None:
    history, wanted, unwanted = some_scores(3, seed=seed)
    less, more = sorted((less, more))
    best = int(wanted.argmax())
    ranks = [steered(history, Shares(wanted), Weights(wanted=w)).argsort().argsort()[best] for w in (less, more)]
    assert ranks[0] <= ranks[1]
    worst = int(unwanted.argmax())
    kept = [
        steered(history, Shares(None, unwanted[None]), Weights(unwanted=w)).argsort().argsort() for w in (less, more)
    ]
    assert kept[0][worst] >= kept[1][worst]
