"""Pasts laid side by side with the new are what filling up and joining would make, and zero where nobody is."""

import pytest
import torch

from l2rec.nn.laid import Laid

HEADS, HEAD = 2, 3


def states(*lengths: int) -> list[torch.Tensor]:
    return [torch.randn(HEADS, length, HEAD) for length in lengths]


@pytest.mark.parametrize("lengths", [(4,), (2, 5, 3), (3, 3)])
def test_each_row_is_its_past_then_zeros_then_what_is_new(lengths: tuple[int, ...]) -> None:
    keys, values = states(*lengths), states(*lengths)
    new = torch.randn(2, len(lengths), HEADS, 2, HEAD)
    layer = Laid(keys, values)
    assert layer.get_seq_length() == max(lengths)
    found = layer.update(new[0], new[1])
    assert found == (layer.keys, layer.values)
    assert layer.get_seq_length() == max(lengths) + 2
    for side, before in enumerate((keys, values)):
        for row, state in enumerate(before):
            gap = torch.zeros(HEADS, max(lengths) - state.shape[1], HEAD)
            assert torch.equal(found[side][row], torch.cat([state, gap, new[side, row]], 1))


def test_what_is_laid_touches_no_past() -> None:
    keys = states(2, 3)
    before = [state.clone() for state in keys]
    all_keys, _ = Laid(keys, keys).update(torch.ones(2, HEADS, 1, HEAD), torch.ones(2, HEADS, 1, HEAD))
    all_keys.zero_()
    assert all(torch.equal(state, old) for state, old in zip(keys, before, strict=True))
