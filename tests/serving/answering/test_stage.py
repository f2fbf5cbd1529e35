"""The stage: releases change without a dropped request, items come and go on every server, failures stop nothing."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from l2rec.errors import RunError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.answering.memory import GONE
from l2rec.serving.answering.readymade import from_row
from l2rec.serving.answering.stage import Stage
from l2rec.serving.answering.watch import Watch
from l2rec.serving.doorway import Doorway
from l2rec.serving.metrics import Metrics
from l2rec.serving.model.live import Live
from l2rec.serving.process import NAME, ProcessSettings, application
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.records import LiveItem
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Answer, Filters, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import published, serving
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


class Gate:
    """Loads a release once it is let through."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.opened.set()

    def load(self, path: Path, device: str) -> Live:
        self.reached.set()
        assert self.opened.wait(20)
        return Live.load(path, device)

    def shut(self) -> None:
        self.opened.clear()
        self.reached.clear()


def test_an_item_that_was_deleted_while_a_release_loads_is_never_listed_again(store: SqliteStore, world: World) -> None:
    async def story() -> None:
        gate = Gate()
        stage = Stage(store, Engine(load=gate.load))
        await stage.refresh()
        desk, old = Desk(stage), stage.ready
        new = await asyncio.to_thread(publish, world.sasrec / "seed-1", store, PublishOptions(k=12))
        row = store.user(new.version, "u5").row
        assert row is not None
        gone = [old.shelf.id(int(number)) for number in row.numbers[:2]]
        gate.shut()
        loading = asyncio.create_task(stage.take_over())
        await asyncio.to_thread(gate.reached.wait, 20)
        assert not await stage.put(LiveItem(item_id=gone[0], deleted=True))
        gate.opened.set()
        deleting = None
        while not loading.done():
            listed = ids(await desk.for_user("u5", Wish(12)))
            assert gone[0] not in listed
            if deleting is None:
                deleting = asyncio.create_task(stage.put(LiveItem(item_id=gone[1], deleted=True)))
            elif deleting.done():
                assert gone[1] not in listed
            await asyncio.sleep(0)
        assert deleting is not None
        await deleting
        assert stage.ready is not old
        assert not {*gone} & {*ids(await desk.for_user("u5", Wish(12)))}
        stage.close()

    asyncio.run(story())


@pytest.mark.parametrize("broken", [True, False])
def test_items_are_kept_up_while_a_release_loads_or_cannot_be_loaded(
    store: SqliteStore, world: World, broken: bool
) -> None:
    async def story() -> None:
        gate = Gate()
        stage = Stage(store, Engine(load=gate.load))
        watch = Watch(stage, 0.02)
        await watch.look()
        desk, good = Desk(stage), stage.ready.release
        first = ids(await desk.for_user("u5", Wish()))[0]
        if broken:
            bad = good.model_copy(update={"version": "broken", "run": "gone"})
            store.begin(bad.model_copy(update={"finished": None}))
            store.switch(bad)
            watch.pause = 10
            await watch.look_for_a_release()
        else:
            await asyncio.to_thread(publish, world.sasrec / "seed-1", store, PublishOptions(k=12))
            gate.shut()
        task = asyncio.create_task(watch.go_on())
        if not broken:
            await asyncio.to_thread(gate.reached.wait, 20)
        await asyncio.to_thread(store.put_items, [LiveItem(item_id=first, deleted=True)])  # through another server

        async def is_gone() -> bool:
            return first not in ids(await desk.for_user("u5", Wish()))

        assert await until(is_gone, 5) < 1
        assert stage.ready.release == good
        gate.opened.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        stage.close()

    asyncio.run(story())


def test_a_release_whose_rows_are_gone_says_so(store: SqliteStore, world: World) -> None:
    async def story() -> None:
        stage = Stage(store)
        await stage.refresh()
        old = stage.ready.release.version
        assert not stage.is_gone
        await asyncio.to_thread(publish, world.sasrec / "seed-1", store, PublishOptions(k=12))
        await stage.keep_up()
        assert not stage.is_gone
        store.drop(old)
        await stage.keep_up()
        assert stage.is_gone
        assert (await stage.memory.user(old, "u5"))[1] == GONE
        await stage.refresh()
        assert not stage.is_gone
        stage.close()

    asyncio.run(story())


def test_readyz_tells_of_gone_rows(store: SqliteStore, world: World, caplog: pytest.LogCaptureFixture) -> None:
    def wait_for(seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not seen():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with serving(store) as client:
        assert client.get("/readyz").json()["rows"] == "kept"
        new = publish(world.sasrec / "seed-1", store, PublishOptions(k=12))
        broken = new.model_copy(update={"version": "broken", "run": "gone"})
        store.begin(broken.model_copy(update={"finished": None}))
        store.switch(broken)
        wait_for(lambda: "no run in this folder" in caplog.text)  # till then the one before may be taken over
        store.drop(client.get("/readyz").json()["version"])
        wait_for(lambda: bool(client.get("/readyz").json()["rows"] == "gone"))


def test_an_item_put_on_one_server_is_on_all_in_a_second(world: World, backbone: Path, tmp_path: Path) -> None:  # noqa: F811
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
