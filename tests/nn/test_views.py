"""Who may look at whom, against plain loops."""

import torch

from l2rec.nn import views
from l2rec.nn.prompts import lay_out
from l2rec.nn.router import Layout
from tests.nn.networks import WIDTH, tokens

MASK = torch.tensor([[True, True, True, False], [True, False, False, False], [False] * 4])
ITEMS = torch.tensor([[3, 0, 7, 5], [11, 5, 5, 5], [5, 5, 5, 5]])


def test_a_query_sees_itself_and_what_came_before() -> None:
    found = views.causal(MASK)
    for row in range(3):
        for query in range(4):
            for key in range(4):
                expected = query == key or (key < query and bool(MASK[row, key]))
                assert bool(found[row, query, key]) == expected


def both(start: int | None = 2) -> tuple[views.Rows, views.Rows, views.Rows]:
    prompt = lay_out(tokens(start), ITEMS, MASK)
    words, user = torch.randn(*prompt.ids.shape, WIDTH), torch.randn(3, 4, WIDTH)
    semantic = views.semantic_rows(words, prompt, user, None)
    behavioural = views.behavioural_rows(torch.randn(3, 4, WIDTH), MASK, user)
    return semantic, behavioural, views.side_by_side(semantic, behavioural)


def test_a_token_has_the_user_state_of_its_own_item() -> None:
    prompt, user = lay_out(tokens(), ITEMS, MASK), torch.randn(3, 4, WIDTH)
    rows = views.semantic_rows(torch.zeros(*prompt.ids.shape, WIDTH), prompt, user, None)
    for row in range(3):
        for position in range(prompt.ids.shape[1]):
            assert torch.equal(rows.user[row, position], user[row, prompt.item[row, position]])


def test_the_views_stand_side_by_side_and_blind_to_each_other() -> None:
    semantic, behavioural, rows = both()
    here = semantic.mask.shape[1]
    assert rows.layout == Layout(here, 4)
    assert not rows.visible[:, :here, here:].any()
    assert not rows.visible[:, here:, :here].any()
    for part, own in zip(rows.layout.slices, (semantic, behavioural), strict=True):
        assert torch.equal(rows.visible[:, part, part], own.visible)
        assert torch.equal(rows.embeddings[:, part], own.embeddings)
        assert torch.equal(rows.mask[:, part], own.mask)
        assert torch.equal(rows.user[:, part], own.user)
        assert rows.positions[0, part].tolist() == list(range(part.stop - part.start))
    assert rows.read is semantic.read
    assert bool(rows.visible.any(-1).all())


def test_an_injected_item_stands_at_its_last_token_and_nowhere_else() -> None:
    for start in (2, None):
        prompt = lay_out(tokens(start), ITEMS, MASK)
        words, items = torch.randn(*prompt.ids.shape, WIDTH), torch.randn(3, 4, WIDTH)
        expected = words.clone()
        for row in range(3):
            for event in range(4):
                if MASK[row, event]:
                    expected[row, int(prompt.last[row, event])] = items[row, event]
        rows = views.semantic_rows(words, prompt, torch.randn(3, 4, WIDTH), items)
        assert torch.equal(rows.embeddings, expected)
        assert not torch.equal(words, expected)


def test_a_first_item_of_one_token_without_an_opening_is_injected_too() -> None:
    prompt = lay_out(tokens(None), torch.tensor([[4]]), torch.tensor([[True]]))
    assert prompt.last.tolist() == [[0]]
    items = torch.randn(1, 1, WIDTH)
    rows = views.semantic_rows(torch.zeros(1, 1, WIDTH), prompt, torch.zeros(1, 1, WIDTH), items)
    assert torch.equal(rows.embeddings, items)
