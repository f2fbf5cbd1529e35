"""Reading on: the vector of a history whose beginning was read before costs the new items alone."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from l2rec.nn import prompts
from l2rec.nn.heads import last_events
from l2rec.nn.network import Network
from l2rec.nn.prefix import Past, Prefix, empty, kept
from l2rec.types import Batch


def read_on(
    network: Network,
    tokens: prompts.Tokens,
    prefixes: Sequence[Prefix] | None,
    histories: Sequence[Sequence[int]],
    attributes: Float[Tensor, "B A"],
) -> tuple[Float[Tensor, "B D"], list[Prefix | None]]:
    """Returns the preference vectors of histories, and what was read of them, in one call of the backbone.

    Args:
        network: In evaluation mode.
        tokens: The catalogue's tokens, on the network's device.
        prefixes: What was read of each before, each the beginning of its history and shorter; None for nothing at all.
        histories: Item numbers, oldest first; at least one each.
        attributes: Attribute vectors of the users.

    Returns:
        Vectors as long as one over the temperature; prefixes of the whole histories, None where the backbone keeps no
        keys.
    """
    past = Past(prefixes) if prefixes else None
    if past is not None:
        tokens = replace(tokens, start=None)
    new = [history[len(p.items) :] for p, history in zip(prefixes, histories, strict=True)] if prefixes else histories
    batch = _batch(new, attributes)
    rows, state = network.rows(batch, tokens, None if past is None else (past.totals, past.counts))
    rows = rows if past is None else past.before(rows)
    cache = past.cache if past is not None else empty() if network.reader.backbone.remembers else None
    last = last_events(batch.mask)
    fused = network.fuse(network.views(rows, state, last, cache), state[last])
    vectors = functional.normalize(fused, dim=-1) / network.temperature()
    read = None if cache is None else kept(cache, past, rows, len(network.reader.routers))
    if read is None:
        return vectors, [None] * len(histories)
    totals = _totals(network, batch) if past is None else _totals(network, batch) + past.totals
    return vectors, [
        Prefix(
            tuple(history),
            attributes[n],
            own.keys,
            own.values,
            own.view,
            totals[n].clone(),
            vectors[n].clone(),
            own.ground,
        )
        for n, (history, own) in enumerate(zip(histories, read, strict=True))
    ]


def _batch(histories: Sequence[Sequence[int]], attributes: Float[Tensor, "B A"]) -> Batch:
    items = pad_sequence([torch.tensor(history, dtype=torch.long) for history in histories], batch_first=True)
    lengths = torch.tensor([len(history) for history in histories])
    places = torch.arange(items.shape[1]).expand_as(items)
    return Batch(items, places < lengths.unsqueeze(1), places, attributes).to(attributes.device)


def _totals(network: Network, batch: Batch) -> Float[Tensor, "B D"]:
    vectors: Tensor = network.tower(batch.items.flatten()).view(*batch.items.shape, -1)
    return (vectors * batch.mask.unsqueeze(-1)).sum(1)
