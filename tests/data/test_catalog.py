"""An item's text and attributes, from what an items table may hold."""

from pathlib import Path

import pytest

from l2rec.data import catalog
from l2rec.data.columns import Columns, resolved
from l2rec.data.lines import CsvTable
from l2rec.data.sources._open import table
from l2rec.errors import DataError
from tests.data.logs import json_lines, write


def read(path: Path, **settings: object) -> catalog.Catalogue:
    log = CsvTable(path.parent / "log.csv", ("user_id", "item_id", "timestamp"))
    items = table(path, "utf-8", None)
    return catalog.read(items, resolved(Columns.model_validate(settings), log, items, None))


def texts(found: catalog.Catalogue) -> list[str]:
    return found.frame["text"].to_list()


@pytest.mark.parametrize(
    ("record", "text", "tokens"),
    [
        ({"title": "Lamp"}, "Lamp", []),
        ({"title": " A&amp;B \t&#39;s\u00a0<br/>lamp\n"}, "A&B 's lamp", []),
        ({"title": "Vector<int>, 3 < 4"}, "Vector<int>, 3 < 4", []),
        ({"title": "日本語 🎬"}, "日本語 🎬", []),
        ({"title": None, "brand": "Acme"}, "Acme", ["brand=Acme"]),
        ({"title": "", "brand": "  ", "genres": []}, "", []),
        ({"title": "T", "genres": "Comedy|Drama"}, "T | Comedy, Drama", ["genres=Comedy", "genres=Drama"]),
        ({"title": "T", "genres": ["Drama", None, "Drama"]}, "T | Drama, Drama", ["genres=Drama"]),
        (
            {"title": "T", "categories": ["Beauty > Nails"]},
            "T | Beauty > Nails",
            ["categories=Beauty", "categories=Nails", "categories=Beauty > Nails"],
        ),
        (
            {"title": "T", "category": ["Home", "Lamps"]},
            "T | Home > Lamps",
            ["category=Home", "category=Lamps", "category=Home > Lamps"],
        ),
        (
            {"title": "T", "categories": [["A", "B"], ["A"]]},
            "T | A > B, A",
            ["categories=A", "categories=B", "categories=A > B"],
        ),
        ({"title": "T", "year": 1995}, "T", ["year=1995"]),
        ({"title": "T", "brand": "[not json"}, "T | [not json", ["brand=[not json"]),
        ({"title": "T", "description": "a | b", "tags": ["late"]}, "T | a | b", []),
    ],
)
def test_a_record_becomes_this_text_and_these_tokens(
    tmp_path: Path, record: dict[str, object], text: str, tokens: list[str]
) -> None:
    found = read(write(tmp_path / "items.jsonl", json_lines([{"item_id": "x", **record}])))
    assert texts(found) == [text]
    assert found.frame["attributes"].to_list() == [tokens]


def test_a_long_description_is_cut_at_a_blank_and_a_long_title_is_not(tmp_path: Path) -> None:
    record = {"item_id": "x", "title": "t" * 300, "description": "word " * 100}
    found = read(write(tmp_path / "items.jsonl", json_lines([record])), text_characters=22)
    assert texts(found) == ["t" * 300 + " | word word word word"]
    unbroken = {"item_id": "x", "title": "t", "description": "w" * 100}
    found = read(write(tmp_path / "items.jsonl", json_lines([unbroken])), text_characters=22)
    assert texts(found) == ["t | " + "w" * 22]


def test_only_the_named_columns_enter_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "item_id,name,colour,brand\nx,Lamp,red,Acme\n")
    found = read(path, text=("colour",), item_attributes=("colour", "brand"))
    assert texts(found) == ["Lamp | red"]
    assert found.frame["attributes"].to_list() == [["colour=red", "brand=Acme"]]
    assert texts(read(path, title="none", text=())) == [""]


def test_of_two_rows_with_one_id_the_first_counts(tmp_path: Path) -> None:
    found = read(write(tmp_path / "items.csv", "item_id,title\nx,First\ny,Other\nx,Second\n"))
    assert dict(zip(found.frame["item_id"], texts(found), strict=True)) == {"x": "First", "y": "Other"}
    assert found.duplicates == 1


def test_an_item_without_an_id_is_refused_with_its_line_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", 'item_id,title\nx,"two\nlines"\n,Nameless\n')
    with pytest.raises(DataError, match=r"items\.csv line 4: item_id: empty\. Fix the row, or pass --bad-rows drop\."):
        read(path)
    found = read(path, bad_rows="drop")
    assert (texts(found), found.bad_rows) == (["two lines"], 1)


def test_an_unescaped_quote_and_a_surplus_comma_are_refused_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "item_id,title\nx,Lamp, red\ny,Chair\n")
    with pytest.raises(DataError, match=r"items\.csv line 2: 3 fields: expected 2 \(item_id, title\)\. Fix the row"):
        read(path)
    assert texts(read(path, bad_rows="drop")) == ["Chair"]
    path = write(tmp_path / "items.csv", 'item_id,title\nx,"Lamp" red\ny,Chair\n')
    with pytest.raises(DataError, match=r"items\.csv line 2: .*\. Fix the row, or pass --bad-rows drop\."):
        read(path)


def test_no_items_table_gives_an_empty_catalogue() -> None:
    found = catalog.read(None, Columns())
    assert (len(found.frame), found.duplicates, found.bad_rows) == (0, 0, 0)
