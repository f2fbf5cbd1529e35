"""What a data set can and cannot show, before any claim is made on it: numbers, and the same in words."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from l2rec.config import Settings
from l2rec.data import traits
from l2rec.data.prepared import Part, Prepared
from l2rec.data.traits import IdOrder, Transitions

FILE = "diagnosis.json"
"""Where a prepared folder keeps its diagnosis."""

_FILM = re.compile(r"\((?:18|19|20)\d\d\)\s*$")


class Quantiles(Settings):
    """How a number is spread."""

    least: float
    """The smallest value."""
    p10: float
    """A tenth of all values is at most this."""
    median: float
    """Half of all values is at most this."""
    p90: float
    """Nine tenths of all values are at most this."""
    most: float
    """The largest value."""
    mean: float
    """The arithmetic mean."""


class Popularity(Settings):
    """How unevenly the training events are spread over the catalogue."""

    gini: float
    """Gini coefficient over all items: 0 where all are equally popular, near 1 where one has all events."""
    top_1_percent: float
    """Share of the events that the most popular hundredth of the items has."""
    top_10_percent: float
    """Share of the events that the most popular tenth of the items has."""


class Text(Settings):
    """What a language model gets to read."""

    covered_share: float
    """Share of the items that have any text."""
    distinct_share: float
    """Share of the items whose text no other item has."""
    film_share: float
    """Share of the titles that end in a year in brackets, as films do."""
    words: Quantiles
    """Words of an item's text."""


class Held(Settings):
    """What the cases of a part ask."""

    cases: int
    """How many cases there are."""
    new_item_share: float
    """Share of the cases whose target has no training event."""
    new_user_share: float
    """Share of the cases whose user has no training event."""
    repeat_share: float
    """Share of the cases whose target the user had before; out of reach where seen items are masked."""


class Diagnosis(Settings):
    """All of it; of the held-out parts only what the cases ask, and nothing of it reaches a model."""

    source: str
    """What was prepared."""
    source_kind: str
    """The public format that it was read as."""
    fingerprint: str
    """Fingerprint of the prepared folder."""
    split_name: str
    """What a protocol calls the split."""
    timestamp_kind: str
    """seconds, or position where the source tells the order alone."""
    users: int
    """Users with a training event."""
    items: int
    """Items of the catalogue."""
    trained_items: int
    """Items with a training event."""
    events: int
    """Training events."""
    history: Quantiles
    """Training events of a user who has any."""
    repeat_share: float
    """Share of the training events whose item the same user had before."""
    tied_share: float
    """Share of the training events that have the timestamp of another event of the same user."""
    tied_end_share: float
    """Share of the users whose last two training events have the same timestamp."""
    transitions: Transitions
    """What the last item alone tells of the next."""
    id_order: IdOrder
    """Whether sequences follow their ids."""
    popularity: Popularity
    """How unevenly the events are spread."""
    text: Text
    """What a language model gets to read."""
    validation: Held
    """What the validation cases ask."""
    test: Held
    """What the test cases ask."""
    floor: dict[str, float] | None = None
    """What the transition heuristic reaches on the validation cases, by metric; None where it was not measured."""

    def sentences(self) -> list[str]:
        """Returns the diagnosis in words, the general first; `warnings` are not among them."""
        return [*_of_the_size(self), *_of_the_order(self), *_of_the_content(self), *_of_the_cases(self)]

    def warnings(self) -> list[str]:
        """Returns what forbids or bends a claim on this data, with what to do about it; the gravest first."""
        return [text for applies, text in _WARNINGS if applies(self)]


def diagnose(prepared: Prepared, floor: Mapping[str, float] | None = None) -> Diagnosis:
    """Returns the diagnosis of a prepared folder.

    Args:
        prepared: The data.
        floor: What the transition heuristic, counted on the training part, reaches on the validation cases, by metric.
    """
    train, counts = prepared.train, prepared.items.counts.numpy()
    lengths = train.lengths().numpy()
    manifest = prepared.manifest
    return Diagnosis(
        source=manifest.source,
        source_kind=manifest.source_kind,
        fingerprint=manifest.fingerprint,
        split_name=manifest.split_name,
        timestamp_kind=manifest.timestamp_kind,
        users=int((lengths > 0).sum()),
        items=len(counts),
        trained_items=int((counts > 0).sum()),
        events=len(train.items),
        history=_quantiles(lengths[lengths > 0]),
        repeat_share=traits.repeat_share(train),
        tied_share=traits.tied_share(train),
        tied_end_share=traits.tied_end_share(train),
        transitions=traits.transitions(train),
        id_order=traits.id_order(train, prepared.item_ids.values),
        popularity=Popularity(
            gini=traits.gini(counts),
            top_1_percent=traits.top_share(counts, 0.01),
            top_10_percent=traits.top_share(counts, 0.1),
        ),
        text=_text(prepared),
        validation=_held(prepared, "validation"),
        test=_held(prepared, "test"),
        floor=None if floor is None else dict(floor),
    )


def save(diagnosis: Diagnosis, folder: Path) -> Path:
    """Writes `diagnosis.json` into a folder, whole or not at all, and returns its path."""
    path = folder / FILE
    fresh = path.with_suffix(".tmp")
    fresh.write_text(diagnosis.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(fresh, path)
    return path


def _quantiles(values: npt.NDArray[np.int64]) -> Quantiles:
    values = values if len(values) else np.zeros(1, np.int64)
    least, p10, median, p90, most = (
        float(q) for q in np.quantile(values, (0, 0.1, 0.5, 0.9, 1), method="inverted_cdf")
    )
    return Quantiles(least=least, p10=p10, median=median, p90=p90, most=most, mean=float(values.mean()))


def _text(prepared: Prepared) -> Text:
    texts, titles = prepared.items.texts, prepared.items.titles
    return Text(
        covered_share=float(np.mean([bool(text.strip()) for text in texts])),
        distinct_share=sum(count == 1 for count in Counter(texts).values()) / len(texts),
        film_share=float(np.mean([bool(_FILM.search(title)) for title in titles])),
        words=_quantiles(np.array([len(text.replace(" | ", " ").split()) for text in texts])),
    )


def _held(prepared: Prepared, part: Part) -> Held:
    cases = prepared.cases(part)
    if not len(cases):
        return Held(cases=0, new_item_share=0.0, new_user_share=0.0, repeat_share=0.0)
    histories = cases.histories
    row = np.repeat(np.arange(len(cases)), histories.lengths().numpy())
    repeated = np.unique(row[histories.items.numpy() == cases.targets.numpy()[row]])
    trained = prepared.train.lengths()[cases.users.long()]
    return Held(
        cases=len(cases),
        new_item_share=float((prepared.items.counts[cases.targets.long()] == 0).double().mean()),
        new_user_share=float((trained == 0).double().mean()),
        repeat_share=len(repeated) / len(cases),
    )


def _of_the_size(d: Diagnosis) -> list[str]:
    kind = "seconds" if d.timestamp_kind == "seconds" else "positions: the source tells the order alone"
    return [
        f"{d.source} ({d.source_kind}, split {d.split_name}): {d.users:,} users, {d.items:,} items of which "
        f"{d.trained_items:,} are in the training part, {d.events:,} training events; times are {kind}.",
        f"Half of the users have at most {d.history.median:g} training events, nine in ten at most "
        f"{d.history.p90:g}; the shortest history has {d.history.least:g}, the longest {d.history.most:g}.",
        f"A tenth of the items has {d.popularity.top_10_percent:.1%} of the events, a hundredth has "
        f"{d.popularity.top_1_percent:.1%} (Gini {d.popularity.gini:.2f}).",
    ]


def _of_the_order(d: Diagnosis) -> list[str]:
    steps, ids = d.transitions, d.id_order
    ties = (
        f"{d.tied_share:.1%} of the events share their time with another event of the same user, and for "
        f"{d.tied_end_share:.1%} of the users the last two do: their order is drawn by lot, not known."
    )
    untold = "The source tells no times, so nobody knows how many events were at the same time."
    return [
        f"{d.repeat_share:.1%} of the events repeat an item that the user had before.",
        ties if d.timestamp_kind == "seconds" else untold,
        f"An item is followed by {steps.successors:.1f} different items on average, and {steps.familiar_share:.1%} of "
        f"all steps occur twice or more. The most frequent other successor is right in {steps.guessed_share:.1%} of "
        f"the steps, always saying the most popular item in {steps.popular_share:.1%}.",
        f"{ids.sorted_share:.1%} of the sequences of three events or more are in the order of their item ids; by "
        f"chance it would be {ids.sorted_by_chance:.1%}. {ids.rising_share:.1%} of all steps lead to a higher id.",
    ]


def _of_the_content(d: Diagnosis) -> list[str]:
    return [
        f"{d.text.covered_share:.1%} of the items have a text, half of them at most {d.text.words.median:g} words, "
        f"nine in ten at most {d.text.words.p90:g}; {d.text.distinct_share:.1%} have a text of their own."
    ]


def _of_the_cases(d: Diagnosis) -> list[str]:
    held = [
        f"The {name} part asks {part.cases:,} cases: {part.new_item_share:.1%} want an item and "
        f"{part.new_user_share:.1%} come from a user that has no training event; {part.repeat_share:.1%} want an item "
        f"that the user had before."
        for name, part in (("validation", d.validation), ("test", d.test))
    ]
    if d.floor is None:
        return held
    reached = ", ".join(f"{name} {value:.4f}" for name, value in d.floor.items())
    return [*held, f"On the validation cases the transition heuristic reaches {reached}; that is the bar."]


_Applies = Callable[[Diagnosis], bool]
_WARNINGS: tuple[tuple[_Applies, str], ...] = (
    (
        lambda d: d.source_kind.startswith("movielens") or d.text.film_share > 0.8,
        "Films like these are in every language model's memory: no claim about a language model can rest on this set. "
        "Use it for speed and smoke, and an Amazon set for claims.",
    ),
    (
        lambda d: d.id_order.sorted_share - d.id_order.sorted_by_chance > 0.05,
        "Far more sequences are in the order of their ids than chance gives: ties were once broken by the id. Let no "
        "model see or sort by an id, and read a gain on these sequences with doubt.",
    ),
    (
        lambda d: d.timestamp_kind == "position",
        "The times are positions: no split in time, no elapsed time, no popularity of a last window can be had.",
    ),
    (
        lambda d: max(d.tied_share, d.tied_end_share) > 0.1,
        "Many events share their time with another of the same user, so that what is asked next is partly a lot. "
        "Repeat the comparison with another seed of the split.",
    ),
    (
        lambda d: d.validation.repeat_share > 0.01,
        "Users come back to items, and what they had before is out of reach where seen items are masked. Give the "
        "numbers with evaluation.mask_seen=false too.",
    ),
    (
        lambda d: d.text.covered_share < 0.9,
        "Many items have no text, so a language model sees nothing of them. Give an items table with titles.",
    ),
    (
        lambda d: d.history.median < 3,
        "Half of the users have fewer than three training events: sequences say little here. Look at the slice of long "
        "histories, or ask for a k-core.",
    ),
    (
        lambda d: d.test.cases < 1000,
        "There are fewer than 1,000 test cases, so intervals are wide and small gains are not to be seen.",
    ),
)
