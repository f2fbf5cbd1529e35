"""LLaRA: behind every item's text stands its vector from a SASRec; training goes from text alone to both."""

from pydantic import Field

from l2rec.models._space import Choices, Space
from l2rec.models.llm._hybrid import HYBRID_SPACE, Hybrid, HybridSettings
from l2rec.nn.network import Plan
from l2rec.nn.router import Pools
from l2rec.types import Items

__all__ = ["SPACE", "Config", "Model"]


class Config(HybridSettings):
    """Settings of LLaRA; the LoRA has as many ranks as all experts of L2Rec in its paper."""

    rank: int = Field(default=80, ge=1, le=1024)
    """Rank of the LoRA."""
    scale: float = Field(default=2.0, gt=0)
    """Factor of its correction."""
    curriculum: int = Field(default=400, ge=0)
    """Later batches over which the share of hybrid prompts rises from none to all; 0 has none but hybrid ones."""

    def plan(self) -> Plan:
        """See the base class; one expert that is always on is a LoRA."""
        return self.with_experts(Pools(1, 0, 0, self.rank, 1), self.scale, ())


SPACE: Space = {
    "model.rank": Choices(choices=(40, 80, 160)),
    "model.curriculum": Choices(choices=(0, 200, 400, 800)),
    **HYBRID_SPACE,
}


class Model(Hybrid):
    """LLaRA: large language-recommendation assistant (Liao et al. 2024).

    A SASRec learns the vectors e_i of the items by itself and is frozen. In a hybrid prompt, the tokens of the text x_i
    of every item are followed by one position that holds a projection of e_i; a prompt of text alone has a placeholder
    there. A LoRA on the frozen language model and the projection learn to tell the next item, with h the model:

        hybrid: h(x_1, p(e_1), ..., x_t, p(e_t))     text: h(x_1, s, ..., x_t, s)     s the separator

    At step k of K a training prompt is hybrid with probability k / K; afterwards, and outside training, always.

    Deviations: the paper has the title of one of 20 candidates written; here the state at the last position retrieves
    from the whole catalogue, with the item vectors, cosine and softmax of L2Rec (without its words and shortcut), at
    every item of a history at once. So there is no instruction around the history, and attention is causal, whatever
    the backbone. What the SASRec knows of an item is read in the history alone: it takes no part in the vectors that
    are ranked, where the paper's prompt has it beside every candidate. Items are cut to the same tokens as in L2Rec.
    The chance is drawn for every history; the authors' code draws it for a whole batch, which is a small one there. K
    is `curriculum`, a number of batches, as a model does not know how long it will be trained. The SASRec learns on the
    softmax over the catalogue, with the data, the peak learning rate and the weight decay of the rest, in the
    `preparation` first epochs, whose number no validation chooses, and what it is after the last of them is kept; an
    item without a training event has a vector of zeros. p is a linear map to the backbone's width, then L2Rec's
    projector, which ends at the size of token vectors. LoRA sits on L2Rec's matrices, those of the feed-forward half,
    where the authors' sits on those of attention as well. User attributes are not read.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes, listens=False)
