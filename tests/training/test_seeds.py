"""Chance depends on seed, step and process, and on nothing else."""

import random

import numpy as np
import pytest
import torch

from l2rec.training.seeds import sow


def drawn(seed: int, step: int, rank: int) -> list[float]:
    sow(seed, step, rank, torch.device("cpu"))
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_what_was_drawn_before_does_not_matter() -> None:
    first = drawn(1, 2, 0)
    torch.rand(100)
    random.random()
    np.random.rand(7)
    assert drawn(1, 2, 0) == first


@pytest.mark.parametrize("other", [(2, 2, 0), (1, 3, 0), (1, 2, 1), (12, 0, 0)])
def test_another_seed_step_or_process_draws_other_numbers(other: tuple[int, int, int]) -> None:
    first = drawn(1, 2, 0)
    assert all(a != b for a, b in zip(first, drawn(*other), strict=True))
