"""The lists of many users: those of the live model and of the evaluation, whatever the batch; near with faiss."""

from pathlib import Path

import numpy as np
import pytest
import torch

from l2rec.data.prepared import load
from l2rec.run import Options, train
from l2rec.run.record import ranked
from l2rec.serving.folder import RunFolder
from l2rec.serving.index import Cells
from l2rec.serving.publishing.audience import audience_of
from l2rec.serving.publishing.lists import Lister
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender, pasts
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.publishing.published import SMALL, rows_of
from tests.trained import SASREC, World, settings


@pytest.fixture(scope="session")
def three_signals(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run whose scores are dot products and the transition floor's."""
    model = {**SASREC, "transition_weight": 0.7}
    return train(settings(world, model), tmp_path_factory.mktemp("runs") / "third", Options(device="cpu")).path


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
    lister = Lister.load(RunFolder.open(paths.get(model) or request.getfixturevalue(model)), 20)
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
    vectors = Lister.load(RunFolder.open(run), 9).model.item_vectors().detach().numpy()  # type: ignore[operator]
    for row in rows.values():
        assert row.vector.dtype == np.float16
        assert vectors[row.numbers] @ row.vector.astype(np.float32) == pytest.approx(row.scores, rel=0.01, abs=0.01)
    floor = rows_of(store, publish(world.popularity, store, SMALL))
    assert {len(row.vector) for row in floor.values()} == {0}


def test_what_a_batch_holds_moves_no_list(run: Path, store: SqliteStore) -> None:
    lists = []
    for batch in (1, 7, 1000):
        rows = rows_of(store, publish(run, store, PublishOptions(k=9, batch=batch)))
        lists.append({user_id: row.numbers.tolist() for user_id, row in rows.items()})
    assert lists[0] == lists[1] == lists[2]


def test_batches_are_bucketed_by_length_and_bounded_by_tokens(world: World) -> None:
    audience = audience_of(load(world.prepared), [], 0)
    plan = audience.plan(8, torch.ones(30, dtype=torch.long), batch=10, max_tokens=40)
    sizes = audience.histories.lengths().clamp(max=8).numpy()
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(audience)))
    assert (np.diff(sizes[np.concatenate(plan)]) <= 0).all()
    assert all(len(users) * sizes[users].max() <= 40 for users in plan)
    assert all(len(users) == min(10, 40 // sizes[users].max()) for users in plan[:-1])


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
    exact, near = (Lister.load(RunFolder.open(three_signals), 9, kind) for kind in ("exact", "faiss"))
    assert isinstance(near.index, Cells)
    near.index.probe(near.index.count)
    histories = pasts(RunFolder.open(three_signals).data())
    (right, _, vectors), (found, _, _) = exact.lists(histories), near.lists(histories)
    dots = torch.from_numpy(vectors) @ exact.index.vectors.T  # type: ignore[union-attr]
    for row in range(len(histories)):
        for lost in set(right[row].tolist()) - set(found[row].tolist()):
            assert int((dots[row] > dots[row][lost]).sum()) >= 9
    assert np.mean([len(set(a) & set(b)) / 9 for a, b in zip(right.tolist(), found.tolist(), strict=True)]) > 0.9


def test_a_list_is_no_longer_than_the_catalogue(run: Path, store: SqliteStore) -> None:
    release = publish(run, store)
    assert release.k == 30
    for row in rows_of(store, release).values():
        assert len(row.numbers) == 30 - len(set(row.history.tolist()))
