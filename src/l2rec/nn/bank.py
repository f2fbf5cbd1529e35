"""Pooled text vectors of a whole catalogue, computed once per backbone and texts and kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from l2rec.config import cache_folder
from l2rec.nn.backbone import Backbone
from l2rec.nn.prompts import Tokens
from l2rec.nn.views import causal

Encode = Callable[[Tensor, Tensor, Tensor], Tensor]


def cached(parts: list[object], compute: Callable[[], Tensor]) -> Tensor:
    """Returns what `compute` gives, from disk where the same `parts` were asked before.

    Args:
        parts: Everything that decides the result, as JSON can say it.
        compute: Called where nothing is on disk.
    """
    key = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    path = cache_folder() / f"{key}.safetensors"
    if path.is_file():
        return load_file(path)["vectors"]
    vectors = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({"vectors": vectors.contiguous()}, partial)
        partial.rename(path)
    except OSError:  # a cache that cannot be written costs time, not results
        return vectors
    return vectors


@torch.no_grad()
def pooled(encode: Encode, tokens: Tokens, device: torch.device, batch: int = 8192) -> Float[Tensor, "N D"]:
    """Returns the mean of every item's hidden states.

    Args:
        encode: Gives hidden states (B T D) for token ids (B T), their mask (B T) and the item numbers (B).
        tokens: The catalogue's tokens; the opening token, where there is one, is put in front.
        device: Where `encode` runs.
        batch: Positions in one call, about.
    """
    order = tokens.lengths.argsort()
    vectors: dict[int, Tensor] = {}
    start = 0
    while start < len(order):
        longest = int(tokens.lengths[order[min(start + 64, len(order)) - 1]]) + 1
        rows = order[start : start + max(1, batch // longest)]
        ids, mask = _rows(tokens, rows)
        hidden = encode(ids.to(device), mask.to(device), rows).float().cpu()
        weights = mask.unsqueeze(-1).float()
        means = (hidden * weights).sum(1) / weights.sum(1)
        vectors.update(zip(rows.tolist(), means, strict=True))
        start += len(rows)
    return torch.stack([vectors[n] for n in range(len(order))])


def _rows(tokens: Tokens, rows: Int[Tensor, " B"]) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    lengths = tokens.lengths[rows]
    ids = tokens.ids[rows, : int(lengths.max())]
    mask = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
    if tokens.start is None:
        return ids, mask
    opening = torch.full((len(rows), 1), tokens.start)
    return torch.cat([opening, ids], 1), torch.cat([torch.ones_like(opening, dtype=torch.bool), mask], 1)


def text_vectors(frozen: Backbone, tokens: Tokens, identity: list[str] | None) -> Float[Tensor, "N D"]:
    """Returns the catalogue's texts as the frozen backbone pools them, from disk where it was done before.

    Args:
        frozen: The backbone, before experts are put in.
        tokens: The catalogue's tokens.
        identity: What tells this backbone from others, e.g. the hash of its weights; None where nothing does, as with
            random weights, and so nothing is kept.
    """

    def encode(ids: Tensor, mask: Tensor, _: Tensor) -> Tensor:
        visible = mask.unsqueeze(1) | torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        seen = visible if frozen.bidirectional else causal(mask)
        hidden: Tensor = frozen(frozen.token_embedding(ids), seen, positions)
        return hidden

    device = next(frozen.parameters()).device
    if identity is None:
        return pooled(encode, tokens, device).to(device)
    parts: list[object] = [*identity, tokens.start, tokens.ids.tolist(), tokens.lengths.tolist()]
    return cached(parts, lambda: pooled(encode, tokens, device)).to(device)


def centred(vectors: Float[Tensor, "N D"], mean: Float[Tensor, " D"]) -> Float[Tensor, "N D"]:
    """Returns the vectors without their common part, each of length one; text vectors of a catalogue share much."""
    return torch.nn.functional.normalize(vectors - mean, dim=-1)
