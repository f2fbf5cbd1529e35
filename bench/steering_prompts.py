"""The test set of prompts: genres, decades and exclusions of ml-latest-small, half of them in words of their own."""

import random
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from l2rec.types import Items

Wording = Literal["named", "described"]
DECADES = (1960, 1970, 1980, 1990, 2000, 2010)
NAMED = {
    "Action": "action films",
    "Adventure": "adventures",
    "Animation": "animation",
    "Comedy": "comedies",
    "Crime": "crime films",
    "Documentary": "documentaries",
    "Drama": "dramas",
    "Fantasy": "fantasy",
    "Horror": "horror",
    "Musical": "musicals",
    "Mystery": "mysteries",
    "Romance": "romance",
    "Sci-Fi": "sci-fi",
    "Thriller": "thrillers",
    "War": "war films",
    "Western": "westerns",
}
"""Genres in the words of the attributes."""
DESCRIBED = {
    "Action": ("car chases and explosions", "fights and stunts"),
    "Adventure": ("great journeys and quests", "daring voyages to far places"),
    "Animation": ("cartoons", "hand-drawn and computer-drawn pictures"),
    "Comedy": ("something funny that makes me laugh", "funny stories with jokes"),
    "Crime": ("gangsters and heists", "murderers, police and the mob"),
    "Documentary": ("true accounts of real events", "non-fiction about real people"),
    "Drama": ("serious, moving stories", "sad family stories"),
    "Fantasy": ("magic, wizards and dragons", "fairy tales and magical worlds"),
    "Horror": ("scary monsters and ghosts", "blood, zombies and slashers"),
    "Musical": ("people who sing and dance", "Broadway songs and dancing"),
    "Mystery": ("whodunits with a detective", "puzzles that a sleuth has to solve"),
    "Romance": ("love stories", "couples who fall in love"),
    "Sci-Fi": ("space ships, robots and the future", "aliens and science fiction"),
    "Thriller": ("suspense and tension", "edge-of-the-seat suspense"),
    "War": ("soldiers in battle", "armies, battles and the front line"),
    "Western": ("cowboys and gunslingers", "outlaws of the wild west"),
}
"""Genres in words that no attribute has; each list has a phrase for choosing weights and one for the report."""
SPOKEN = {1960: "sixties", 1970: "seventies", 1980: "eighties", 1990: "nineties"}
TEMPLATES = (
    "{wanted} {decade}, no {unwanted}",
    "I feel like {wanted} {decade} but without {unwanted}",
    "{wanted} {decade}; nothing with {unwanted}",
    "show me {wanted} {decade}, except {unwanted}",
    "{wanted} {decade}. Not {unwanted}, please",
    "tonight {wanted} {decade} (no {unwanted})",
)


@dataclass(frozen=True)
class Asked:
    """One prompt and what it asks for.

    Attributes:
        prompt: Its words.
        genre: The genre that is wanted.
        decade: The decade's first year.
        unwanted: The genre that is not.
        wording: Whether the genres are named as in the data.
    """

    prompt: str
    genre: str
    decade: int
    unwanted: str
    wording: Wording


@dataclass(frozen=True)
class Truth:
    """What the catalogue says of its items, a row of booleans a genre and a decade."""

    genres: dict[str, Bool[Tensor, " N"]]
    decades: dict[int, Bool[Tensor, " N"]]

    @classmethod
    def of(cls, items: Items) -> "Truth":
        """Reads it from the attributes."""
        have = [set(tokens) for tokens in items.attributes]
        genres = {genre: torch.tensor([f"genres={genre}" in tokens for tokens in have]) for genre in NAMED}
        years = [next((int(t[5:]) for t in sorted(tokens) if t.startswith("year=")), 0) for tokens in have]
        decades = {decade: torch.tensor([year // 10 * 10 == decade for year in years]) for decade in DECADES}
        return cls(genres, decades)

    def matching(self, asked: Asked) -> Bool[Tensor, " N"]:
        """Returns which items have all that is wanted and nothing that is not."""
        return self.genres[asked.genre] & self.decades[asked.decade] & ~self.genres[asked.unwanted]


def prompts(truth: Truth, count: int, seed: int, half: int) -> list[Asked]:
    """Returns prompts on combinations that the catalogue has: at least 20 items to list and 10 that are excluded.

    Args:
        truth: The catalogue.
        count: Prompts.
        seed: Of the draw; the combinations of the two halves are apart.
        half: 0 to choose weights by, 1 to report.
    """
    every = [(g, d, u) for g in NAMED for d in DECADES for u in NAMED if g != u and _bites(truth, g, d, u)]
    chance = random.Random(seed)
    chance.shuffle(every)
    mine = every[half::2]
    return [worded(*mine[n % len(mine)], chance, half, "named" if n % 2 else "described") for n in range(count)]


def _bites(truth: Truth, genre: str, decade: int, unwanted: str) -> bool:
    both = truth.genres[genre] & truth.decades[decade]
    struck = int((both & truth.genres[unwanted]).sum())
    return struck >= 10 and int(both.sum()) - struck >= 20


def worded(genre: str, decade: int, unwanted: str, chance: random.Random, half: int, wording: Wording) -> Asked:
    """Returns a prompt in one of the many wordings."""
    words = {name: NAMED[name] if wording == "named" else DESCRIBED[name][half] for name in (genre, unwanted)}
    last = decade + 9
    times = [f"from the {decade}s", f"made between {decade} and {last}", f"from {decade}-{last}"]
    times += [f"of the {SPOKEN[decade]}", f"from the {str(decade)[2:]}s"] if decade in SPOKEN else []
    template = chance.choice(TEMPLATES)
    prompt = template.format(wanted=words[genre], decade=chance.choice(times), unwanted=words[unwanted])
    return Asked(prompt, genre, decade, unwanted, wording)


def describing(truth: Truth, item: int, chance: random.Random, half: int, wording: Wording) -> Asked | None:
    """Returns a prompt that an item meets: one of its genres, its decade, without a genre that it lacks.

    None for an item without such a genre or decade.
    """
    own = [genre for genre, have in truth.genres.items() if have[item]]
    decade = next((decade for decade, have in truth.decades.items() if have[item]), None)
    if not own or decade is None:
        return None
    unwanted = chance.choice([genre for genre in truth.genres if genre not in own])
    return worded(chance.choice(own), decade, unwanted, chance, half, wording)
