"""The house keeps its budgets, and each check of the inspector can fail."""

import subprocess
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parents[1]

PYPROJECT = """
[tool.ruff.lint]
select = ["C90", "PL", "D"]
[tool.ruff.lint.mccabe]
max-complexity = 8
[tool.ruff.lint.pylint]
max-args = 6
"""
GOOD = {
    "pyproject.toml": PYPROJECT,
    "README.md": "Reads `runs/demo/home/x` and https://example.org/home/y.\n",
    "src/l2rec/__init__.py": '"""The package of this test."""\n',
    "src/l2rec/data/__init__.py": '"""The room of this test."""\n',
    "src/l2rec/data/ids.py": '"""Holds enough lines to need a test."""\n' + "\n".join(f"A{n} = {n}" for n in range(40)),
    "tests/data/test_ids.py": '"""Looks at the forty constants."""\n',
}
LONG_DOCSTRING = '    """Says much.\n\n' + "    More.\n" * 50 + '    """\n'
FORTY = "".join(f"    a{n} = {n}\n" for n in range(39))
FINE = {
    "a file of 300 lines": {"bench/speed.py": '"""Holds as much as it may."""\n' + "A = 1\n" * 299},
    "a function of forty lines": {"bench/speed.py": f'"""Says what it does."""\n\ndef f():\n{LONG_DOCSTRING}{FORTY}'},
    "comments are no code": {
        "bench/speed.py": f'"""Says what it does."""\n\ndef f():\n{FORTY}    # why\n\n    # not\n'
    },
    "six parameters": {"bench/speed.py": '"""Says what it does."""\n\ndef f(self, a, b, c, d, *, e, g): ...\n'},
    "the loop is a page": {
        "src/l2rec/training/__init__.py": '"""The room of the loop."""\n',
        "src/l2rec/training/loop.py": f'"""Is long by design."""\n\ndef f():\n{FORTY}{FORTY}',
        "tests/training/test_loop.py": '"""Looks at the loop."""\n',
    },
    "a file that is named for the inner room": {
        "src/l2rec/data/sources/__init__.py": '"""The room of formats."""\n',
        "src/l2rec/data/sources/amazon.py": '"""Is long enough."""\n' + "A = 1\n" * 50,
        "tests/data/test_sources.py": '"""Looks at all formats."""\n',
    },
    "a command's parameters are its options": {
        "src/l2rec/cli/__init__.py": '"""The room of commands."""\n',
        "src/l2rec/cli/prepare.py": '"""Is one command."""\n\ndef prepare(a, b, c, d, e, f, g, h): ...\n' + "\n" * 50,
        "tests/cli/test_commands.py": '"""Runs the commands."""\nrun("prepare", "sample")\n',
    },
    "a module that a test of its room imports": {
        "src/l2rec/data/times.py": '"""Is long enough."""\n' + "A = 1\n" * 50,
        "src/l2rec/data/order.py": '"""Is long enough."""\n' + "A = 1\n" * 50,
        "tests/data/test_clock.py": '"""Looks at two."""\nfrom l2rec.data import order\nimport l2rec.data.times\n',
    },
    "a model is tested by what every model owes": {
        "src/l2rec/models/__init__.py": '"""The room of models."""\n',
        "src/l2rec/models/floors/__init__.py": '"""The room of floors."""\n',
        "src/l2rec/models/floors/new.py": '"""Adds a model by one file."""\n' + "A = 1\n" * 50,
        "tests/models/test_every_model.py": '"""What every model owes."""\n',
    },
}
OPENING = '"""Is bad on purpose."""\n'
BAD = [
    (house.no_file_is_too_long, "bench/a.py", OPENING + "A = 1\n" * 300, "bench/a.py: 301 lines: over 300"),
    (house.no_file_is_too_long, "tests/test_a.py", OPENING + "A = 1\n" * 300, "tests/test_a.py: 301 lines"),
    (house.no_function_is_too_long, "src/l2rec/a.py", f"def f():\n{FORTY}    b = 1\n", "a.py f: 41 lines: over 40"),
    (house.no_function_is_too_long, "src/l2rec/a.py", f"class A:\n  async def f():\n{FORTY}    b = 1\n", "f: 41 lines"),
    (
        house.no_signature_is_too_wide,
        "src/l2rec/a.py",
        "def f(a, b, /, c, d, *, e, g, h): ...",
        "f: 7 parameters: over 6",
    ),
    (house.no_signature_is_too_wide, "src/l2rec/cli/a.py", "def _f(a, b, c, d, e, g, h): ...", "_f: 7 parameters"),
    (house.no_signature_is_too_wide, "src/l2rec/a.py", "def f(**rest): ...", "f: **rest: an open door"),
    (
        house.no_attribute_is_guessed,
        "src/l2rec/a.py",
        "A = 1\nB = getattr(A, 'b')",
        "a.py line 2: getattr: hides a type",
    ),
    (house.no_attribute_is_guessed, "src/l2rec/a.py", "B = hasattr(1, 'b')", "a.py line 1: hasattr: hides a type"),
    (house.no_name_says_nothing, "src/l2rec/utils.py", OPENING, "src/l2rec/utils.py: says nothing"),
    (house.no_name_says_nothing, "src/l2rec/_common.py", OPENING, "src/l2rec/_common.py: says nothing"),
    (house.no_name_says_nothing, "tests/helpers/a.py", OPENING, "tests/helpers: says nothing"),
    (house.every_file_opens_with_a_sentence, "src/l2rec/a.py", "A = 1", "src/l2rec/a.py: opens without a sentence"),
    (house.every_file_opens_with_a_sentence, "src/l2rec/a.py", '"""Stuff."""', "a.py: opens without a sentence"),
    (house.every_file_opens_with_a_sentence, "tests/a.py", '"""Has no full stop"""', "a.py: opens without a sentence"),
    (house.every_module_has_its_tests, "src/l2rec/data/b.py", "A = 1\n" * 30, "untested. Write tests/data/test_b.py"),
    (house.every_module_has_its_tests, "src/l2rec/_b.py", "A = 1\n" * 30, "untested. Write tests/test_b.py"),
    (house.every_module_has_its_tests, "src/l2rec/cli/b.py", "A = 1\n" * 30, "untested. Write tests/cli/test_b.py"),
    (house.every_test_room_is_a_room, "tests/attic/test_a.py", OPENING, "tests/attic: mirrors no room"),
    (house.every_room_is_listed, "src/l2rec/attic/a.py", OPENING, "src/l2rec/attic: not in the list of rooms"),
    (house.every_room_is_listed, "src/l2rec/nn/a.py", OPENING, "src/l2rec/nn: no __init__.py"),
    (house.nothing_is_pickled, "src/l2rec/a.py", "import json, pickle", "a.py line 1: pickle: pickles"),
    (house.nothing_is_pickled, "src/l2rec/a.py", "from joblib.memory import Memory", "joblib.memory: pickles"),
    (house.nothing_is_pickled, "src/l2rec/a.py", "import torch\ntorch.load('a')", "a.py line 2: torch.load: pickles"),
    (
        house.nothing_is_pickled,
        "src/l2rec/data/a.py",
        "import torch\ntorch.save({}, 'a')",
        "a.py line 2: torch.save: pickles",
    ),
    (house.nothing_is_pickled, "src/l2rec/a.py", "np.load('a', allow_pickle=True)", "allow_pickle: pickles"),
    (house.no_text_is_local_or_unfinished, "docs/a.md", "See\n`/ho" + "me/me/x`", 'line 2: "/ho' + 'me/m": a path'),
    (house.no_text_is_local_or_unfinished, "configs/a.toml", 'data = "/tm' + 'p/x"', "a.toml line 1"),
    (house.no_text_is_local_or_unfinished, "src/l2rec/a.py", "# TO" + "DO: more", "unfinished. Finish it"),
    (
        house.the_linter_keeps_its_part,
        "pyproject.toml",
        PYPROJECT.replace("= 8", "= 9"),
        "max-complexity 9: expected 8",
    ),
    (house.the_linter_keeps_its_part, "pyproject.toml", PYPROJECT.replace("= 6", "= 7"), "max-args 7: expected 6"),
    (house.the_linter_keeps_its_part, "pyproject.toml", PYPROJECT.replace('"C90", ', ""), "does not select C90"),
]


def built(root: Path, *files: dict[str, str]) -> Path:
    """A little house on disk."""
    for name, text in {k: v for some in files for k, v in some.items()}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", house.CHECKS, ids=lambda check: check.__name__)
def test_the_house_keeps_the_law(check: house.Check) -> None:
    complaints = list(check(ROOT))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("extra", [{}, *FINE.values()], ids=["nothing more", *FINE])
def test_a_good_house_has_no_complaint(extra: dict[str, str], tmp_path: Path) -> None:
    root = built(tmp_path, GOOD, extra)
    assert [complaint for check in house.CHECKS for complaint in check(root)] == []


@pytest.mark.parametrize(("check", "name", "text", "complaint"), BAD)
def test_a_bad_house_has_one_complaint(
    check: house.Check, name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    [found] = check(built(tmp_path, GOOD, {name: text}))
    assert complaint in found


def test_every_check_is_seen_to_fail() -> None:
    assert {check for check, *_ in BAD} == set(house.CHECKS)


def test_only_tracked_files_are_read_where_there_is_a_repository(tmp_path: Path) -> None:
    root = built(tmp_path, GOOD, {"docs/mine.md": "/ho" + "me/me", "docs/ours.md": "/ho" + "me/us"})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "docs/ours.md"], cwd=root, check=True)
    [found] = house.no_text_is_local_or_unfinished(root)
    assert found.startswith("docs/ours.md line 1")
