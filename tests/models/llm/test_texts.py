"""An L2Rec asked in words: by the semantic view where there is one, else as an item of these words just taken."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from l2rec.errors import SettingError
from tests import worlds
from tests.models.llm.little import made, steps


def test_a_text_is_answered_by_the_semantic_view(backbone: Path) -> None:
    model = made(backbone)
    steps(model, 2)
    model.eval()
    with torch.no_grad():
        both = model.text_vectors(("red lamp", "a green chair by the wall | 3"))
        assert both.shape == (2, 32)
        torch.testing.assert_close(
            both[1:], model.text_vectors(("a green chair by the wall | 3",)), rtol=1e-4, atol=1e-5
        )
        assert not torch.allclose(both[0], both[1], atol=1e-2)
        torch.testing.assert_close(both.norm(dim=-1), 1 / model.network.temperature().expand(2))


@torch.no_grad()
def test_without_a_semantic_view_a_text_is_answered_as_an_untrained_item_of_it_just_taken(backbone: Path) -> None:
    items = worlds.tiny_items()
    counts = items.counts.clone()
    counts[4] = 0
    model = made(backbone, replace(items, counts=counts), views="behavioural", words=False).eval()
    with torch.enable_grad():
        steps(model, 3)
    model.eval()
    assert model.can_read
    found = model.text_vectors((items.texts[4], items.texts[7]))
    torch.testing.assert_close(found[:1], model.user_vectors(worlds.batch_of([[4]])), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[1:], model.user_vectors(worlds.batch_of([[7]])), atol=1e-3), "7 has an ID"
    torch.testing.assert_close(model.described((items.texts[4],)), model.item_vectors()[4:5], rtol=1e-4, atol=1e-5)


def test_a_text_has_no_vector_where_the_item_side_is_adapted_and_no_view_reads_tokens(backbone: Path) -> None:
    model = made(backbone, views="behavioural", item_side="adapted")
    assert not model.can_read
    with pytest.raises(SettingError, match=r'model\.item_side: "adapted": with the behavioural view alone it cannot'):
        model.text_vectors(("red lamp",))
