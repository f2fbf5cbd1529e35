"""L2Rec on a backbone of Qwen3-0.6B's shape with random weights, and the same with plain LoRA in place of experts."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config

from l2rec.models.llm.l2rec import Config, Model
from l2rec.nn.inject import blocks
from l2rec.types import Batch, Items

MATRICES = ("gate_proj", "up_proj", "down_proj")
"""What carries experts: the feed-forward matrices, which is the setting `targets = "ffn"`."""
WORDS = 1000
"""Words of the tokenizer; which rows of the table of tokens are read makes no difference."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the backbone and of what it reads; every history and every text is full, so that nothing is padding.

    Attributes:
        blocks: Blocks of the decoder.
        vocabulary: Rows of its table of tokens.
        items: Items of the catalogue.
        history: Items of every history.
        tokens: Tokens of every item.
        width: Hidden size D.
        heads: Heads of the queries, heads of the keys, and the width of one.
        inner: Hidden width of the feed-forward half.
    """

    blocks: int = 28
    vocabulary: int = 151_936
    items: int = 4385
    history: int = 20
    tokens: int = 8
    width: int = 1024
    heads: tuple[int, int, int] = (16, 8, 128)
    inner: int = 3072

    @property
    def positions(self) -> int:
        """Positions that the backbone reads of one history: its tokens, then its items."""
        return self.history * (self.tokens + 1)


QWEN = Shape()
SMALL = Shape(blocks=2, vocabulary=WORDS, items=300, history=5)


class Plain(nn.Module):
    """A frozen layer with one correction for everybody: y = x W + s (x A) B, the arithmetic of ours without a gate."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        """Wraps a layer."""
        super().__init__()
        self.base = base
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the layer's output."""
        y: Tensor = self.base(x)
        inner = functional.linear(x, self.down.to(x.dtype))
        up = (self.up * self.scale).to(y.dtype)
        return torch.addmm(y.flatten(0, -2), inner.flatten(0, -2).to(y.dtype), up.T).view_as(y)


def write_backbone(shape: Shape, folder: Path) -> Path:
    """Writes config and tokenizer of a decoder, and returns the folder."""
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads[0],
        num_key_value_heads=shape.heads[1],
        head_dim=shape.heads[2],
        intermediate_size=shape.inner,
    )
    config.save_pretrained(folder)
    words = {"<end>": 0} | {f"w{number}": number for number in range(1, WORDS)}
    inner = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>").save_pretrained(folder)
    return folder


def catalogue(shape: Shape) -> Items:
    """Returns items of random words, as many as a history shows of each."""
    drawn = torch.randint(1, WORDS, (shape.items, shape.tokens)).tolist()
    texts = tuple(" ".join(f"w{word}" for word in row) for row in drawn)
    return Items(texts, texts, ((),) * shape.items, torch.ones(shape.items, dtype=torch.long))


def settings(shape: Shape, folder: Path) -> Config:
    """Returns the paper's parts on that backbone: both views, the gate between them, routers that read all signals.

    Left out are vectors of words and the path past the backbone, which are not the paper's, and the third signal, which
    no step knows. Texts are pooled from two tokens, before any step.
    """
    return Config(
        backbone=str(folder),
        pretrained=False,
        views="both",
        fusion="acf",
        semantic=4,
        behavioural=4,
        signals=("context", "user", "interaction"),
        history=shape.history,
        tokens_per_item=shape.tokens,
        item_tokens=2,
        words=False,
        shortcut=False,
        transition_weight=0.0,
    )


def with_experts(shape: Shape, folder: Path) -> Model:
    """Returns the model as it trains."""
    return Model(settings(shape, folder), catalogue(shape))


def with_lora(shape: Shape, folder: Path, rank: int, kind: str) -> Model:
    """Returns the same model, its experts replaced by one LoRA for everybody.

    Args:
        shape: Sizes.
        folder: The backbone's.
        rank: Of the LoRA.
        kind: `plain` (our own arithmetic without gates) or `peft`.
    """
    config = settings(shape, folder)
    off = config.model_copy(update={"shared": 0, "semantic": 0, "behavioural": 0})
    model = Model(off, catalogue(shape))
    network = model.network.reader.backbone.network
    if kind == "peft":
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=list(MATRICES))
        inject_adapter_in_model(lora, network)
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.float()  # as PEFT's own `get_peft_model` keeps them
    else:
        for name, linear in [(n, m) for n, m in network.named_modules() if n.endswith(MATRICES)]:
            assert isinstance(linear, nn.Linear)
            parent, _, own = name.rpartition(".")
            network.get_submodule(parent).add_module(own, Plain(linear, rank, config.scale))
    assert correction(model) == rank * shape.blocks * len(MATRICES) * (shape.width + shape.inner)
    return model


def correction(model: Model) -> int:
    """Returns how many trainable weights the backbone carries: experts and routers, or a LoRA."""
    return sum(p.numel() for p in model.network.reader.parameters() if p.requires_grad)


def equal_rank(model: Model, shape: Shape) -> int:
    """Returns the rank of the LoRA that comes nearest to the experts and routers in trainable weights."""
    return round(correction(model) / (shape.blocks * len(MATRICES) * (shape.width + shape.inner)))


def compiled(model: Model) -> Model:
    """Returns the model after its backbone was given to `torch.compile`, experts, routers and hooks included."""
    assert len(blocks(model.network.reader.backbone.network))
    model.network.reader.backbone.network.compile()
    return model


def batch(shape: Shape, rows: int) -> Batch:
    """Returns full histories with a target after every item, on the CPU as the loop has them."""
    items, targets = torch.randint(shape.items, (2, rows, shape.history)).unbind()
    there = torch.ones_like(items, dtype=torch.bool)
    return Batch(items, there, items, torch.zeros(rows, 0), targets, there, torch.arange(rows))
