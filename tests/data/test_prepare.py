"""The prepared folder: same bytes, no half-written folder, no order from ids or files, and nothing from the future."""

import random
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2rec.data import order
from l2rec.data.interactions import Log
from l2rec.data.manifest import TABLES
from l2rec.data.prepare import prepare
from l2rec.data.prepared import Prepared, load
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError
from tests.data.logs import events, prepared, texts, write

HEAD = "user_id,item_id,timestamp,rating\n"
Row = tuple[str, str, int, int]
TEMPORAL = SplitSettings(kind="temporal", validation_from=600, test_from=800, cases="all")


def world(users: int = 12, items: int = 15, count: int = 150, seed: int = 0) -> list[Row]:
    """Events with repeats and many ties: times are tens of seconds."""
    chance = random.Random(seed)
    rows = [
        (f"u{chance.randrange(users)}", f"i{chance.randrange(items)}", chance.randrange(100) * 10) for _ in range(count)
    ]
    return [(u, i, t, chance.randrange(1, 6)) for u, i, t in dict.fromkeys(rows)]


def log(folder: Path, rows: list[Row], name: str = "log.csv") -> Path:
    return write(folder / name, HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows))


def bytes_of(data: Prepared) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in data.folder.iterdir()}


@pytest.mark.parametrize("split", [SplitSettings(), TEMPORAL])
def test_preparing_twice_gives_the_same_bytes(tmp_path: Path, split: SplitSettings) -> None:
    source = log(tmp_path, world())
    first, second = (prepare(source, tmp_path / name, split=split) for name in ("a", "b"))
    assert bytes_of(first) == bytes_of(second)
    assert set(bytes_of(first)) == {*TABLES, "manifest.json"}


@pytest.mark.parametrize("split", [SplitSettings(), TEMPORAL])
def test_the_order_of_rows_in_the_file_changes_no_table(tmp_path: Path, split: SplitSettings) -> None:
    rows = world()
    shuffled = random.Random(1).sample(rows, len(rows))
    assert rows != shuffled
    first, second = (prepared(log(tmp_path, r, n), split=split) for r, n in ((rows, "a.csv"), (shuffled, "b.csv")))
    assert first.manifest.files == second.manifest.files


def test_another_seed_gives_other_numbers_and_another_order_of_ties(tmp_path: Path) -> None:
    source = log(tmp_path, [("a", f"i{n}", 5, 1) for n in range(30)])
    first, second = (prepare(source, tmp_path / str(s), split=SplitSettings(seed=s)) for s in (1, 2))
    assert first.item_ids.values != second.item_ids.values
    assert events(first) != events(second)
    assert sorted(events(first)) == sorted(events(second))


def test_ties_and_numbers_do_not_follow_the_ids(tmp_path: Path) -> None:
    ids = [f"i{n:03}" for n in range(200)]
    data = prepared(log(tmp_path, [("a", item, 5, 1) for item in ids]))
    places = [ids.index(item) for _, item, _ in events(data)]
    numbers = [data.item_ids.number(item) for item in ids]
    for sequence in (places, numbers):
        rising = sum(a < b for a, b in pairwise(sequence))
        # Of 199 neighbours in a random order 99.5 rise, with a deviation of 4.1.
        assert 75 < rising < 124


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 3)), min_size=1, max_size=14))
@settings(max_examples=30)
def test_every_event_is_kept_once_and_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pl.DataFrame(rows, {"user_id": pl.String, "item_id": pl.String, "time": pl.Int64}, orient="row").write_parquet(path)
    read = Log(path, len(rows), 0, False, "seconds")
    for keep, expected in ((True, Counter(rows)), (False, Counter(set(rows)))):
        found = order.ordered(read, pl.Series([], dtype=pl.String), SplitSettings(), keep)
        named = [
            (found.user_ids[u], found.item_ids[i], t) for u, i, t in found.frame.select("user", "item", "time").rows()
        ]
        assert Counter(named) == expected
        assert found.duplicates == (0 if keep else len(rows) - len(set(rows)))
        for user in "ab":
            times = [t for u, _, t in named if u == user]
            assert times == sorted(times)
        assert [len(list(group)) for _, group in groupby(named, key=lambda event: event[0])] == [
            sum(u == user for u, _, _ in named) for user in dict.fromkeys(u for u, _, _ in named)
        ]


def test_repeats_at_other_times_or_with_other_ratings_are_no_duplicates(tmp_path: Path) -> None:
    rows = [("a", "x", 1, 1), ("a", "x", 2, 1), ("a", "x", 2, 2), ("a", "x", 2, 2)]
    data = prepared(log(tmp_path, rows))
    assert events(data) == [("a", "x", 1), ("a", "x", 2), ("a", "x", 2)]
    assert data.manifest.counts.duplicate_rows == 1


def test_repeats_of_one_item_in_one_second_do_not_stick_together(tmp_path: Path) -> None:
    rows = [("a", item, 5, rating) for item in "xyz" for rating in range(10)]
    items = "".join(item for _, item, _ in events(prepared(log(tmp_path, rows))))
    assert sum(a == b for a, b in pairwise(items)) < 20


@pytest.mark.parametrize("split", [SplitSettings(), TEMPORAL, TEMPORAL.model_copy(update={"k_core": 3})])
def test_a_marker_planted_after_the_cut_changes_no_training_artefact(tmp_path: Path, split: SplitSettings) -> None:
    rows = sorted(world(), key=lambda row: row[2])
    clean = prepared(log(tmp_path, rows, "clean.csv"), split=split)
    if split.kind == "loo":
        # The marker takes the place of a user's last event; the future of a user is what it did last.
        last = max(n for n, row in enumerate(rows) if row[0] == "u3")
        planted = [*rows[:last], ("u3", "marker", rows[last][2] + 1, 5), *rows[last + 1 :]]
    else:
        planted = [*rows, ("u3", "marker", 900, 5), ("stranger", "marker", 700, 5), ("stranger", "i1", 701, 1)]
    marked = prepared(log(tmp_path, planted, "marked.csv"), split=split)
    assert "marker" in marked.item_ids
    assert marked.manifest.files["train.parquet"] == clean.manifest.files["train.parquet"]
    trained = int((clean.items.counts > 0).sum())
    assert marked.item_ids.values[:trained] == clean.item_ids.values[:trained]
    assert marked.items.counts[:trained].tolist() == clean.items.counts[:trained].tolist()
    assert not marked.items.counts[trained:].any()
    users = len(clean.user_ids) - clean.manifest.counts.new_users
    assert marked.user_ids.values[:users] == clean.user_ids.values[:users]


def test_ids_that_pandas_wrote_as_floats_meet_those_written_as_integers(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write(folder / "interactions.csv", "user_id,item_id,timestamp\n1.0,7.0,5.0\n1.0,8.0,6.0\n2.0,7.0,7.0\n")
    write(folder / "items.csv", "item_id,title\n7,Lamp\n8,Chair\n")
    write(folder / "users.csv", "user_id,age\n1,20\n2,30\n")
    data = prepared(folder)
    assert texts(data) == {"7": "Lamp", "8": "Chair"}
    assert sorted(data.user_ids.values) == ["1", "2"]
    assert (data.manifest.counts.items_without_row, data.manifest.counts.users_without_events) == (0, 0)


def test_items_without_training_events_stay_and_are_numbered_last(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    log(folder, [("a", "x", 1, 1), ("a", "y", 2, 1), ("a", "z", 3, 1)], "interactions.csv")
    write(folder / "items.csv", "item_id,title\nx,Lamp\nnever,Chair\nz,Desk\n")
    data = prepared(folder)
    assert texts(data) == {"x": "Lamp", "y": "", "z": "Desk", "never": "Chair"}
    assert data.item_ids.number("x") == 0
    assert data.items.counts.tolist() == [1, 0, 0, 0]
    counts = data.manifest.counts
    assert (counts.items, counts.new_items, counts.items_without_row, counts.items_without_text) == (4, 3, 1, 1)


def test_the_core_counts_training_events_alone(tmp_path: Path) -> None:
    # rare: two training events and one held out; a core of three over the whole log would keep it.
    rows = [(u, i, t, 1) for u in "abc" for t, i in enumerate(("x", "y", "z"))]
    rows += [("a", "rare", 5, 1), ("b", "rare", 6, 1), ("c", "rare", 700, 1), ("c", "x", 900, 1)]
    rows += [("d", "x", 1, 1), ("d", "y", 650, 1), ("new", "x", 660, 1), ("new", "gone", 910, 1), ("e", "lost", 2, 1)]
    data = prepared(log(tmp_path, rows), split=TEMPORAL.model_copy(update={"k_core": 3}))
    train = [(u, i) for u, i, t in events(data) if t < 600]
    assert sorted(train) == [(u, i) for u in "abc" for i in "xyz"]
    # d had a training event that fell out, so it leaves; new had none, so it stays, and so do held-out items.
    assert sorted(data.user_ids.values) == ["a", "b", "c", "new"]
    assert sorted(data.item_ids.values) == ["gone", "rare", "x", "y", "z"]
    counts = data.manifest.counts
    assert (counts.outside_core, counts.outside_core_users, counts.new_users) == (4, 2, 1)


def test_a_core_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"k_core 50: no training event is left\. Lower it\."):
        prepared(log(tmp_path, world()), split=SplitSettings(k_core=50))


def test_a_least_rating_leaves_lower_ones_out_and_counts_them(tmp_path: Path) -> None:
    rows = world()
    data = prepared(log(tmp_path, rows), split=SplitSettings(min_rating=4))
    assert Counter(events(data)) == Counter((u, i, t) for u, i, t, r in rows if r >= 4)
    assert data.manifest.counts.low_rating == sum(r < 4 for *_, r in rows)
    with pytest.raises(DataError, match=r"min_rating 9\.0: no event has such a rating\. Lower it\."):
        prepared(log(tmp_path, rows), split=SplitSettings(min_rating=9))


def test_the_share_of_ties_is_the_share_of_events_that_share_their_second(tmp_path: Path) -> None:
    rows = [("a", "x", 1, 1), ("a", "y", 1, 1), ("a", "z", 2, 1), ("b", "x", 1, 1), ("b", "y", 3, 1)]
    assert prepared(log(tmp_path, rows)).manifest.tie_share == pytest.approx(2 / 5)
    assert order.tied(*(pl.Series(v).to_numpy() for v in ([0], [0]))) == 0


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    source = log(tmp_path, world())
    keep = write(tmp_path / "out" / "thesis.txt", "precious")
    for force in (False, True):
        with pytest.raises(DataError, match=r"out: exists and is no prepared folder\. Choose another folder\."):
            prepare(source, tmp_path / "out", force=force)
    assert keep.read_text() == "precious"


@pytest.mark.parametrize("manifest", ['{"model": "sasrec", "settings": {}}', '{"format": 1}', "[]", "\xff{"])
def test_a_run_folder_is_never_replaced_though_it_has_a_manifest(tmp_path: Path, manifest: str) -> None:
    source, out = log(tmp_path, world()), tmp_path / "out"
    write(out / "manifest.json", manifest, "latin-1")
    write(out / "weights.safetensors", "precious")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    message = (
        r"out: exists, and its manifest\.json is not that of a prepared folder\. "
        r"Choose another folder, or remove this one yourself\.$"
    )
    for force in (False, True):
        with pytest.raises(DataError, match=message):
            prepare(source, out, force=force)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_prepared_folder_whose_table_is_lost_can_be_replaced(tmp_path: Path) -> None:
    source, out = log(tmp_path, world()), tmp_path / "out"
    first = prepare(source, out)
    (out / "train.parquet").unlink()
    assert prepare(source, out, force=True).manifest == first.manifest


def test_a_prepared_folder_is_replaced_only_by_force(tmp_path: Path) -> None:
    first = prepare(log(tmp_path, world()), tmp_path / "out")
    other = log(tmp_path, world(seed=1))
    with pytest.raises(
        DataError, match=r"out: already prepared\. Pass --force to replace it, or choose another folder\."
    ):
        prepare(other, tmp_path / "out")
    assert load(tmp_path / "out").manifest == first.manifest
    second = prepare(other, tmp_path / "out", force=True)
    assert second.manifest.fingerprint != first.manifest.fingerprint


def test_what_fails_leaves_nothing_behind_and_the_old_folder_whole(tmp_path: Path) -> None:
    source = log(tmp_path / "in", world())
    first = prepare(source, tmp_path / "out" / "p")
    for out in ("p", "q"):
        with pytest.raises(DataError, match="k_core 50"):
            prepare(source, tmp_path / "out" / out, split=SplitSettings(k_core=50), force=True)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["p"]
    assert load(tmp_path / "out" / "p").manifest == first.manifest
