"""Attention over parts is attention under a block-diagonal mask, for each kind of model, with its gradient."""

import pytest
import torch
from torch import Tensor
from transformers import Gemma2Config

from l2rec.nn import attention
from l2rec.nn.backbone import from_config
from tests.nn import networks


def gradient(out: Tensor, words: Tensor) -> Tensor:
    return torch.autograd.grad((out * torch.linspace(-1, 1, out.shape[-1])).sum(), words)[0]


@pytest.mark.parametrize("kind", networks.CONFIGS)
def test_parts_change_neither_output_nor_gradient_beyond_rounding(kind: str) -> None:
    words, visible, positions, _, layout = networks.inputs()
    words.requires_grad_()
    frozen = networks.little(kind)
    whole, parted = frozen(words, visible, positions), frozen(words, visible, positions, layout.parts)
    torch.testing.assert_close(parted, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient(parted, words), gradient(whole, words), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", networks.CONFIGS)
def test_no_part_reaches_into_another_even_where_the_mask_is_open(kind: str) -> None:
    words, visible, positions, _, layout = networks.inputs()
    open_ = torch.ones_like(visible).tril()
    frozen = networks.little(kind)
    closed = frozen(words, visible, positions, layout.parts)
    torch.testing.assert_close(frozen(words, open_, positions, layout.parts), closed, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(frozen(words, open_, positions), closed, atol=1e-3)


def test_the_parts_are_forgotten_after_a_call_that_failed() -> None:
    frozen, (words, visible, positions, _, layout) = networks.little("bert"), networks.inputs()
    expected = frozen(words, visible, positions)
    broken = frozen.network.encoder.layer[1].register_forward_pre_hook(_breaks)
    with pytest.raises(ValueError, match="broken"):
        frozen(words, visible, positions, layout.parts)
    broken.remove()
    assert attention._parts.get() == ()
    assert torch.equal(frozen(words, visible, positions), expected)


def _breaks(*_: object) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("kind", networks.CONFIGS)
def test_plain_attention_is_the_fused_one_but_for_rounding(kind: str) -> None:
    words, visible, positions, _, _ = networks.inputs()
    frozen = networks.little(kind)
    plain = frozen(words, visible, positions)
    assert frozen.network.config._attn_implementation == attention.NAME
    attention.choose(frozen.network, "cuda")
    assert frozen.network.config._attn_implementation == "sdpa"
    mask = torch.zeros(visible.shape).masked_fill(~visible, -1e9).unsqueeze(1)
    places = positions + frozen.first_position
    fused = frozen.network(inputs_embeds=words, attention_mask=mask, position_ids=places).last_hidden_state
    torch.testing.assert_close(plain, fused, rtol=1e-3, atol=1e-4)


def test_what_is_particular_to_a_model_stays_so() -> None:
    """Gemma 2 caps its attention scores, which a plain softmax would not."""
    words, visible, positions, _, layout = networks.inputs()
    sizes = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "head_dim": 8}
    found = []
    for cap in (0.01, 50.0):
        torch.manual_seed(7)
        config = Gemma2Config(**sizes, num_attention_heads=2, num_key_value_heads=1, attn_logit_softcapping=cap)
        frozen = from_config(config)
        with torch.no_grad():
            for parameter in frozen.parameters():
                parameter.mul_(5.0)
        found.append(frozen(words, visible, positions, layout.parts))
    assert not torch.allclose(*found, atol=1e-3)
