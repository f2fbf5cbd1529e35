"""How many numbers of an L2Rec its training can move, told from its shape alone."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from l2rec.models.llm._settings import Config
from l2rec.nn import backbone as backbones
from l2rec.nn.network import Network, Plan


def trainable(config: Config, items: int, attributes: int, words: int = 0) -> int:
    """Returns the number of parameters that the loss reaches; no weight is loaded or made.

    What the settings leave without a task, as the gate of a network with one view, is not counted, so that rows of an
    ablation are equalled in what they can use.

    Args:
        config: The model's settings.
        items: Items of the catalogue.
        attributes: Columns of a user's attribute vector.
        words: Words that items share; see `shared_words`.

    Raises:
        BackboneError: the backbone's config is not there or not readable.
    """
    with torch.device("meta"):
        frozen = backbones.load(config.backbone, pretrained=False)
        text = torch.empty(items, frozen.width)
        network = Network(_read(config.plan()), frozen, text, torch.empty(items, dtype=torch.bool), attributes)
    idle = {id(p) for module in _idle(network) for p in module.parameters()}
    reached = sum(p.numel() for p in network.parameters() if p.requires_grad and id(p) not in idle)
    return reached + (words * frozen.width if config.words else 0)


def lone(config: Config, size: int, items: int, attributes: int) -> tuple[int, int]:
    """Returns as how many experts, of which rank, `config` has `size` trainable parameters, as near as a rank allows.

    Args:
        config: Settings in which every pool that is not empty has one expert.
        size: Trainable parameters of the model to be equalled.
        items: Items of the catalogue.
        attributes: Columns of a user's attribute vector.
    """
    one, two = (trainable(config.model_copy(update={"rank": rank}), items, attributes) for rank in (1, 2))
    ranks = max(1, round((size - one) / (two - one)) + 1)
    experts = -(-ranks // int(Config.model_json_schema()["properties"]["rank"]["maximum"]))
    return experts, round(ranks / experts)


def _read(plan: Plan) -> Plan:
    """The plan without the experts that are never on; they stand in one matrix with the others.

    Those are the experts of a view that is not read, and without a router all beyond the first `top`.
    """
    unread = {"semantic": "behavioural", "behavioural": "semantic"}.get(plan.views)
    most = max(plan.pools.routed) if plan.signals else plan.pools.top
    on = {view: min(count, most) for view, count in zip(("semantic", "behavioural"), plan.pools.routed, strict=True)}
    return replace(plan, pools=replace(plan.pools, **on | ({unread: 0} if unread else {})))


def _idle(network: Network) -> Iterator[nn.Module]:
    """The parts that no loss reaches."""
    plan, fusion = network.plan, network.fusion
    alone = plan.inject or plan.views != "both"
    if alone:
        other = 0 if plan.views == "behavioural" else 1
        yield fusion.projections[other]
        yield fusion.norms[other]
        yield nn.ParameterList([fusion.fixed] if fusion.fixed is not None else [])
        yield fusion.gate or nn.Identity()
        yield from (pair.get_submodule(str(other)) for pair in network.reader.routers)
    if plan.views == "semantic":
        yield network.projector
    routed = any(plan.pools.routed) and {"user", "interaction"} & set(plan.signals)
    heard = routed or plan.shortcut or (plan.fusion == "acf" and not alone)
    if network.people is not None and not heard:
        yield network.people
