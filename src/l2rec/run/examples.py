"""What a few users were shown: the same users for every run, so that lists can be read side by side."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from l2rec.data.prepared import Prepared
from l2rec.errors import RunError
from l2rec.evaluation.ranking import Rankings
from l2rec.evaluation.report import Example, Listed
from l2rec.serving.folder import write_text
from l2rec.types import Cases

FILE = "examples.json"
USERS = 3
SHOWN = 8
"""Events of a history that are shown; those before are counted."""
PLACES = 10
"""Places of a list that are shown."""
LEAST = 5
"""Events that an example's history has at least, where there are such histories."""


def examples_of(label: str, rankings: Rankings, cases: Cases, prepared: Prepared) -> list[Example]:
    """Returns a few cases with titles, or ids where there are none; which ones depends on the cases alone."""
    titles = [title or item_id for title, item_id in zip(prepared.items.titles, prepared.item_ids.values, strict=True)]
    found = []
    for row in _chosen(cases):
        history = [titles[number] for number in cases.histories.sequence(row).tolist()]
        target = int(rankings.targets[row])
        places = zip(rankings.lists[row].tolist(), rankings.list_scores[row].tolist(), strict=True)
        shown = [(number, score) for number, score in places if score > float("-inf")][:PLACES]
        listed = tuple(Listed(title=titles[n], score=score, hit=n == target) for n, score in shown)
        found.append(
            Example(
                user=prepared.user_ids.id(int(cases.users[row])),
                history=tuple(history[-SHOWN:]),
                earlier=max(0, len(history) - SHOWN),
                target=titles[target],
                lists={label: listed},
            )
        )
    return found


def _chosen(cases: Cases) -> list[int]:
    lengths = cases.histories.lengths().tolist()
    long = [row for row, length in enumerate(lengths) if length >= LEAST] or list(range(len(lengths)))
    return sorted(random.Random(0).sample(long, min(USERS, len(long))))


def write(examples: Sequence[Example], folder: Path) -> None:
    """Writes the examples of one run into its folder."""
    told = [example.model_dump(mode="json") for example in examples]
    write_text(folder / FILE, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path, label: str) -> list[Example]:
    """Returns the examples of one run under its present label; none where none were written.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        found = [Example.model_validate(told) for told in json.loads(path.read_text(encoding="utf-8"))]
    except ValueError:
        raise RunError(f"{path}: damaged. Run: l2rec evaluate {folder} --again") from None
    return [example.model_copy(update={"lists": {label: next(iter(example.lists.values()))}}) for example in found]


def merged(groups: Iterable[Sequence[Example]]) -> list[Example]:
    """Returns the examples of several runs as one a case, with every run's list; a label's first seed counts."""
    found: dict[tuple[str, str | None], Example] = {}
    for example in (each for group in groups for each in group):
        key = (example.user, example.target)
        before = found.get(key, example)
        found[key] = before.model_copy(update={"lists": {**example.lists, **before.lists}})
    return list(found.values())
