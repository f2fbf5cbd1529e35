"""Explanations against their definition: parts that add up, and histories asked again by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from l2rec.errors import ModelError, SettingError
from l2rec.serving.model.explain import explain
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.prefixes import Prefixes
from l2rec.serving.records import LiveItem
from tests.serving.model import runs
from tests.trained import World

HISTORY = (3, 10, 2, 7, 10)
ASKS = [Ask(HISTORY), Ask(HISTORY, prompt="red lamp"), Ask(prompt="red lamp"), Ask()]


@pytest.mark.parametrize("ask", ASKS)
def test_parts_add_up_to_the_scores_that_were_answered(ask: Ask, live: Live) -> None:
    scores = live.scores([ask])[0]
    for reasons in explain(live, ask, [5, 29, 11]).items:
        assert reasons.score == pytest.approx(float(scores[reasons.number]), abs=1e-5)
        assert sum(reasons.parts.values()) == pytest.approx(reasons.score, abs=1e-4)


def test_parts_are_named_for_what_was_asked(live: Live) -> None:
    named = [set(explain(live, ask, [5]).items[0].parts) for ask in ASKS]
    views = {"text", "behaviour", "transition"}
    assert named == [views, views | {"prompt"}, {"prompt"}, views | {"average"}]
    assert [set(explain(live, ask, [5]).experts) for ask in ASKS] == [{"semantic", "behavioural"}] * 2 + [set()] * 2


@pytest.mark.parametrize("kind", ["l2rec", "steered", "sasrec", "popularity"])
def test_without_the_item_that_is_named_first_the_score_falls_most(kind: str, world: World, backbone: Path) -> None:
    runs_of = {"sasrec": world.sasrec / "seed-0", "popularity": world.popularity}
    live = Live.load(runs_of[kind]) if kind in runs_of else runs.l2rec(world, backbone)
    ask = Ask(HISTORY, prompt="red lamp" if kind == "steered" else None)
    for reasons in explain(live, ask, [5, 29, 11]).items:
        [score] = live.scores([ask])[:, reasons.number].tolist()
        falls = {}
        for left_out in set(HISTORY):
            rest = Ask(tuple(n for n in HISTORY if n != left_out), prompt=ask.prompt)
            falls[left_out] = score - float(live.scores([rest])[0, reasons.number])
        named = {carrier.number: carrier.drop for carrier in reasons.carried_by}
        assert named == pytest.approx(falls, abs=1e-4)
        drops = [carrier.drop for carrier in reasons.carried_by]
        assert drops == sorted(drops, reverse=True)
        assert (max(map(abs, drops)) > 1e-3) == (kind != "popularity")


def test_only_what_the_model_reads_is_named_and_what_stood_before_it_moves_up(live: Live) -> None:
    long = (21, 22, *range(8))
    [reasons] = explain(live, Ask(long), [29]).items
    assert {carrier.number for carrier in reasons.carried_by} == set(range(8))
    first = reasons.carried_by[0]
    rest = Ask(tuple(n for n in long if n != first.number))
    assert first.drop == pytest.approx(reasons.score - float(live.scores([rest])[0, 29]), abs=1e-4)


def test_an_item_that_came_later_is_explained_and_explains(live: Live) -> None:
    live.apply([LiveItem(item_id="new", title="red lamp", text="red lamp | red")])
    [reasons] = explain(live, Ask((30, 3)), [30]).items
    assert reasons.parts["transition"] == 0
    assert sum(reasons.parts.values()) == pytest.approx(reasons.score, abs=1e-4)
    assert {carrier.number for carrier in reasons.carried_by} == {30, 3}


def test_a_model_without_parts_still_says_who_carried(world: World) -> None:
    found = explain(Live.load(world.sasrec / "seed-0"), Ask(HISTORY), [5])
    assert (found.items[0].parts, found.experts) == ({}, {})
    assert len(found.items[0].carried_by) == 4


def test_what_cannot_be_explained_says_why(live: Live, world: World) -> None:
    live.apply([LiveItem(item_id="i4", deleted=True)])
    for number in (live.catalogue.number("i4"), 30, -1):
        with pytest.raises(SettingError, match=rf"explain: item number {number}: unknown or deleted\. Explain items"):
            explain(live, Ask(HISTORY), [5, number])
    with pytest.raises(ModelError, match="cannot read text"):
        explain(Live.load(world.popularity), Ask(prompt="a lamp"), [5])
    assert explain(live, Ask(HISTORY), []).items == ()
    assert torch.is_grad_enabled()


def test_between_two_passes_it_asks_whether_to_go_on(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2rec.serving.model.explain._ROWS", 2)
    said: list[str] = []

    def scores(asks: Sequence[Ask]) -> torch.Tensor:
        said.append(f"scores {len(asks)}")
        return Live.scores(live, asks)

    monkeypatch.setattr(live, "scores", scores)
    explain(live, Ask(HISTORY), [5], lambda: said.append("check"))
    assert said == ["scores 1", "check", "check", "scores 2", "check", "scores 2"]

    def stop() -> None:
        raise TimeoutError("enough")

    said.clear()
    with pytest.raises(TimeoutError, match="enough"):
        explain(live, Ask(HISTORY), [5], stop)
    assert said == ["scores 1"]


def test_explaining_leaves_what_is_kept_of_the_user(live: Live) -> None:
    live.prefixes = Prefixes(2**24)
    ask = Ask(HISTORY, user_id="u")
    live.scores([ask])
    explain(live, ask, [5])
    before = live.prefixes.counts["same"]
    live.scores([ask])
    assert live.prefixes.counts["same"] == before + 1
    assert live.prefixes.counts["slid"] == 0
