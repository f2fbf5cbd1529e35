"""Whether a prompt moves lists the right way, and whether they stay the user's own: ml-latest-small, one trained run.

Prompts are made from genres, decades and exclusions that the catalogue has; half of them name the genres as the data
does, half describe them in words that no attribute has. Weights are chosen on one half of the combinations and users,
by the mean of two figures (NDCG@10 of what is described, overlap with the user's own best matching items); the table is
the other half. A list is the first ten unseen items. Intervals are over prompts, or over users for the held-out item.

    python bench/steering.py RUN [--prompts 80] [--users 8]
"""

import argparse
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from l2rec.evaluation.ranking import best
from l2rec.evaluation.significance import interval
from l2rec.models import Retriever, TextReader
from l2rec.serving.model.facts import Facts
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.steering import Shares, Weights, parse, steered
from steering_prompts import Asked, Truth, describing, prompts

RESULT = Path(__file__).parent / "results" / "steering.json"
PLACES, SEED = 10, 7
MEASURES = ("genre", "decade", "excluded", "matching", "own", "unlike", "ndcg@10", "recall@10")
"""Shares of the list: the wanted genre, the decade, the unwanted genre, all that is asked; overlap with the user's own
best matching items; what two users' lists for one prompt do not share; and where the described held-out item stands."""
GRID = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)


@dataclass(frozen=True)
class Way:
    """One way of answering.

    Attributes:
        reading: How the words are read, `asked` or `described`.
        weights: What each share counts for.
        personal: Whether the user's history counts.
    """

    reading: str
    weights: Weights
    personal: bool = True


@dataclass(frozen=True)
class Half:
    """Prompts for lists, with their users, and the held-out items of users with a prompt that describes them."""

    lists: list[tuple[Asked, list[int]]]
    targets: list[tuple[Asked, int]]


class Bench:
    """The run's scores for all users, the catalogue's facts and what was read of each prompt."""

    def __init__(self, run: str) -> None:
        """Scores every user's history once."""
        self.live = Live.load(run)
        data = self.live.folder.data()
        self.truth, self.facts = Truth.of(data.items), Facts(data.items.titles, data.items.attributes)
        cases = data.cases("test")
        self.targets = cases.targets.tolist()
        self.seen = [cases.histories.sequence(row).long() for row in range(len(cases))]
        self.history = self.live.scores([Ask(tuple(past.tolist())) for past in self.seen])
        self._shares: dict[tuple[str, str], Shares] = {}

    def half(self, number: int, count: int, users: int) -> Half:
        """Returns one half of prompts and users."""
        chance = random.Random(SEED + number)
        mine = range(number, len(self.targets), 2)
        lists = [(asked, chance.sample(mine, users)) for asked in prompts(self.truth, count, SEED, number)]
        told = [
            (describing(self.truth, self.targets[u], chance, number, "named" if u // 2 % 2 else "described"), u)
            for u in mine
        ]
        return Half(lists, [(asked, user) for asked, user in told if asked is not None])

    @torch.no_grad()
    def read(self, reading: str, texts: tuple[str, ...]) -> Tensor:
        """Returns the text scores of every item for some texts."""
        assert isinstance(self.live.model, Retriever)
        assert isinstance(self.live.model, TextReader)
        ask = self.live.model.text_vectors if reading == "asked" else self.live.model.described
        vectors = self.live.item_vectors()
        assert vectors is not None
        return ask(texts).float() @ vectors.T

    def shares(self, reading: str, prompt: str) -> Shares:
        """Returns what a prompt says of every item."""
        if (reading, prompt) not in self._shares:
            steer = parse(prompt)
            found = self.read(reading, (steer.wanted, *steer.unwanted))
            facts = self.facts
            self._shares[reading, prompt] = Shares(
                found[0],
                found[1:],
                facts.wanted(steer.wanted),
                facts.excluded(steer.unwanted),
                facts.left(steer.wanted),
                tuple(facts.left(text) for text in steer.unwanted),
            )
        return self._shares[reading, prompt]

    def scored(self, way: Way | None, asked: Asked, user: int, but: int | None = None) -> Tensor:
        """Returns one way's scores; seen items but `but` are out."""
        scores = self.history[user].clone()
        if way is not None:
            past = scores if way.personal else torch.zeros_like(scores)
            shares = self.shares(way.reading, asked.prompt)
            if not (way.weights.stated or way.weights.excluded):
                shares = Shares(shares.wanted, shares.unwanted)
            scores = steered(past, shares, way.weights)
        hidden = self.seen[user]
        scores[hidden if but is None else hidden[hidden != but]] = -torch.inf
        return scores

    def lists(self, way: Way | None, half: Half) -> np.ndarray:
        """Returns the measures of lists, a row a prompt."""
        return np.array([self._listed(way, asked, users) for asked, users in half.lists])

    def _listed(self, way: Way | None, asked: Asked, users: list[int]) -> list[float]:
        rows = torch.stack([self.scored(way, asked, user) for user in users])
        found, _ = best(rows, PLACES)
        matching = self.truth.matching(asked)
        own, _ = best(torch.stack([self.scored(None, asked, u) for u in users]).where(matching, -1e9), PLACES)
        true = (self.truth.genres[asked.genre], self.truth.decades[asked.decade], self.truth.genres[asked.unwanted])
        shares = [float(have[found].float().mean()) for have in (*true, matching)]
        sets, owned = [set(row) for row in found.tolist()], [set(row) for row in own.tolist()]
        overlap = np.mean([len(a & b) / PLACES for a, b in zip(sets, owned, strict=True)])
        unlike = np.mean([1 - len(a & b) / PLACES for a, b in itertools.combinations(sets, 2)])
        return [*shares, float(overlap), float(unlike)]

    def found(self, way: Way | None, half: Half) -> np.ndarray:
        """Returns NDCG and recall of the held-out items, a row a user."""
        places = []
        for asked, user in half.targets:
            target = self.targets[user]
            scores = self.scored(way, asked, user, but=target)
            others = int((scores == scores[target]).sum()) - 1
            places.append(int((scores > scores[target]).sum()) + others / 2)
        place = np.array(places)
        return np.stack([np.where(place < PLACES, 1 / np.log2(place + 2), 0), place < PLACES], 1).astype(float)


def choose(bench: Bench, half: Half, start: Way, names: tuple[str, ...]) -> Way:
    """Returns the way with the weights that are best on a half, found by going twice through one weight after another.

    The best has the highest sum of NDCG@10 of what is described and overlap with the user's own best matching items.
    """

    def worth(way: Way) -> float:
        return float(bench.found(way, half)[:, 0].mean() + bench.lists(way, half)[:, 4].mean())

    way = start
    for name in names * 2:
        tried = [replace(way, weights=replace(way.weights, **{name: value})) for value in GRID]
        way = max(tried, key=worth)
    return way


def chosen(bench: Bench, half: Half) -> dict[str, Way | None]:
    """Returns the ways of the table, each with the weights that are best on the half."""
    words, facts = ("wanted", "unwanted"), ("stated", "excluded")
    text = Weights(2.0, 1.0, 0.0, 0.0)
    joined = choose(bench, half, Way("described", Weights(2.0, 1.0, 4.0, 4.0)), (*words, *facts))
    return {
        "no prompt": None,
        "semantic, as a question": choose(bench, half, Way("asked", text), words),
        "semantic, as a description": choose(bench, half, Way("described", text), words),
        "stated facts alone": choose(bench, half, Way("described", Weights(0.0, 0.0, 4.0, 4.0)), facts),
        "semantic + stated facts": joined,
        "the same without the user": replace(joined, personal=False),
    }


def table(bench: Bench, ways: dict[str, Way | None], half: Half) -> dict[str, dict[str, object]]:
    """Returns mean and interval of every measure: all prompts, each wording, less no prompt, less stated facts."""
    before, facts = _measured(bench, None, half), _measured(bench, ways["stated facts alone"], half)
    out: dict[str, dict[str, object]] = {}
    for name, way in ways.items():
        values = _measured(bench, way, half)
        out[name] = {"weights": None if way is None else asdict(way.weights)}
        for wording in ("all", "named", "described"):
            out[name][wording] = _summary(values, half, wording, lambda now, _: now, before)
        out[name]["gain"] = _summary(values, half, "all", lambda now, then: now - then, before)
        out[name]["over facts"] = _summary(values, half, "all", lambda now, then: now - then, facts)
    return out


def _measured(bench: Bench, way: Way | None, half: Half) -> tuple[np.ndarray, np.ndarray]:
    return bench.lists(way, half), bench.found(way, half)


def _summary(
    now: tuple[np.ndarray, np.ndarray],
    half: Half,
    wording: str,
    of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    then: tuple[np.ndarray, np.ndarray],
) -> dict[str, list[float]]:
    found: list[list[float]] = []
    for values, old, asked in zip(now, then, (half.lists, half.targets), strict=True):
        kept = np.array([wording in ("all", one.wording) for one, _ in asked])
        taken = of(values, old)[kept]
        low, high = interval(taken)
        found += np.stack([taken.mean(0), low, high], 1).round(4).tolist()
    return dict(zip(MEASURES, found, strict=True))


def show(results: dict[str, dict[str, object]]) -> None:
    """Prints the table, a block a wording."""
    for wording in ("all", "named", "described", "gain", "over facts"):
        print(f"\n{wording:28}" + "".join(f"{measure:>23}" for measure in MEASURES))
        for name, result in results.items():
            row = result[wording]
            assert isinstance(row, dict)
            cells = [f"{mean:7.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in row.values()]
            print(f"{name:28}" + "".join(f"{cell:>23}" for cell in cells))


def main() -> None:
    """Chooses on one half, reports the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run")
    parser.add_argument("--prompts", type=int, default=80)
    parser.add_argument("--users", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.run)
    few = bench.half(0, options.prompts, 4)
    ways = chosen(bench, Half(few.lists, few.targets[:150]))
    half = bench.half(1, options.prompts, options.users)
    results = table(bench, ways, half)
    show(results)
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "run": {"model": bench.live.folder.manifest.model, "data": bench.live.folder.settings.data},
        "prompts": len(half.lists),
        "users a prompt": options.users,
        "held-out items": len(half.targets),
        "examples": [asked.prompt for asked, _ in half.lists[:8]],
        "results": results,
    }
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
