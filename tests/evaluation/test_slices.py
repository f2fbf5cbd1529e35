"""Slices hold the cases that their names say."""

import torch

from l2rec.evaluation.slices import NAMES, popularity_bands, slices
from l2rec.types import Cases
from tests import worlds


def test_each_case_is_in_the_slices_that_it_belongs_to() -> None:
    histories = worlds.histories_of([[], [0] * 5, [0] * 6, [0] * 20, [0] * 21])
    cases = Cases(torch.tensor([0, 1, 2, 3, 3]), histories, torch.tensor([0, 1, 2, 3, 2]), torch.zeros(5).long())
    found = slices(cases, torch.tensor([20, 65, 15, 0]), torch.tensor([0, 4, 5, 19]))
    assert tuple(found) == NAMES
    assert found["new users"].tolist() == [True, False, False, False, False]
    assert found["new items"].tolist() == [False, False, False, True, False]
    assert found["head items"].tolist() == [False] * 5
    assert found["middle items"].tolist() == [True, True, False, False, False]
    assert found["tail items"].tolist() == [False, False, True, False, True]
    assert found["short histories"].tolist() == [True, True, False, False, False]
    assert found["medium histories"].tolist() == [False, False, True, True, False]
    assert found["long histories"].tolist() == [False, False, False, False, True]


def test_the_bands_take_their_shares_of_the_events() -> None:
    counts = torch.arange(1, 1001)
    bands = popularity_bands(counts)
    share = {band: counts[torch.tensor(bands == band)].sum() / counts.sum() for band in ("head", "middle", "tail")}
    assert abs(share["head"] - 0.2) < 0.01
    assert abs(share["tail"] - 0.2) < 0.01
    assert bands[-1] == "head"
    assert bands[0] == "tail"


def test_items_of_one_count_are_in_one_band_whatever_their_order() -> None:
    counts = torch.tensor([5, 9, 1, 1, 1, 5, 1, 0, 30])
    bands = popularity_bands(counts)
    order = torch.tensor([8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert popularity_bands(counts[order]).tolist() == bands[::-1].tolist()
    for count in counts.unique().tolist():
        assert len(set(bands[(counts == count).numpy()])) == 1


def test_a_catalogue_without_events_is_all_new() -> None:
    assert set(popularity_bands(torch.zeros(3).long())) == {"new"}


def test_every_case_has_one_band_and_one_length(cases: Cases) -> None:
    counts, users = torch.arange(30), torch.ones(40).long()
    found = slices(cases, counts, users)
    for kind in ("items", "histories"):
        assert (sum(mask.astype(int) for name, mask in found.items() if name.endswith(kind)) == 1).all()
