"""iLoRA: one LoRA cut into slices, which a SASRec's view of the user weighs anew for every history; else as LLaRA."""

from pydantic import Field

from l2rec.models._space import Choices, Space
from l2rec.models.llm._hybrid import HYBRID_SPACE, Hybrid, HybridSettings
from l2rec.nn.network import Plan
from l2rec.nn.router import Pools
from l2rec.types import Items

__all__ = ["SPACE", "Config", "Model"]


class Config(HybridSettings):
    """Settings of iLoRA; all slices together have as many ranks as all experts of L2Rec in its paper."""

    experts: int = Field(default=4, ge=1, le=64)
    """Slices K that the LoRA is cut into."""
    rank: int = Field(default=20, ge=1, le=256)
    """Rank of a slice; K times that is the rank of the LoRA."""
    scale: float = Field(default=8.0, gt=0)
    """Factor of the correction; K times 2 gives slices of equal weight the correction of LLaRA's LoRA."""

    def plan(self) -> Plan:
        """See the base class; all slices are on, and only the user weighs them."""
        return self.with_experts(Pools(0, self.experts, 0, self.rank, self.experts), self.scale, ("user",))


SPACE: Space = {
    "model.experts": Choices(choices=(2, 4, 8)),
    "model.rank": Choices(choices=(10, 20, 40)),
    **HYBRID_SPACE,
}


class Model(Hybrid):
    """Instance-wise LoRA (Kong et al. 2024).

    Prompts are those of LLaRA. A LoRA of rank K r is cut into K slices (A_k, B_k) of rank r, and the frozen SASRec's
    state z of the history weighs them, with one gate for each block:

        y = W x + s sum_k g_k B_k A_k x        g = softmax(V z + b)

    Deviations: those of LLaRA, but every prompt is hybrid unless `curriculum` says otherwise. The paper has one z for
    an instance, of its whole history. Here every item of a history is an instance, so z_t is the SASRec's state after
    item t, and the positions of item t have the gates of z_t: no gate hears of a later item, as the SASRec is causal.
    The positions of earlier items keep their own gates and are not read anew for each t. z passes a linear map to the
    backbone's width and, where users have attributes, theirs is added.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes, listens=True)
