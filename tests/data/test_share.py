"""A share of the training part: whose events are left, and that nobody else's are known."""

import pytest
import torch

from l2rec.data.prepared import Prepared
from l2rec.data.share import shared


def users_of(prepared: Prepared) -> set[int]:
    """The users with a training event."""
    return {user for user, length in enumerate(prepared.train.lengths().tolist()) if length}


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.999])
def test_a_share_is_some_users_with_all_their_events_and_nobody_elses(prepared: Prepared, share: float) -> None:
    part, everybody = shared(prepared, share, 0), users_of(prepared)
    chosen = users_of(part)
    assert len(chosen) == max(1, round(share * len(everybody)))
    counts = [0] * len(prepared.items)
    for user in range(len(prepared.train)):
        left = part.train.sequence(user).tolist()
        assert left == (prepared.train.sequence(user).tolist() if user in chosen else [])
        for item in left:
            counts[item] += 1
    assert part.items.counts.tolist() == counts
    assert part.items.counts.dtype == prepared.items.counts.dtype
    assert len(part.train.times) == len(part.train.items)


def test_the_seed_chooses_and_a_smaller_share_is_a_part_of_a_larger_one(prepared: Prepared) -> None:
    tenth, third = (users_of(shared(prepared, share, 0)) for share in (0.1, 0.3))
    assert tenth < third
    assert users_of(shared(prepared, 0.3, 0)) == third
    assert users_of(shared(prepared, 0.3, 1)) != third


def test_the_whole_share_is_the_data_itself(prepared: Prepared) -> None:
    assert shared(prepared, 1.0, 3) is prepared


@pytest.mark.parametrize("part", ["validation", "test"])
def test_every_user_is_still_asked(prepared: Prepared, part: str) -> None:
    cases, whole = (each.cases(part) for each in (shared(prepared, 0.1, 0), prepared))  # type: ignore[arg-type]
    assert torch.equal(cases.users, whole.users)
    assert torch.equal(cases.targets, whole.targets)
    assert torch.equal(cases.histories.items, whole.histories.items)
    assert shared(prepared, 0.1, 0).items.texts == prepared.items.texts
