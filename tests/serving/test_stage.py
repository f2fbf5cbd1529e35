"""The stage: releases change without a dropped request, items come and go on every server, failures stop nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from l2rec.errors import RunError
from l2rec.serving.desk import Desk
from l2rec.serving.doorway import Doorway
from l2rec.serving.edition import Edition, Engine
from l2rec.serving.memory import Memory
from l2rec.serving.metrics import Metrics
from l2rec.serving.process import NAME, ProcessSettings, application
from l2rec.serving.publish import PublishOptions, publish
from l2rec.serving.readymade import from_row
from l2rec.serving.records import LiveItem
from l2rec.serving.stage import Stage
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.watch import Watch
from l2rec.serving.wishes import Answer, Filters, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import published
from tests.trained import World


@pytest.fixture
def store(world: World, tmp_path: Path) -> SqliteStore:
    return published(world.sasrec / "seed-0", tmp_path / "store.sqlite")


async def until(true: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """Waits until something is true and returns how long it took."""
    started = time.monotonic()
    while not await true():
        assert time.monotonic() - started < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def ids(answer: Answer) -> list[str]:
    return [place.item_id for place in answer.places]


def test_a_new_release_replaces_the_old_one_and_no_question_is_dropped(store: SqliteStore, world: World) -> None:
    async def story() -> None:
        stage = Stage(store)
        watch = Watch(stage, 0.02)
        await watch.look()
        desk, versions, answered = Desk(stage), set[str](), 0
        first = stage.ready
        task = asyncio.create_task(watch.go_on())
        publishing = asyncio.create_task(
            asyncio.to_thread(publish, world.sasrec / "seed-1", store, PublishOptions(k=12))
        )
        while not publishing.done() or stage.ready is first:
            answers = await asyncio.gather(*(desk.for_ask([f"i{n}"], None, None, Wish()) for n in range(8)))
            assert {answer.source for answer in answers} == {"fresh"}
            versions |= {answer.version for answer in answers}
            answered += len(answers)
        second = await publishing
        versions.add((await desk.for_ask(["i3"], None, None, Wish())).version)
        assert versions == {first.release.version, second.version}
        assert answered > 8
        store.rollback()

        async def is_back() -> bool:
            return (await desk.for_user("u5", Wish())).version == first.release.version

        await until(is_back, 20)
        task.cancel()
        stage.close()

    asyncio.run(story())


def test_a_release_that_cannot_be_loaded_leaves_the_old_one(store: SqliteStore) -> None:
    async def story() -> None:
        stage = Stage(store)
        watch = Watch(stage, 0.01)
        await watch.look()
        good = stage.ready.release
        broken = good.model_copy(update={"version": "broken", "run": "gone"})
        store.begin(broken.model_copy(update={"finished": None}))
        store.switch(broken)
        with pytest.raises(RunError, match="gone: no run in this folder"):
            await stage.refresh()
        for _ in range(3):
            await watch.look()
        assert watch.pause == pytest.approx(0.08)
        assert (await Desk(stage).for_user("u5", Wish())).version == good.version
        store.rollback()
        await watch.look()
        assert watch.pause == pytest.approx(0.01)
        stage.close()

    asyncio.run(story())


def test_an_item_put_through_one_server_is_recommendable_on_all_within_a_second(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = runs.l2rec(world, backbone).folder.path
    store = published(run, tmp_path / "store.sqlite")

    async def story() -> None:
        stages = [Stage(store), Stage(SqliteStore(tmp_path / "store.sqlite"))]
        watches = [Watch(stage, 0.2) for stage in stages]
        for watch in watches:
            await watch.look()
        tasks = [asyncio.create_task(watch.go_on()) for watch in watches]
        here, there = (Desk(stage) for stage in stages)
        item = LiveItem(item_id="new", title="red lamp", text="red lamp 0", attributes=("colour=red", "size=new"))
        assert await stages[0].put(item)
        wish = Wish(3, filters=Filters(allow_attributes=frozenset({"size=new"})))
        assert ids(await here.for_user("u5", wish)) == ["new"]

        async def is_there() -> bool:
            return ids(await there.for_user("u5", wish)) == ["new"]

        assert await until(is_there, 5) < 1
        ahead, fresh = await there.for_user("u5", Wish(31)), await there.for_ask([], None, None, wish)
        assert (ahead.source, fresh.source) == ("fresh", "popular")
        row = store.user(stages[1].ready.release.version, "u5").row
        assert row is not None
        numbers, scores = from_row(stages[1].ready, row, Wish(13), ())
        assert scores == sorted(scores, reverse=True)
        assert 30 in numbers or scores[-1] >= stages[1].ready.shelf.vectors[0] @ row.vector.astype("f4")
        await stages[1].put(LiveItem(item_id="new", deleted=True))
        assert ids(await there.for_user("u5", wish)) == []
        for task in tasks:
            task.cancel()
        for stage in stages:
            stage.close()

    asyncio.run(story())


def test_a_process_is_what_its_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ProcessSettings(store=f"sqlite:///{tmp_path / 'store.sqlite'}", most=7, largest=3)
    monkeypatch.setenv(NAME, settings.model_dump_json())
    app = application()
    engine = app.state.desk.stage.engine
    assert (engine.most, engine.largest, engine.device) == (7, 3, "cpu")


def test_users_are_remembered_up_to_a_number(store: SqliteStore) -> None:
    async def story() -> None:
        release = store.current()
        assert release is not None
        memory = Memory(store, most=2)
        for user in ("u1", "u2", "u3", "nobody"):
            state, down = await memory.user(release.version, user)
            assert (state.row is None, down) == (user == "nobody", False)
        assert len(memory) == 2
        await memory.user("another", "nobody")
        assert len(memory) == 0

    asyncio.run(story())


def test_the_doorway_passes_on_what_is_no_request() -> None:
    async def story() -> None:
        seen = []

        async def app(scope: dict[str, object], receive: object, send: object) -> None:
            seen.append(scope["type"])

        await Doorway(app, Metrics())({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
        assert seen == ["lifespan"]

    asyncio.run(story())


def test_an_edition_knows_what_it_has_taken(store: SqliteStore) -> None:
    release = store.current()
    assert release is not None
    store.put_items([LiveItem(item_id="i3", title="Anew"), LiveItem(item_id="i4", deleted=True)])
    edition = Edition.load(release, store.items(), Engine())
    number = edition.shelf.number("i3")
    assert number is not None
    assert (edition.shelf.title(number), edition.changes) == ("Anew", 2)
    assert edition.shelf.deleted == {edition.shelf.number("i4")}
    edition.close()
