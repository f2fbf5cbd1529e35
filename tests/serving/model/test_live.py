"""A run that is alive: many asks at once, items that come, change and go, and what a model cannot do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from l2rec.errors import ModelError, SettingError
from l2rec.models import Retriever, TextReader
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.prefixes import Prefixes
from l2rec.serving.model.steering import Weights, standard
from l2rec.serving.records import LiveItem
from tests.serving.model import runs
from tests.trained import World

ASKS = [
    Ask((3, 10, 2)),
    Ask(),
    Ask(prompt="something to sit on"),
    Ask(tuple(range(20))),
    Ask((7,), prompt="a green chair by the wall"),
    Ask((29, 1)),
]
LAMP = LiveItem(item_id="new", title="red lamp 77", text="red lamp 77 | red | lamp", attributes=("colour=red",))
CHAIR = LiveItem(
    item_id="chair", title="green chair 78", text="green chair 78", attributes=("colour=green", "thing=chair")
)


def alone(live: Live, asks: list[Ask]) -> Tensor:
    return torch.cat([live.scores([ask]) for ask in asks])


def test_an_ask_scores_the_same_alone_and_in_a_crowd(live: Live) -> None:
    crowd = live.scores(ASKS)
    assert crowd.shape == (6, 30)
    torch.testing.assert_close(crowd, alone(live, ASKS), rtol=1e-4, atol=1e-4)
    assert crowd.std(0).min() > 1e-3


def test_a_crowd_of_many_is_answered_in_several_passes_and_in_its_own_order(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Ask(tuple(range(n % 7, n % 7 + n % 5))) for n in range(40)]
    whole = live.scores(many)
    monkeypatch.setattr("l2rec.serving.model.live._TOKENS", 60)
    assert len(live.batches(many)) > 5
    torch.testing.assert_close(live.scores(many), whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_scores_are_the_models_own(live: Live) -> None:
    asks = [Ask((3, 10, 2)), Ask((29, 1))]
    for rows, batch in live.batches(asks):
        torch.testing.assert_close(live.scores(asks)[rows], live.model.scores(batch), rtol=1e-4, atol=1e-4)
    assert live.scores([]).shape == (0, 30)


@torch.no_grad()
def test_vectors_times_item_vectors_are_the_scores_without_the_third_signal(live: Live) -> None:
    assert isinstance(live.model, Retriever)
    vectors, items = live.vectors(ASKS), live.item_vectors()
    assert vectors is not None
    assert items is not None
    live.model.third = None
    asks = [Ask(ask.history, prompt=None if ask.history else ask.prompt) for ask in ASKS]
    torch.testing.assert_close(vectors @ items.T, live.scores(asks), rtol=1e-4, atol=1e-4)


def test_a_prompt_moves_what_it_names_up_and_what_it_rules_out_down_and_leaves_the_user_in(live: Live) -> None:
    live.apply([LAMP, CHAIR])
    prompt = "red things, no chairs"
    crowd, history, steered, alone, another = live.scores(
        [Ask(), Ask((3, 10)), Ask((3, 10), prompt=prompt), Ask(prompt=prompt), Ask((5,), prompt=prompt)]
    )
    for before, after in ((history, steered), (crowd, alone)):
        moved = after - standard(before)
        assert moved[30] > moved[31] + Weights().stated / 2 + Weights().excluded / 2
        assert moved[:30].std() > 0.1
    assert correlation(steered, history) > correlation(alone, history)
    assert not torch.equal(steered.argsort(), another.argsort())


def test_a_prompt_that_rules_out_or_states_nothing_is_the_whole_question_where_there_is_no_history(live: Live) -> None:
    assert isinstance(live.model, TextReader)
    vectors = live.model.text_vectors(("something to sit on",))
    torch.testing.assert_close(live.scores([Ask(prompt="something to sit on")]), vectors @ live.item_vectors().T)
    torch.testing.assert_close(live.scores([Ask((3,), prompt="no")]), standard(live.scores([Ask((3,))])[0])[None])


def test_prompts_of_any_length_are_few_texts_and_few_rows_at_a_time(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(live.model, TextReader)
    read, rows, described, dots = [], [], live.model.described, live._dots
    monkeypatch.setattr(live.model, "described", lambda texts: read.append(len(texts)) or described(texts))
    monkeypatch.setattr(live, "_dots", lambda vectors: rows.append(len(vectors)) or dots(vectors))
    asks = [Ask((3,), prompt=f"thing {who}. " + " ".join(f"no {who}x{n}." for n in range(250))) for who in "abc"]
    assert torch.isfinite(live.scores(asks)).all()
    assert (read, rows) == ([27], [9, 9, 9])


def test_a_prompt_knows_what_later_items_state_now(live: Live) -> None:
    ask = Ask((3, 10), prompt="no chairs")
    assert live.facts.excluded(("chairs",)) is None
    live.apply([LAMP, CHAIR])
    plain, found = live.scores([replace(ask, prompt=None), ask])
    assert found[30] - found[31] > standard(plain)[30] - standard(plain)[31] + Weights().excluded / 2
    live.apply([LAMP.model_copy(update={"attributes": ("thing=chair",)}), CHAIR.model_copy(update={"attributes": ()})])
    excluded = live.facts.excluded(("chairs",))
    assert excluded is not None
    assert excluded.nonzero().tolist() == [[30]]


@torch.no_grad()
def test_a_text_describes_the_item_whose_text_it_is(live: Live) -> None:
    """Item 29 is cold, so that its vector is that of its text."""
    assert isinstance(live.model, TextReader)
    items = live.item_vectors()
    assert items is not None
    described = live.model.described((live.catalogue.texts[29], live.catalogue.texts[3]))
    torch.testing.assert_close(described[0], items[29], rtol=1e-3, atol=1e-3)
    assert (described @ items.T).argmax(1)[0] == 29
    assert described.norm(dim=1).tolist() == pytest.approx([1, 1])


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one, other)))[0, 1])


def test_an_item_that_comes_scores_as_if_the_catalogue_had_known_its_text(live: Live) -> None:
    """Item 29 is cold and was in the catalogue; one that comes with its text is scored as it is."""
    title, cold, attributes = live.catalogue.title(29), live.catalogue.texts[29], live.catalogue.attributes[29]
    live.apply([LAMP, LiveItem(item_id="twin", title=title, text=cold, attributes=attributes)])
    assert live.catalogue.numbers(["new", "twin"]) == [30, 31]
    assert [live.catalogue.id(30), live.catalogue.title(30), live.catalogue.title(31)] == ["new", LAMP.title, title]
    found = live.scores(ASKS)
    assert found.shape == (6, 32)
    torch.testing.assert_close(found[:3, 31], found[:3, 29], rtol=1e-4, atol=1e-4)
    assert (found[:, 30] - found[:, 31]).abs().min() > 1e-4
    assert live.scores([Ask((30, 3)), Ask((30, 31))]).isfinite().all()
    assert not torch.equal(live.scores([Ask((30, 3))]), live.scores([Ask((3,))]))


def test_only_rows_that_change_are_computed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    before = live.item_vectors()
    assert before is not None
    before = before.clone()
    monkeypatch.setattr(live.model, "item_vectors", lambda: pytest.fail("the whole catalogue is computed"))
    live.apply([LAMP, LiveItem(item_id="i4", title="other", text="black mirror")])
    after = live.item_vectors()
    assert after is not None
    changed = (after[:30] != before).any(1).nonzero().flatten().tolist()
    assert changed == [4]
    monkeypatch.undo()
    with torch.no_grad():
        assert isinstance(live.model, Retriever)
        torch.testing.assert_close(after, live.model.item_vectors())


def test_a_known_item_is_read_anew_and_its_titles_follow(live: Live) -> None:
    number = live.catalogue.number("i4")
    before = live.scores(ASKS)
    live.apply([LiveItem(item_id="i4", title="night", text="black mirror", attributes=("colour=black",))])
    after = live.scores(ASKS)
    assert (after[:, number] - before[:, number]).abs().min() > 1e-4
    rest = [n for n in range(30) if n != number]
    torch.testing.assert_close(after[0, rest], before[0, rest])
    assert (live.catalogue.title(number), live.catalogue.attributes[number]) == ("night", ("colour=black",))


def test_a_deleted_item_is_gone_until_it_is_put_again(live: Live) -> None:
    before = live.scores(ASKS)
    live.apply([LAMP])
    live.apply([LiveItem(item_id="i4", deleted=True), LiveItem(item_id="new", deleted=True)])
    gone = live.scores(ASKS)
    assert gone[:, [live.catalogue.number("i4"), 30]].isneginf().all()
    assert gone.isneginf().sum() == 2 * len(ASKS)
    four, known = live.catalogue.number("i4"), live.catalogue
    live.apply(
        [LiveItem(item_id="i4", title=known.titles[four], text=known.texts[four], attributes=known.attributes[four])]
    )
    torch.testing.assert_close(live.scores(ASKS)[:3, :30], before[:3], rtol=1e-4, atol=1e-4)


def test_the_last_change_of_an_item_counts_and_unknown_deletions_pass(live: Live) -> None:
    texts = [LiveItem(item_id="new", title=t) for t in ("a", "b", "black mirror")]
    live.apply([LiveItem(item_id="never", deleted=True), *texts])
    live.apply(
        [LiveItem(item_id="n2", title="black mirror"), LiveItem(item_id="n3"), LiveItem(item_id="n3", deleted=True)]
    )
    assert live.catalogue.ids[30:] == ("new", "n2", "n3")
    found = live.scores(ASKS[:3])
    torch.testing.assert_close(found[:, 30], found[:, 31], rtol=1e-4, atol=1e-4)
    assert found[:, 32].isneginf().all()


@pytest.mark.parametrize("kind", ["sasrec", "popularity"])
def test_a_model_that_cannot_grow_or_read_says_so_and_answers_the_rest(kind: str, world: World) -> None:
    live = Live.load(world.popularity if kind == "popularity" else world.sasrec / "seed-0")
    assert not live.can_grow
    assert not live.can_read
    before = live.scores([Ask((3, 10)), Ask()])
    live.apply([LAMP, LiveItem(item_id="i4", title="night"), LiveItem(item_id="i5", deleted=True)])
    assert live.catalogue.waiting == {"new"}
    assert "new" not in live.catalogue
    assert live.catalogue.title(live.catalogue.number("i4")) == "night"
    after = live.scores([Ask((3, 10)), Ask()])
    five = live.catalogue.number("i5")
    assert after[:, five].isneginf().all()
    after[:, five] = before[:, five]
    assert torch.equal(after, before)
    assert (live.vectors([Ask((3,))]) is None) == (kind == "popularity")
    assert (live.item_vectors() is None) == (kind == "popularity")
    with pytest.raises(ModelError, match=rf"{kind} cannot read text\. Pass a user or a history"):
        live.scores([Ask(prompt="a lamp")])


def test_the_behavioural_view_reads_a_prompt_unless_its_item_side_is_adapted(world: World, backbone: Path) -> None:
    live = runs.l2rec(world, backbone, "behavioural")
    assert live.can_grow
    assert live.can_read
    red, green = live.scores([Ask(prompt="a red lamp"), Ask(prompt="a green chair")])
    assert not torch.allclose(red, green, atol=1e-2)
    adapted = runs.l2rec(world, backbone, "behavioural", "adapted")
    assert adapted.can_grow
    assert not adapted.can_read
    with pytest.raises(SettingError, match=r'model\.item_side: "adapted": with the behavioural view alone it cannot'):
        adapted.scores([Ask(prompt="a lamp")])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: Ask(prompt=" "), "the text is empty"),
        (lambda: Ask((3,), prompt=""), "the text is empty"),
        (lambda: Ask((3,), np.zeros(2)), r"attributes: 2 values: the run has 0\. Pass a vector of that length"),
    ],
)
def test_what_cannot_be_asked_says_why(ask: Callable[[], Ask], message: str, live: Live) -> None:
    with pytest.raises(SettingError, match=message):
        live.scores([ask()])


def test_a_user_who_asks_again_is_read_on_and_gets_the_same_scores(live: Live) -> None:
    pasts = [(3, 10), (3, 10, 2), (3, 10, 2, 7), (9, 3, 10, 2, 7)]
    whole = [live.scores([Ask(past)]) for past in pasts]
    live.prefixes = Prefixes(2**30)
    for past, expected in zip(pasts, whole, strict=True):
        both = live.scores([Ask(past, user_id="anna"), Ask((29, 1))])
        torch.testing.assert_close(both[:1], expected, rtol=1e-4, atol=1e-4)
    assert live.prefixes.counts["grown"] == 2
    assert live.prefixes.counts["slid"] == 1
    assert len(live.prefixes) == 1


def test_what_was_read_of_a_text_that_is_rewritten_is_forgotten(live: Live) -> None:
    live.prefixes = Prefixes(2**30)
    live.scores([Ask((3, 10), user_id="anna"), Ask((4, 2), user_id="berta")])
    live.apply([replace_text(live, 3)])
    assert len(live.prefixes) == 1
    after = live.scores([Ask((3, 10, 2), user_id="anna")])
    live.prefixes = Prefixes(0)
    torch.testing.assert_close(after, live.scores([Ask((3, 10, 2))]), rtol=1e-4, atol=1e-4)


def replace_text(live: Live, number: int) -> LiveItem:
    return LiveItem(item_id=live.catalogue.id(number), title="a quite different lamp", text="a quite different lamp")
