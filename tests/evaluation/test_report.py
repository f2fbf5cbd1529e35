"""The report is one file that asks nothing of the network, trusts no text, and tells its charts to the blind."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import ValidationError

from l2rec.evaluation.comparison import Comparison, compare
from l2rec.evaluation.leaderboard import headline
from l2rec.evaluation.report import Curve, Example, HeatMap, Listed, ReportData, page, write
from tests.evaluation.test_comparison import run_of

HOSTILE = "<script>alert('$x_{1$')</script> & \"Söhne\" 千 $"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects tags, texts and ids, and follows the nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    runs = [run_of("ours", 2.0, seed=s) for s in (0, 1)]
    return compare([*runs, run_of(HOSTILE, 0.2, baseline=True), run_of("floor", 0.1, baseline=True)])


@pytest.fixture(scope="module")
def full(comparison: Comparison) -> str:
    lists = {"ours": (Listed(title=HOSTILE, score=12.34, hit=True), Listed(title="b", score=-0.001234))}
    return page(
        ReportData(
            title=HOSTILE,
            comparison=comparison,
            losses=(Curve(label="ours", points=((0.5, 3.0), (1.0, 2.0))), Curve(label=HOSTILE, points=())),
            validations=(Curve(label="elsewhere", points=((1, 0.1),)),),
            routing=(HeatMap(title=HOSTILE, rows=("block0", HOSTILE), columns=("e0",), values=((0.25,), (None,))),),
            fusion={"1": 0.7, "21+": 0.4},
            examples=(
                Example(user=HOSTILE, history=(HOSTILE, "a"), earlier=3, target="b", lists=lists),
                Example(user="new", history=(), lists=lists),
            ),
            facts={HOSTILE: HOSTILE},
            notes=(HOSTILE,),
        )
    )


def test_nothing_is_asked_of_the_network(full: str) -> None:
    reader = read(full)
    assert "://" not in full
    assert "@import" not in full
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "image"})
    addresses = [a.get("href") or a.get("src") or "" for _, a in reader.tags if {"href", "src"} & a.keys()]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", full))
    policy = next(a for _, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none';")


def test_hostile_texts_are_shown_and_do_nothing(full: str) -> None:
    assert "<script" not in full
    reader = read(full)
    shown = [text.strip() for text in reader.texts if text.strip() == HOSTILE]
    assert len(shown) >= 8
    assert any(f"User {HOSTILE}" == text.strip() for text in reader.texts)


def test_references_inside_the_page_have_their_targets(full: str) -> None:
    reader = read(full)
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r"url\(#([^)]*)\)", full)) | {a["href"][1:] for _, a in reader.tags if a.get("href")}
    asked |= {a["aria-labelledby"] for _, a in reader.tags if a.get("aria-labelledby")}
    assert asked <= set(ids)


def test_every_chart_and_table_is_told_to_those_who_do_not_see_it(full: str) -> None:
    reader = read(full)
    charts = [a for _, a in reader.tags if a.get("role") == "img"]
    assert len(charts) == sum(tag == "svg" for tag, _ in reader.tags) == 6
    assert all(len(a["aria-label"] or "") > 30 for a in charts)
    names = [tag for tag, _ in reader.tags]
    assert names.count("table") == names.count("caption") == 5
    assert all(a.get("scope") in ("col", "row") for tag, a in reader.tags if tag == "th")
    assert ("html", {"lang": "en"}) in reader.tags


def test_the_charts_take_the_colours_of_the_page(full: str) -> None:
    assert "currentColor" in full
    assert "var(--s0)" in full
    assert not re.search(r"#0a0b0[cd]|#a0a00\d", full)


def test_the_numbers_are_on_the_page(full: str, comparison: Comparison) -> None:
    text = " ".join(read(full).texts)
    assert headline(comparison) in text
    assert "loo/full/unseen/expected-ties/@5,10,20" in text
    for row in comparison.rows:
        assert f"{row.metrics['ndcg@10'].mean:.4f}".lstrip("0") in text
    assert "12.3" in text
    assert "-0.00123" in text
    assert "✓ chosen next" in text
    assert "no event yet" in text


def test_what_is_empty_is_left_out(comparison: Comparison) -> None:
    text = page(ReportData(title="t", comparison=comparison))
    for heading in ("Training", "Inside the model", "What users were shown", "How these numbers came to be"):
        assert f">{heading}<" not in text
    assert ">Leaderboard<" in text
    read(text)


def test_one_row_alone_and_mixed_rows_have_a_page() -> None:
    alone = compare([run_of("a", 0.2)])
    assert "nothing is claimed" in page(ReportData(title="t", comparison=alone))
    mixed = compare([run_of("a", 0.2), run_of("b", 0.2, part="validation")], labelled=True)
    assert "different protocols" in page(ReportData(title="t", comparison=mixed))


def test_the_same_data_give_the_same_page(comparison: Comparison, tmp_path: Path) -> None:
    data = ReportData(title="t", comparison=comparison, fusion={"1": 0.5})
    first = write(data, tmp_path / "report.html").read_text(encoding="utf-8")
    assert first == page(data)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_map_with_a_cell_too_few_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"values: expected 2 rows of 1, one for each name"):
        HeatMap(title="t", rows=("a", "b"), columns=("c",), values=((0.1,),))


@pytest.mark.parametrize(
    ("skill", "baseline", "said"),
    [
        (
            2.0,
            False,
            r"^us is better than the strongest baseline, floor: ndcg@10 \+\.\d+, 95 % interval \[\+.*\], p \(Ho",
        ),
        (0.35, False, r"^us is ahead of the strongest baseline, floor, but is not shown to be better: ndcg@10 \+\."),
        (0.0, False, r"^No model is above the strongest baseline, floor \(ndcg@10 \.\d+\)\."),
    ],
)
def test_the_headline_says_no_more_than_was_shown(skill: float, baseline: bool, said: str) -> None:
    runs = [run_of("us", skill, baseline=baseline), run_of("floor", 0.3, baseline=True)]
    assert re.search(said, headline(compare(runs)))
