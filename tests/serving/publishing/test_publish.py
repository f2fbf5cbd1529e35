"""Publishing: histories with their events, resumed after a kill, live at once, old releases gone."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from l2rec.data.prepared import load
from l2rec.errors import RunError, SettingError, StoreError
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender, pasts
from l2rec.serving.records import Event, Release
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.publishing.published import SMALL, happened, rows_of, written
from tests.trained import World


def test_events_continue_histories_and_bring_new_users(run: Path, world: World, store: SqliteStore) -> None:
    store.append(happened(("u3", "i4"), ("new", "i5"), ("u3", "i6"), ("new", "i7"), ("a'; DROP TABLE rows", "i1")))
    release = publish(run, store, SMALL)
    live, rows, data = Recommender.load(run), rows_of(store, release), load(world.prepared)
    past = pasts(data).sequence(data.user_ids.number("u3")).tolist()
    assert release.upto == 5
    assert rows["u3"].history.tolist() == [*past, *live.item_ids.numbers(["i4", "i6"])]
    assert live.item_ids.ids(rows["new"].history.tolist()) == ["i5", "i7"]
    assert len(rows) == len(data.user_ids) + 2 == release.users
    for user_id in ("u3", "new", "a'; DROP TABLE rows"):
        history = live.item_ids.ids(rows[user_id].history.tolist())
        expected = [one.item_id for one in live.recommend(history=history, k=9)]
        assert live.item_ids.ids(rows[user_id].numbers.tolist()) == expected
        assert store.user(release.version, user_id).events == ()


def test_an_event_with_an_unknown_item_is_left_for_a_server_that_knows_it(run: Path, store: SqliteStore) -> None:
    store.append(happened(("new", "i5"), ("u3", "i4"), ("new", "live"), ("new", "i7"), ("odd", "live")))
    release = publish(run, store, SMALL)
    state = store.user(release.version, "new")
    assert state.row is not None
    assert Recommender.load(run).item_ids.ids(state.row.history.tolist()) == ["i5"]
    assert [event.item_id for event in state.events] == ["live", "i7"]
    odd = store.user(release.version, "odd")
    assert odd.row is not None
    assert len(odd.row.numbers) == 9, "never empty"
    assert [event.item_id for event in odd.events] == ["live"]


def test_popularity_is_of_all_events(world: World, run: Path, store: SqliteStore) -> None:
    before = publish(run, store, SMALL).popular
    coldest = before[-1]
    item = Recommender.load(run).item_ids.id(coldest)
    store.append(happened(*[(f"n{n}", item) for n in range(500)]))
    after = publish(run, store, SMALL).popular
    assert after[0] == coldest
    assert sorted(after) == list(range(30))
    counts = torch.bincount(pasts(load(world.prepared)).items, minlength=30)
    assert [int(counts[n]) for n in before] == sorted(counts.tolist(), reverse=True)


def test_the_bar_hears_of_every_batch(run: Path, store: SqliteStore) -> None:
    heard: list[tuple[int, int]] = []
    publish(run, store, PublishOptions(k=3, batch=16, progress=lambda done, users: heard.append((done, users))))
    assert heard == [(16, 40), (32, 40), (40, 40)]


class CutError(Exception):
    """The moment at which a test stops a publishing."""


def cut_after(users: int) -> Callable[[int, int], None]:
    def cut(done: int, _: int) -> None:
        if done >= users:
            raise CutError

    return cut


def test_readers_see_the_old_release_until_the_last_row(run: Path, world: World, store: SqliteStore) -> None:
    first = publish(world.popularity, store, SMALL)
    seen: list[Release | None] = []
    second = publish(run, store, PublishOptions(k=9, batch=7, progress=lambda *_: seen.append(store.current())))
    assert seen == [first] * 6
    assert store.current() == second
    assert store.rollback() == first
    assert len(rows_of(store, first)) == 40


def test_a_resumed_release_is_the_one_that_was_begun(run: Path, store: SqliteStore, tmp_path: Path) -> None:
    store.append(happened(("u3", "i4"), ("new", "i5")))
    with pytest.raises(CutError):
        publish(run, store, PublishOptions(k=9, batch=7, progress=cut_after(14)))
    [begun] = store.releases()
    store.append([Event("late", "new", "i9", 1.7e9)])
    heard: list[int] = []
    release = publish(
        run, store, PublishOptions(k=9, batch=7, resume=True, progress=lambda done, _: heard.append(done))
    )
    assert heard[0] == 21, "what was done is not done again"
    assert release.model_copy(update={"finished": None}) == begun
    assert [event.event_id for event in store.user(release.version, "new").events] == ["late"]
    whole = SqliteStore(tmp_path / "whole.db")
    whole.append(happened(("u3", "i4"), ("new", "i5")))
    assert written(store, release) == written(whole, publish(run, whole, SMALL))


def test_a_release_that_lacks_only_its_switch_is_finished(run: Path, store: SqliteStore) -> None:
    with pytest.raises(CutError):
        publish(run, store, PublishOptions(k=9, batch=7, progress=cut_after(40)))
    assert store.current() is None
    release = publish(run, store, PublishOptions(k=9, batch=7, resume=True, progress=cut_after(0)))
    assert store.current() == release
    assert len(rows_of(store, release)) == 40


@pytest.mark.parametrize("changed", [{"k": 8}, {"run": "seed-1"}])
def test_another_run_or_length_is_no_resumption(
    changed: dict[str, object], run: Path, world: World, store: SqliteStore
) -> None:
    with pytest.raises(CutError):
        publish(run, store, PublishOptions(k=9, batch=7, progress=cut_after(14)))
    path = world.sasrec / str(changed.get("run", "seed-0"))
    release = publish(path, store, PublishOptions(k=int(str(changed.get("k", 9))), batch=7, resume=True))
    assert len(store.releases()) == 2
    assert len(rows_of(store, release)) == 40


def test_a_resumption_that_would_search_in_another_way_is_refused(run: Path, store: SqliteStore) -> None:
    with pytest.raises(CutError):
        publish(run, store, PublishOptions(k=9, batch=7, progress=cut_after(14)))
    with pytest.raises(StoreError, match=r"begun for 40 users with exact; now .* faiss IVF.* Publish anew, without"):
        publish(run, store, PublishOptions(k=9, batch=7, index="faiss", resume=True))


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.store.sqlite import SqliteStore

run, place, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
begun = threading.Event()

def watch():
    begun.wait()
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=watch, daemon=True).start()

class Watched(SqliteStore):
    def begin(self, release):
        super().begin(release)
        begun.set()

slowly = PublishOptions(k=9, batch=1, resume=True, progress=lambda *_: time.sleep(0.01))
publish(run, Watched(place), slowly)
"""


def test_a_publishing_killed_at_random_places_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    place, chance, reached = tmp_path / "killed.db", np.random.default_rng(), [0]
    for _ in range(3):
        seconds = str(chance.uniform(0.0, 0.12))
        done = subprocess.run([sys.executable, "-c", KILLED, run, place, seconds], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        [begun] = SqliteStore(place).releases()
        reached.append(SqliteStore(place).done(begun.version))
    assert reached == sorted(reached)
    assert reached[-1] < 40
    killed, whole = SqliteStore(place), SqliteStore(tmp_path / "whole.db")
    release = publish(run, killed, PublishOptions(k=9, batch=1, resume=True))
    assert release.version == begun.version
    assert written(killed, release) == written(whole, publish(run, whole, PublishOptions(k=9, batch=1)))


def test_two_at_once_make_two_versions(run: Path, store: SqliteStore) -> None:
    inner: list[Release] = []

    def second(done: int, _: int) -> None:
        if done == 14:
            inner.append(publish(run, store, PublishOptions(k=9, batch=7, keep=1)))

    outer = publish(run, store, PublishOptions(k=9, batch=7, keep=1, progress=second))
    assert outer.version != inner[0].version
    assert written(store, outer) == written(store, inner[0])
    assert store.current() == outer
    assert store.rollback() == inner[0]


def test_old_releases_expire_but_never_the_one_to_go_back_to(run: Path, store: SqliteStore) -> None:
    made = [publish(run, store, PublishOptions(k=9, keep=1)) for _ in range(2)]
    assert [r.version for r in store.releases()] == [made[1].version, made[0].version]
    made += [publish(run, store, PublishOptions(k=9, keep=3)) for _ in range(2)]
    assert [r.version for r in store.releases()] == [r.version for r in made[:0:-1]]
    with pytest.raises(CutError):
        publish(run, store, PublishOptions(k=9, batch=7, progress=cut_after(7)))
    unfinished = store.releases()[0]
    made.append(publish(run, store, PublishOptions(k=9, keep=1)))
    assert [r.version for r in store.releases()] == [made[4].version, unfinished.version, made[3].version]
    made += [publish(run, store, PublishOptions(k=9, keep=1)) for _ in range(2)]
    assert [r.version for r in store.releases()] == [made[6].version, made[5].version]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PublishOptions(k=0), r"publish: k 0: below 1\. Set it to 1 or more"),
        (PublishOptions(batch=0), "publish: batch 0: below 1"),
        (PublishOptions(keep=-1), "publish: keep -1: below 1"),
        (PublishOptions(index="annoy"), r"index: annoy: no such kind\. Choose auto, exact or faiss"),
        (PublishOptions(engine="dask"), r"engine dask: no such engine\. Choose local or ray"),
    ],
)
def test_impossible_options_are_refused(options: PublishOptions, message: str, run: Path, store: SqliteStore) -> None:
    with pytest.raises(SettingError, match=message):
        publish(run, store, options)
    assert store.releases() == []


def test_what_is_no_run_is_not_published(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in this folder"):
        publish(tmp_path, store)
