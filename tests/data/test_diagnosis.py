"""The diagnosis tells the prepared data's own numbers, in words, and warns of what bends a claim."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from l2rec.data import diagnosis
from l2rec.data.diagnosis import Diagnosis, diagnose
from l2rec.data.prepare import prepare
from l2rec.data.prepared import Prepared
from l2rec.data.splits import SplitSettings
from tests import worlds

WARNINGS = {
    "memory": ({"source_kind": "movielens"}, "no claim about a language model can rest on this set"),
    "films": ({"text": {"film_share": 0.9}}, "no claim about a language model can rest on this set"),
    "ids": ({"id_order": {"sorted_share": 0.3}}, "ties were once broken by the id"),
    "positions": ({"timestamp_kind": "position"}, "The times are positions"),
    "ties": ({"tied_share": 0.2}, "what is asked next is partly a lot"),
    "tied ends": ({"tied_end_share": 0.2}, "what is asked next is partly a lot"),
    "repeats": ({"validation": {"repeat_share": 0.1}}, "evaluation.mask_seen=false"),
    "no text": ({"text": {"covered_share": 0.5}}, "Give an items table with titles"),
    "short": ({"history": {"median": 2.0}}, "fewer than three training events"),
    "few": ({"test": {"cases": 999}}, "fewer than 1,000 test cases"),
}
HARMLESS = {
    "source_kind": "generic",
    "timestamp_kind": "seconds",
    "tied_share": 0.1,
    "tied_end_share": 0.1,
    "text": {"film_share": 0.5, "covered_share": 0.95},
    "id_order": {"sorted_share": 0.1, "sorted_by_chance": 0.1},
    "validation": {"repeat_share": 0.01},
    "history": {"median": 3.0},
    "test": {"cases": 1000},
}


def changed(base: Diagnosis, values: dict[str, object]) -> Diagnosis:
    """The same diagnosis with other values, nested ones laid over."""
    plain = base.model_dump()
    for name, value in values.items():
        plain[name] = {**plain[name], **value} if isinstance(value, dict) else value
    return Diagnosis.model_validate(plain)


def test_the_numbers_are_those_of_the_training_part(prepared: Prepared) -> None:
    found = diagnose(prepared)
    lengths = prepared.train.lengths()
    assert found.users == int((lengths > 0).sum()) == 40
    assert found.events == int(prepared.items.counts.sum()) == prepared.manifest.counts.train_events
    assert found.trained_items == int((prepared.items.counts > 0).sum()) < found.items == 30
    assert found.history.least == int(lengths.min())
    assert found.history.most == int(lengths.max())
    assert found.history.mean == pytest.approx(float(lengths.float().mean()))
    assert found.history.median in lengths
    words = [len(text.replace("|", " ").split()) for text in prepared.items.texts]
    assert (found.text.words.least, found.text.words.most) == (min(words), max(words))
    assert found.text.covered_share == found.text.distinct_share == 1
    assert found.transitions.guessed_share > 0.4 > 3 * found.transitions.popular_share
    assert found.fingerprint == prepared.manifest.fingerprint


def test_texts_are_counted_by_words_and_twins(prepared: Prepared) -> None:
    texts = ("red | lamp of glass", "red | lamp of glass", " ", *[f"item {n}" for n in range(27)])
    titles = ("Heat (1995)", "Alien (1979) ", "2001", *["(1995) x"] * 27)
    found = diagnose(replace(prepared, items=replace(prepared.items, texts=texts, titles=titles))).text
    assert found.covered_share == pytest.approx(29 / 30)
    assert found.distinct_share == pytest.approx(28 / 30)
    assert found.film_share == pytest.approx(2 / 30)
    assert found.words.model_dump() == {
        "least": 0,
        "p10": 2,
        "median": 2,
        "p90": 2,
        "most": 4,
        "mean": pytest.approx((4 + 4 + 27 * 2) / 30),
    }


def test_one_long_text_does_not_widen_all_others(prepared: Prepared) -> None:
    texts = ("x" * 1_000_000, *["lamp"] * 29)
    long = replace(prepared, items=replace(prepared.items, texts=texts))
    tracemalloc.start()
    try:
        assert diagnose(long).text.distinct_share == pytest.approx(1 / 30)
        # As one numpy array of text it is 30 x 1,000,000 x 4 bytes.
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_cases_are_counted_one_by_one(part: str, tmp_path: Path) -> None:
    log = worlds.write_log(tmp_path / "log", users=60)
    split = SplitSettings(kind="temporal", validation_share=0.2, test_share=0.2, cases="all")
    prepared = prepare(log, tmp_path / "out", split=split)
    cases = prepared.cases(part)
    found = diagnose(prepared).model_dump()[part]
    rows = range(len(cases))
    trained = set(prepared.train.items.tolist())
    assert found["cases"] == len(cases)
    assert found["new_item_share"] == pytest.approx(np.mean([int(t) not in trained for t in cases.targets]))
    rare = replace(prepared, items=replace(prepared.items, counts=prepared.items.counts.clamp(max=1)))
    assert diagnose(rare).model_dump()[part] == found
    new = [not len(prepared.train.sequence(int(user))) for user in cases.users]
    assert found["new_user_share"] == pytest.approx(np.mean(new))
    assert 0 < found["new_user_share"] < 1
    assert diagnose(prepared).users < len(prepared.user_ids)
    assert diagnose(prepared).history.least >= 1
    again = [int(cases.targets[row]) in cases.histories.sequence(row).tolist() for row in rows]
    assert found["repeat_share"] == pytest.approx(np.mean(again))
    assert 0 < found["repeat_share"] < 1


def test_what_was_held_out_moves_only_what_is_said_of_the_cases(prepared: Prepared, tmp_path: Path) -> None:
    log = worlds.write_log(tmp_path / "log")
    lines = (log / "interactions.csv").read_text().splitlines()
    users = [line.split(",")[0] for line in lines]
    last = [n for n, user in enumerate(users) if n and user not in users[n + 1 :]]
    for number in last:
        user, _, time = lines[number].split(",")
        lines[number] = f"{user},i29,{time}"
    (log / "interactions.csv").write_text("\n".join(lines) + "\n")
    before = diagnose(prepared).model_dump(exclude={"test", "fingerprint", "source"})
    after = diagnose(prepare(log, tmp_path / "out"))
    assert after.model_dump(exclude={"test", "fingerprint", "source"}) == before
    assert after.test.new_item_share == 1


def test_the_sentences_tell_the_numbers(prepared: Prepared) -> None:
    found = changed(
        diagnose(prepared, {"ndcg@10": 0.05761}),
        {"users": 22363, "repeat_share": 0.251, "tied_end_share": 0.44, "id_order": {"sorted_share": 0.131}},
    )
    text = " ".join(found.sentences())
    for words in (
        "22,363 users",
        "25.1% of the events repeat",
        "for 44.0% of the users the last two do",
        "13.1% of the sequences of three events or more are in the order of their item ids",
        "The test part asks 40 cases",
        "the transition heuristic reaches ndcg@10 0.0576",
    ):
        assert words in text
    assert "heuristic" not in " ".join(diagnose(prepared).sentences())
    assert "nobody knows how many" in " ".join(changed(found, {"timestamp_kind": "position"}).sentences())


def test_harmless_data_gives_no_warning(prepared: Prepared) -> None:
    assert changed(diagnose(prepared), HARMLESS).warnings() == []


@pytest.mark.parametrize("name", WARNINGS)
def test_a_danger_gives_its_own_warning(name: str, prepared: Prepared) -> None:
    values, words = WARNINGS[name]
    [warning] = changed(changed(diagnose(prepared), HARMLESS), values).warnings()
    assert words in warning


def test_the_saved_diagnosis_is_json_that_reads_back(prepared: Prepared, tmp_path: Path) -> None:
    found = diagnose(prepared, {"ndcg@10": 0.1})
    path = diagnosis.save(found, tmp_path)
    assert json.loads(path.read_text())["floor"] == {"ndcg@10": 0.1}
    assert Diagnosis.model_validate_json(path.read_text()) == found
    assert [p.name for p in tmp_path.iterdir()] == ["diagnosis.json"]


def test_quantiles_are_values_that_occur() -> None:
    found = diagnosis._quantiles(np.arange(1, 11))
    assert found.model_dump() == {"least": 1, "p10": 1, "median": 5, "p90": 9, "most": 10, "mean": 5.5}
