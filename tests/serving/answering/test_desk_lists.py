"""What a list holds and leaves out, whoever makes it; what is like an item, and why an item is listed."""

from collections.abc import Callable

import pytest
import torch

from l2rec.serving.answering.batching import LateError
from l2rec.serving.answering.desk import Desk, UnknownError
from l2rec.serving.recommender import Recommender
from l2rec.serving.records import LiveItem
from l2rec.serving.wishes import Filters, Wish
from tests.serving.answering.moods import Stubborn, ids
from tests.trained import World


def test_filters_and_the_seen_rule_are_kept_by_every_source(tell: Callable[..., None], world: World) -> None:
    recommender = Recommender.load(world.sasrec / "seed-0")
    past = set(recommender._pasts.sequence(recommender.data.user_ids.number("u5")).tolist())
    seen = set(recommender.item_ids.ids(past))
    red = {f"i{n}" for n in range(0, 30, 5)}

    async def story(desk: Desk) -> None:
        wish = Wish(30, filters=Filters(allow_attributes=frozenset({"colour=red"})))
        for item in sorted(red):
            await desk.stage.put(LiveItem(item_id=item, title=item, attributes=("colour=red",)))
        assert set(ids(await desk.for_user("u5", wish))) == red - seen
        assert set(ids(await desk.for_user("u5", Wish(30, False, wish.filters)))) == red
        assert set(ids(await desk.for_user("nobody", wish))) == red
        for filters in (Filters(deny=frozenset(red)), Filters(deny_attributes=frozenset({"colour=red"}))):
            found = await desk.for_user("u5", Wish(30, filters=filters))
            assert set(ids(found)) == set(recommender.item_ids.values) - red - seen
        first = await desk.for_user("u5", Wish(3))
        rest = await desk.for_user("u5", Wish(2, filters=Filters(deny=frozenset({ids(first)[0]}))))
        assert (ids(rest), rest.source) == (ids(first)[1:], "cached")

    tell(story)


def test_diversity_at_zero_is_the_order_of_the_scores(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        plain = await desk.for_user("u5", Wish(6))
        varied = await desk.for_user("u5", Wish(6, diversity=0.9))
        assert varied.source == "fresh"
        assert ids(varied)[0] == ids(plain)[0]
        assert ids(varied) != ids(plain)

    tell(story)


def test_a_deleted_item_stands_in_no_list_until_it_is_put_again(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        before = await desk.for_user("u5", Wish(5))
        item = ids(before)[0]
        assert not await desk.stage.put(LiveItem(item_id=item, deleted=True))
        assert ids(await desk.for_user("u5", Wish(4))) == ids(before)[1:]
        for answer in (await desk.for_user("nobody", Wish(30)), await desk.for_ask(["i3"], None, None, Wish(30))):
            assert item not in ids(answer)
            assert len(ids(answer)) >= 28
        assert await desk.stage.put(LiveItem(item_id=item, title="Back", attributes=("colour=new",)))
        back = await desk.for_user("u5", Wish(5))
        assert tuple(back.places[0])[:2] == (item, "Back")
        new = Wish(5, filters=Filters(allow_attributes=frozenset({"colour=new"})))
        for who in ("u5", "nobody"):
            assert ids(await desk.for_user(who, new)) == [item]

    tell(story)


def test_similar_items_are_the_nearest_vectors(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        answer = await desk.similar("i3", 4, Filters(deny=frozenset({"i5"})))
        live = desk.stage.ready.live
        vectors = live.item_vectors()
        assert vectors is not None
        own = live.catalogue.number("i3")
        cosine = torch.cosine_similarity(vectors, vectors[own][None]).tolist()
        others = [n for n in range(30) if n not in (own, live.catalogue.number("i5"))]
        best = sorted(others, key=lambda n: -cosine[n])[:4]
        assert ids(answer) == [live.catalogue.id(n) for n in best]
        with pytest.raises(UnknownError, match=r"items/nothing: no such item\. Put it first\."):
            await desk.similar("nothing", 4, Filters())

    tell(story)


def test_an_explanation_is_of_the_list_and_names_who_carried_it(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        listed = await desk.for_user("u5", Wish(2))
        explanation, edition, notes = await desk.explained("u5", [], Wish(2))
        assert [edition.shelf.id(one.number) for one in explanation.items] == ids(listed)
        assert notes == ()
        first = explanation.items[0]
        assert first.score == pytest.approx(listed.scores[0], abs=1e-4)
        row = desk.stage.store.user(edition.release.version, "u5").row
        assert row is not None
        drops = [one.drop for one in first.carried_by]
        assert drops == sorted(drops, reverse=True)
        assert drops[0] > 0
        assert {one.number for one in first.carried_by} <= set(row.history.tolist())
        only, _, _ = await desk.explained("u5", ["i29"], Wish())
        assert [edition.shelf.id(one.number) for one in only.items] == ["i29"]
        with pytest.raises(UnknownError, match="users/nobody: nothing is known of this user"):
            await desk.explained("nobody", [], Wish())
        with pytest.raises(UnknownError, match="items/nothing: no such item"):
            await desk.explained("u5", ["nothing"], Wish())
        Stubborn.gate.clear()
        with pytest.raises(LateError):
            await desk.explained("u5", [], Wish(deadline=0.05))

    tell(story)
