"""Little language models of each supported kind, and dual-view networks on them, far from their zeros."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertConfig, Gemma3TextConfig, LlamaConfig, PreTrainedConfig, Qwen3Config, RobertaConfig

from l2rec.nn.backbone import Backbone, from_config
from l2rec.nn.inject import DualView
from l2rec.nn.network import Network, Plan
from l2rec.nn.prompts import Tokens
from l2rec.nn.router import SIGNALS, Layout, Pools
from l2rec.nn.views import Rows
from l2rec.types import Batch

WIDTH, ITEMS = 16, 12
POOLS = Pools(shared=1, semantic=4, behavioural=3, rank=2, top=2)


def _decoder(kind: Callable[..., PreTrainedConfig]) -> PreTrainedConfig:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "attention_dropout": 0.5}
    sizes = {"vocab_size": 300, "hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 32}
    return kind(**sizes, **heads, max_position_embeddings=128, pad_token_id=0)


def _encoder(kind: Callable[..., PreTrainedConfig], pad: int = 0) -> PreTrainedConfig:
    sizes = {"vocab_size": 300, "hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 32}
    return kind(**sizes, num_attention_heads=2, max_position_embeddings=128, pad_token_id=pad)


CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: _encoder(BertConfig),
    "roberta": lambda: _encoder(RobertaConfig, pad=1),
    "qwen3": lambda: _decoder(Qwen3Config),
    "llama": lambda: _decoder(LlamaConfig),
    "gemma3": lambda: _decoder(Gemma3TextConfig),
}


def little(kind: str) -> Backbone:
    """A frozen model of two layers with random weights, the same each time."""
    torch.manual_seed(7)
    return from_config(CONFIGS[kind]())


def bent(module: nn.Module, std: float = 0.3) -> None:
    """Gives every trainable weight a random value, so that nothing is zero by construction."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator))


def dual_view(kind: str, signals: tuple[str, ...] = SIGNALS, targets: str = "ffn", pools: Pools = POOLS) -> DualView:
    """Experts in a little model, untrained."""
    return DualView(little(kind), pools, targets, 2.0, 3, signals)


def plan(**more: object) -> Plan:
    """The shape of a little network."""
    given: dict[str, object] = {
        "pools": POOLS,
        "targets": "ffn",
        "scale": 2.0,
        "signals": SIGNALS,
        "router_width": 3,
        "projector_width": 8,
        "views": "both",
        "inject": False,
        "fusion": "acf",
        "dropout": 0.0,
        "id_dropout": 0.0,
        "temperature": 0.07,
    }
    return Plan(**(given | more))  # type: ignore[arg-type]


def network(kind: str, people: int = 0, **more: object) -> Network:
    """A network over twelve items, the last never trained, with random weights everywhere."""
    frozen = little(kind)
    text = torch.nn.functional.normalize(torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(5)), dim=-1)
    made = Network(plan(**more), frozen, text, torch.arange(ITEMS) < ITEMS - 1, people)
    bent(made)
    return made.eval()


def tokens(start: int | None = 2) -> Tokens:
    """Texts of one to four tokens, the separator counted."""
    lengths = torch.arange(ITEMS) % 4 + 1
    ids = torch.randint(10, 300, (ITEMS, 4), generator=torch.Generator().manual_seed(6))
    ids = torch.where(torch.arange(4) < lengths.unsqueeze(1), ids, 0)
    ids[torch.arange(ITEMS), lengths - 1] = 3
    return Tokens(ids, lengths, start)


def read(made: Network, batch: Batch, start: int | None = 2) -> tuple[list[Tensor], Rows]:
    """Hidden states of each view at every item, and the rows that were read."""
    rows, _ = made.rows(batch, tokens(start))
    return made.read(rows), rows


def inputs(rows: int = 2, semantic: int = 6, behavioural: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor, Layout]:
    """What a dual-view model reads: random vectors, each view causal and blind to the other."""
    generator = torch.Generator().manual_seed(4)
    layout = Layout(semantic, behavioural)
    visible = torch.block_diag(torch.ones(semantic, semantic).tril(), torch.ones(behavioural, behavioural).tril())
    positions = torch.cat([torch.arange(semantic), torch.arange(behavioural)]).expand(rows, -1)
    size = semantic + behavioural
    words, user = (torch.randn(rows, size, WIDTH, generator=generator) for _ in range(2))
    return words, visible.bool().expand(rows, -1, -1), positions, user, layout
