"""The controls of a claim: a table's rows, each the settings of the full model with a part of it taken out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from l2rec.config import RunSettings, overridden, validated
from l2rec.data.prepared import Prepared
from l2rec.data.share import learnt_part
from l2rec.errors import SettingError
from l2rec.models import find
from l2rec.models.llm._settings import Config
from l2rec.models.llm._sizes import lone, trainable
from l2rec.nn.router import SIGNALS
from l2rec.nn.words import bags_of, shared_words
from l2rec.run.pipeline import plan, resolved
from l2rec.serving.folder import model_config

FULL = "full"
"""The row that all others are tested against."""
_SUBJECT = "l2rec"
_LONE = {
    "integration-input": ("experts on shared weights, against item vectors in the text", "input", (1, 0, 0)),
    "integration-output": ("experts on shared weights, against two passes tied by a loss", "output", (0, 1, 1)),
    "plain-lora": ("routed experts, against one LoRA of the same size", "parameter", (1, 0, 0)),
}
"""Rows that have as many trainable parameters as the full model, up to a rank: what it is put against, where behaviour
meets text, and the pools that have experts."""

_OF_TWO_VIEWS = {
    *("view-semantic", "view-behavioural", "fusion-acf", "fusion-mean", "fusion-gate-less", "no-bpc"),
    *("integration-input", "integration-output"),
}
"""Rows that ask something of two views: with one they would be the full model again, or put a view in."""
_OF_A_ROUTER = {
    *(f"no-{signal}-signal" for signal in SIGNALS),
    *("static-gates", "static-gates-all-on", "no-balance", "experts-2", "experts-8"),
}
"""Rows about a choice among experts, which static gates do not have."""
_FUSED = {
    "acf": "a gate between the views that reads the user",
    "mean": "the views' mean",
    "gate-less": "one gate between the views for everybody",
}
_SHARES = (10, 30)
"""Percent of the training users."""
_OF_THE_PLAN = {"shared", "semantic", "behavioural", "rank", "top", "scale", "signals", "router_width", "fusion"}
"""Settings that have no effect but the network's shape."""


@dataclass(frozen=True)
class Part:
    """What is put to the question.

    Attributes:
        name: The row's name and its folder's.
        words: What the full model has and the row lacks.
        overrides: The row's settings, as `--set` takes them.
    """

    name: str
    words: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Control:
    """A row before it is trained.

    Attributes:
        part: What it lacks.
        settings: Every setting of its run.
        trainable: Parameters that its training can move.
    """

    part: Part
    settings: RunSettings
    trainable: int


@dataclass(frozen=True)
class Controls:
    """The rows that a model's settings give.

    Attributes:
        rows: The full model first.
        left_out: Why a row is none, by name.
    """

    rows: tuple[Control, ...]
    left_out: dict[str, str]


def controls(settings: RunSettings, prepared: Prepared, device: str | None = None) -> Controls:
    """Returns the full model and its controls; a model other than L2Rec has those of data, third signal and backbone.

    Args:
        settings: Of the full model.
        prepared: The data that they name.
        device: Where the rows will be trained; the best there is where None.

    Raises:
        L2RecError: the settings cannot be used as they are, or nothing can be taken out of the model.
    """
    full = resolved(settings, device)
    rows = [Control(Part(FULL, "everything"), full, _size(full, prepared))]
    left_out: dict[str, str] = {}
    lacking = (_lacking(_config(full)) if _is_subject(full) else {}) | _larger(full.training.share)
    for part in _parts(full, prepared):
        if part.name in lacking:
            left_out[part.name] = lacking[part.name]
            continue
        try:
            own = resolved(validated(RunSettings, overridden(full.model_dump(mode="json"), part.overrides), ""))
        except SettingError as error:
            left_out[part.name] = str(error)
            continue
        if _is_same(own, full):
            left_out[part.name] = "the full model is like this already."
            continue
        rows.append(Control(part, own, _size(own, prepared) if _is_subject(own) else rows[0].trainable))
    return Controls(tuple(rows), left_out)


def _lacking(config: Config) -> dict[str, str]:
    """Why a row is none, by name, where it asks for more than the full model has."""
    one_view = dict.fromkeys(_OF_TWO_VIEWS, "the full model reads one view.") if config.views != "both" else {}
    static = dict.fromkeys(_OF_A_ROUTER, "the full model's gates are static.") if not config.plan().signals else {}
    return one_view | static


def _larger(share: float) -> dict[str, str]:
    """Why a row of a share of the users is none, by name, where it would train on more of them than the full model."""
    why = f"the full model trains on {100 * share:.4g} % of the users, which is less."
    return {f"share-{percent}": why for percent in _SHARES if percent / 100 > share}


def _is_same(own: RunSettings, full: RunSettings) -> bool:
    """Whether two settings make the same network and train it alike."""
    if not _is_subject(own) or own.model_copy(update={"model": full.model}) != full:
        return own == full
    one, other = _config(own), _config(full)
    return one.plan() == other.plan() and one.model_dump(exclude=_OF_THE_PLAN) == other.model_dump(exclude=_OF_THE_PLAN)


def _is_subject(settings: RunSettings) -> bool:
    return bool(settings.model["name"] == _SUBJECT)


def _size(settings: RunSettings, prepared: Prepared) -> int:
    if _is_subject(settings):
        items = learnt_part(prepared, settings.training, settings.seed).items
        attributes = prepared.train.attributes.shape[1]
        return trainable(_config(settings), len(items), attributes, shared_words(bags_of(items), items.counts > 0))
    return sum(p.numel() for p in plan(settings).model.parameters() if p.requires_grad)


def _config(settings: RunSettings) -> Config:
    config = model_config(settings)[1]
    assert isinstance(config, Config)
    return config


def _parts(full: RunSettings, prepared: Prepared) -> Iterator[Part]:
    if _is_subject(full):
        yield from _fixed(_config(full))
        yield from _of_equal_size(full, prepared)
        yield from _sizes(_config(full))
    fields = find(full.model["name"]).config.model_fields
    for percent in _SHARES:
        words = f"{100 * full.training.share:.4g} % of the training users, against {percent} %"
        yield Part(f"share-{percent}", words, (f"training.share={percent / 100}",))
    if "pretrained" in fields:
        yield Part("random-backbone", "what the backbone was trained on before", ("model.pretrained=false",))
    if "transition_weight" in fields:
        yield Part("no-third-signal", "the counts of item pairs beside the model", ("model.transition_weight=0.0",))


def _fixed(config: Config) -> Iterator[Part]:
    yield Part("view-semantic", "the behavioural view", ('model.views="semantic"', "model.behavioural=0"))
    yield Part("view-behavioural", "the semantic view", ('model.views="behavioural"', "model.semantic=0"))
    for fusion, words in _FUSED.items():
        against = f"{_FUSED[config.fusion]}, against {words}"
        yield Part(f"fusion-{fusion}", against, (f'model.fusion="{fusion}"',))
    yield Part("no-shared-experts", "the shared experts", ("model.shared=0",))
    yield Part("no-view-experts", "the views' own experts", ("model.semantic=0", "model.behavioural=0"))
    if config.integration == "parameter":
        none = ("model.shared=0", "model.semantic=0", "model.behavioural=0", _reading(()), "model.balance_weight=0.0")
        yield Part("no-experts", "all that bends the backbone", none)
    for signal in SIGNALS:
        left = _reading(other for other in config.signals if other != signal)
        yield Part(f"no-{signal}-signal", f"what the routers read: {signal}", (left,))
    if not config.signals:
        yield _router(config)
    static = (_reading(()), "model.balance_weight=0.0")
    yield Part("static-gates", "a personal router", static)
    every = max(config.semantic, config.behavioural, 1)
    words = "a personal router, against static gates with every expert on"
    yield Part("static-gates-all-on", words, (*static, f"model.top={every}"))
    yield Part("no-words", "a vector for every word and attribute of an item", ("model.words=false",))
    yield Part("no-shortcut", "item vectors that go past the backbone", ("model.shortcut=false",))
    yield Part("no-bpc", "the loss that ties the views (BPC)", ("model.bpc_weight=0.0",))
    yield Part("no-balance", "the loss that balances the experts", ("model.balance_weight=0.0",))


def _router(config: Config) -> Part:
    """Twice the experts, so that there is something to choose."""
    pools = (f"model.semantic={2 * config.semantic}", f"model.behavioural={2 * config.behavioural}")
    words = "gates that are the same for everybody, against a personal router that chooses among twice the experts"
    return Part("personal-router", words, (_reading(SIGNALS), *pools))


def _reading(signals: Iterable[str]) -> str:
    """What makes the routers read these."""
    named = ", ".join(f'"{signal}"' for signal in signals)
    return f"model.signals=[{named}]"


def _of_equal_size(full: RunSettings, prepared: Prepared) -> Iterator[Part]:
    shape = (len(prepared.items), prepared.train.attributes.shape[1])
    config = _config(full)
    size = trainable(config, *shape)
    for name, (words, integration, pools) in _LONE.items():
        own = dict(zip(("shared", "semantic", "behavioural"), pools, strict=True))
        changes = {"integration": integration, **own}
        experts, rank = lone(config.model_copy(update=changes), size, *shape)
        counts = [f"model.{pool}={experts * count}" for pool, count in own.items()]
        yield Part(name, words, (f'model.integration="{integration}"', *counts, f"model.rank={rank}"))


def _sizes(config: Config) -> Iterator[Part]:
    for count in (2, 8):
        words = f"{config.semantic} and {config.behavioural} experts of the views, against {count} each"
        yield Part(f"experts-{count}", words, (f"model.semantic={count}", f"model.behavioural={count}"))
    for rank in (4, 16):
        yield Part(f"rank-{rank}", f"rank {config.rank}, against {rank}", (f"model.rank={rank}",))
