"""Items as vectors: text for all, IDs for those that were trained, and means that never look ahead."""

import pytest
import torch

from l2rec.nn.heads import ItemTower, Projector, Shortcut, last_events, running_mean
from l2rec.nn.words import WordBag
from tests.nn.networks import bent


def tower(id_dropout: float = 0.0, width: int = 6) -> ItemTower:
    made = ItemTower(torch.randn(8, 6), torch.arange(8) < 6, width, id_dropout)
    bent(made)
    return made


def test_a_vector_is_projected_text_and_id_and_the_id_of_an_untrained_item_counts_for_nothing() -> None:
    made = tower().eval()
    text, whole = made.text @ made.projection.weight.T, made()
    torch.testing.assert_close(whole[:6], text[:6] + made.ids.weight[:6])
    torch.testing.assert_close(whole[6:], text[6:])
    torch.testing.assert_close(made(torch.tensor([7, 2, 2])), whole[[7, 2, 2]])
    with torch.no_grad():
        made.ids.weight[7] = 99.0
    assert torch.equal(made()[7], whole[7])


def test_before_training_the_vector_is_the_text() -> None:
    made = ItemTower(torch.randn(8, 6), torch.ones(8, dtype=torch.bool), 6, 0.0)
    assert torch.equal(made(), made.text)
    assert ItemTower(torch.randn(8, 6), torch.ones(8, dtype=torch.bool), 9, 0.0)().shape == (8, 9)


def test_id_dropout_hides_whole_ids_at_its_rate_and_in_training_only() -> None:
    made = ItemTower(torch.zeros(4000, 2), torch.ones(4000, dtype=torch.bool), 3, 0.3)
    torch.nn.init.ones_(made.ids.weight)
    hidden = (made.train()() == 0).float()
    assert bool((hidden.amin(1) == hidden.amax(1)).all())
    assert hidden.mean().item() == pytest.approx(0.3, abs=0.03)
    assert bool((made.eval()() == 1).all())


def test_an_id_that_is_always_hidden_gets_no_gradient() -> None:
    made = tower(id_dropout=1.0).train()
    made().sum().backward()
    assert made.ids.weight.grad is not None
    assert not made.ids.weight.grad.any()


def test_the_projector_starts_at_the_size_of_token_vectors() -> None:
    out = Projector(32, 8, 0.05, 0.0)(torch.randn(200, 32) * 3)
    assert out.std().item() == pytest.approx(0.05, rel=0.02)


def test_the_running_mean_is_a_plain_mean_of_what_came_before() -> None:
    vectors, mask = torch.randn(3, 5, 4), torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [False] * 5])
    found = running_mean(vectors, mask)
    for row in range(3):
        seen: list[torch.Tensor] = []
        for position in range(5):
            seen += [vectors[row, position]] if bool(mask[row, position]) else []
            expected = torch.stack(seen).mean(0) if seen else torch.zeros(4)
            torch.testing.assert_close(found[row, position], expected)


def test_the_words_of_an_item_are_added_to_its_vector() -> None:
    bag = WordBag([["a", "b"], ["a"], ["b"], []], torch.ones(4, dtype=torch.bool), 6, 1.0)
    made = ItemTower(torch.randn(4, 6), torch.ones(4, dtype=torch.bool), 6, 0.0, bag)
    torch.testing.assert_close(made(), made.text + bag())
    torch.testing.assert_close(made(torch.tensor([2, 0])), made()[[2, 0]])


def test_before_training_the_shortcut_is_the_item_and_half_the_user_both_normalised() -> None:
    items, state, quiet = torch.randn(3, 6), torch.randn(3, 6), torch.nn.Dropout(0.0)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    torch.testing.assert_close(Shortcut(6)(quiet, items, state), normal(items) + normal(state) / 2)


def test_the_last_event_is_marked_once_a_row() -> None:
    mask = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    assert last_events(mask).int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
