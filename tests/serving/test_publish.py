"""Publishing: lists as the live model gives them, histories with their events, resumed after a kill, live at once."""

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
from l2rec.run import Options, train
from l2rec.run.record import ranked
from l2rec.serving.audience import audience_of
from l2rec.serving.folder import RunFolder
from l2rec.serving.index import Cells
from l2rec.serving.lists import Lister
from l2rec.serving.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender, pasts
from l2rec.serving.records import Event, Release, UserRow
from l2rec.serving.store.sqlite import SqliteStore
from tests.trained import SASREC, World, settings

SMALL = PublishOptions(k=9, batch=7)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture(scope="session")
def run(world: World) -> Path:
    return world.sasrec / "seed-0"


@pytest.fixture(scope="session")
def three_signals(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run whose scores are dot products and the transition floor's."""
    model = {**SASREC, "transition_weight": 0.7}
    return train(settings(world, model), tmp_path_factory.mktemp("runs") / "third", Options(device="cpu")).path


def rows_of(store: SqliteStore, release: Release) -> dict[str, UserRow]:
    found = {}
    for user_id in store.user_ids(release.version, "", 10_000):
        row = store.user(release.version, user_id).row
        assert row is not None
        found[user_id] = row
    return found


def written(store: SqliteStore, release: Release) -> dict[str, bytes]:
    return {user_id: row.to_bytes() for user_id, row in rows_of(store, release).items()}


def happened(*pairs: tuple[str, str]) -> list[Event]:
    return [Event(f"e{n}", user, item, 1.6e9 + n) for n, (user, item) in enumerate(pairs)]


@pytest.mark.parametrize("model", ["sasrec", "popularity", "three_signals"])
def test_every_list_is_the_live_models(
    model: str, world: World, store: SqliteStore, request: pytest.FixtureRequest
) -> None:
    paths = {"sasrec": world.sasrec / "seed-0", "popularity": world.popularity}
    path = paths.get(model) or request.getfixturevalue(model)
    release = publish(path, store, SMALL)
    live, rows = Recommender.load(path), rows_of(store, release)
    assert set(rows) == set(load(world.prepared).user_ids.values)
    for user_id, row in rows.items():
        expected = live.recommend(user_id=user_id, k=9)
        assert live.item_ids.ids(row.numbers.tolist()) == [one.item_id for one in expected]
        assert row.scores.tolist() == pytest.approx([one.score for one in expected], rel=1e-5, abs=1e-6)
        assert live.item_ids.ids(row.history.tolist()) == live.item_ids.ids(
            pasts(live.data).sequence(live.data.user_ids.number(user_id)).tolist()
        )


@pytest.mark.parametrize("model", ["sasrec", "popularity", "three_signals"])
def test_every_list_is_the_one_that_the_evaluation_ranked(
    model: str, world: World, request: pytest.FixtureRequest
) -> None:
    paths = {"sasrec": world.sasrec / "seed-0", "popularity": world.popularity}
    lister = Lister(RunFolder.open(paths.get(model) or request.getfixturevalue(model)), 20)
    cases = load(world.prepared).cases("test")
    found = ranked(lister.model, cases, RunFolder.open(world.popularity).settings.evaluation)
    numbers, scores, _ = lister.lists(cases.histories)
    fresh = [row for row in range(len(cases)) if int(cases.targets[row]) not in cases.histories.sequence(row).tolist()]
    assert len(fresh) > 20
    listed = found.listed().numpy()
    for row in fresh:
        assert numbers[row][scores[row] > -np.inf].tolist() == found.lists[row].numpy()[listed[row]].tolist()


def test_the_preference_vector_gives_the_scores_and_the_floor_has_none(run: Path, world: World, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "vectors.db")
    rows = rows_of(store, publish(run, store, SMALL))
    vectors = Lister(RunFolder.open(run), 9).model.item_vectors().detach().numpy()  # type: ignore[operator]
    for row in rows.values():
        assert row.vector.dtype == np.float16
        assert vectors[row.numbers] @ row.vector.astype(np.float32) == pytest.approx(row.scores, rel=0.01, abs=0.01)
    floor = rows_of(store, publish(world.popularity, store, SMALL))
    assert {len(row.vector) for row in floor.values()} == {0}


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


def test_what_a_batch_holds_moves_no_list(run: Path, store: SqliteStore) -> None:
    lists = []
    for batch in (1, 7, 1000):
        rows = rows_of(store, publish(run, store, PublishOptions(k=9, batch=batch)))
        lists.append({user_id: row.numbers.tolist() for user_id, row in rows.items()})
    assert lists[0] == lists[1] == lists[2]


def test_batches_are_bucketed_by_length_and_bounded_by_tokens(world: World) -> None:
    audience = audience_of(load(world.prepared), load(world.prepared).item_ids, [], 0)
    plan = audience.plan(8, torch.ones(30, dtype=torch.long), batch=10, max_tokens=40)
    sizes = audience.histories.lengths().clamp(max=8).numpy()
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(audience)))
    assert (np.diff(sizes[np.concatenate(plan)]) <= 0).all()
    assert all(len(users) * sizes[users].max() <= 40 for users in plan)
    assert all(len(users) == min(10, 40 // sizes[users].max()) for users in plan[:-1])


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
from l2rec.serving.publish import PublishOptions, publish
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


def test_faiss_is_published_with_its_recall(three_signals: Path, run: Path, store: SqliteStore) -> None:
    for path in (run, three_signals):
        release = publish(path, store, PublishOptions(k=9, index="faiss"))
        assert release.index.startswith("faiss IVF")
        assert release.recall is not None
        assert 0.9 < release.recall <= 1
        live, rows = Recommender.load(path), rows_of(store, release)
        same = 0
        for user_id, row in rows.items():
            expected = live.recommend(user_id=user_id, k=9)
            places = {one.item_id: one.score for one in expected}
            found = live.item_ids.ids(row.numbers.tolist())
            assert not set(row.numbers.tolist()) & set(row.history.tolist())
            for item_id, score in zip(found, row.scores.tolist(), strict=True):
                if item_id in places:
                    assert score == pytest.approx(places[item_id], rel=1e-4, abs=1e-5)
                    same += 1
        assert same / (9 * len(rows)) == pytest.approx(release.recall, abs=0.05)


def test_with_all_cells_the_third_signal_is_lost_only_where_both_rank_an_item_low(three_signals: Path) -> None:
    exact, near = (Lister(RunFolder.open(three_signals), 9, kind) for kind in ("exact", "faiss"))
    assert isinstance(near.index, Cells)
    near.index.probe(near.index.count)
    histories = pasts(RunFolder.open(three_signals).data())
    (right, _, vectors), (found, _, _) = exact.lists(histories), near.lists(histories)
    dots = torch.from_numpy(vectors) @ exact.index.vectors.T  # type: ignore[union-attr]
    for row in range(len(histories)):
        for lost in set(right[row].tolist()) - set(found[row].tolist()):
            assert int((dots[row] > dots[row][lost]).sum()) >= 9
    assert np.mean([len(set(a) & set(b)) / 9 for a, b in zip(right.tolist(), found.tolist(), strict=True)]) > 0.9


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


def test_a_list_is_no_longer_than_the_catalogue(run: Path, store: SqliteStore) -> None:
    release = publish(run, store)
    assert release.k == 30
    for row in rows_of(store, release).values():
        assert len(row.numbers) == 30 - len(set(row.history.tolist()))
