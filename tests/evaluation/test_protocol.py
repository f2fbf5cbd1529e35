"""Whatever changes a number changes the protocol's name."""

import pytest

from l2rec.config import EvaluationSettings
from l2rec.errors import SettingError
from l2rec.evaluation.protocol import protocol_name


def test_the_name_says_split_candidates_seen_rule_tie_rule_and_cutoffs() -> None:
    assert protocol_name("loo", EvaluationSettings()) == "loo/full/unseen/expected-ties/@5,10,20"


def test_seen_items_left_in_and_other_cutoffs_are_in_the_name() -> None:
    settings = EvaluationSettings(mask_seen=False, cutoffs=(50, 10, 10))
    assert protocol_name("temporal-last", settings) == "temporal-last/full/all/expected-ties/@10,50"


def test_several_cases_of_a_user_are_in_the_name() -> None:
    assert protocol_name("temporal-all", EvaluationSettings(cutoffs=(10,))) == (
        "temporal-all/full/unseen/expected-ties/user-means/@10"
    )


def test_the_batch_size_is_not_part_of_the_protocol() -> None:
    assert protocol_name("loo", EvaluationSettings(batch_size=3)) == protocol_name("loo", EvaluationSettings())


def test_a_protocol_without_cutoffs_has_no_name() -> None:
    with pytest.raises(SettingError, match=r"evaluation\.cutoffs: none: expected list lengths"):
        protocol_name("loo", EvaluationSettings(cutoffs=()))
