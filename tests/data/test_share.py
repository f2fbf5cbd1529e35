"""What a run learns from: whose events are left, which are held back, and that no others are known."""

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.data.prepared import Prepared
from l2rec.data.share import held_back, learnt_part, shared
from l2rec.errors import SettingError


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


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_held_back_is_the_end_of_every_sequence_and_counts_nowhere(prepared: Prepared, count: int) -> None:
    part = held_back(prepared, count)
    left = [prepared.train.sequence(user).tolist()[:-count] for user in range(len(prepared.train))]
    assert [part.train.sequence(user).tolist() for user in range(len(part.train))] == left
    items = torch.tensor([item for sequence in left for item in sequence], dtype=torch.long)
    assert torch.equal(part.items.counts.long(), torch.bincount(items, minlength=len(prepared.items)))
    assert part.train.offsets.dtype == prepared.train.offsets.dtype
    assert len(part.train.times) == len(part.train.items)


def test_what_leaves_no_event_is_refused_with_the_longest_sequence(prepared: Prepared) -> None:
    longest = int(prepared.train.lengths().max())
    assert len(held_back(prepared, longest - 1).train.items) >= 1
    with pytest.raises(SettingError, match=rf"training.held_back: {longest}: leaves no event, .* has {longest}\."):
        held_back(prepared, longest)


def test_a_case_keeps_the_events_that_are_held_back_from_learning(prepared: Prepared) -> None:
    cases, whole = held_back(prepared, 1).cases("validation"), prepared.cases("validation")
    assert torch.equal(cases.histories.items, whole.histories.items)
    assert torch.equal(cases.targets, whole.targets)


def test_nothing_held_back_is_the_data_itself_and_both_cuts_go_together(prepared: Prepared) -> None:
    assert held_back(prepared, None) is prepared
    assert learnt_part(prepared, TrainingSettings(), 0) is prepared
    both = learnt_part(prepared, TrainingSettings(share=0.3, held_back=1), 2)
    assert torch.equal(both.train.items, held_back(shared(prepared, 0.3, 2), 1).train.items)
