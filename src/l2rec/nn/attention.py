"""Plain attention that runs over each view by itself, so that two views in one row cost no more than two rows."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NAME = "l2rec_views"
Plain = Callable[..., tuple[Tensor, Tensor | None]]

_parts: ContextVar[tuple[int, ...]] = ContextVar("parts", default=())


@contextmanager
def parted(parts: tuple[int, ...]) -> Iterator[None]:
    """Lets attention run over each of `parts` by itself while this is open; none of them sees another.

    Args:
        parts: Positions of each, first to last, that add up to all; none means one part, whose queries may be fewer
            than its keys.
    """
    token = _parts.set(parts)
    try:
        yield
    finally:
        _parts.reset(token)


def choose(network: nn.Module, device: str) -> None:
    """Takes plain attention on a CPU, where it is twice as fast as the fused kernel's backward pass, else the fused.

    Args:
        network: A Hugging Face model.
        device: Type of the device that it runs on.
    """
    wanted = "sdpa"
    if device == "cpu" or not network._supports_sdpa:
        wanted = NAME if _plain(network) is not None else "eager"
        _register()
    if network.config._attn_implementation != wanted:  # type: ignore[union-attr]
        network.set_attn_implementation(wanted)  # type: ignore[operator]


def _plain(module: nn.Module) -> Plain | None:
    """The plain attention of the model's own file, with whatever is particular to it."""
    found: Plain | None = vars(sys.modules[type(module).__module__]).get("eager_attention_forward")
    return found


def _by_parts(
    module: nn.Module, states: tuple[Tensor, Tensor, Tensor], mask: Float[Tensor, "B 1 T _keys"], said: dict[str, Any]
) -> tuple[Float[Tensor, "B T _heads _head"], None]:
    plain, found, start = _plain(module), [], 0
    assert plain is not None
    if not _parts.get():
        return plain(module, *states, mask, **said)[0], None
    for query, key, value in zip(*(torch.split(state, list(_parts.get()), 2) for state in states), strict=True):
        end = start + query.shape[2]
        found.append(plain(module, query, key, value, mask[:, :, start:end, start:end], **said)[0])
        start = end
    return torch.cat(found, 1), None


def _register() -> None:
    from transformers import AttentionInterface

    # What else a model says to its attention is its own affair and goes to its own plain function unread.
    AttentionInterface.register(NAME, lambda m, q, k, v, mask, **said: _by_parts(m, (q, k, v), mask, said))
