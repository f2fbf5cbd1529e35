"""How many floating-point operations a training step of L2Rec needs, written out."""

from gpu_model import MATRICES, Shape
from l2rec.models.llm.l2rec import Config

FORMULA = {
    "frozen": "4 x frozen weights of the blocks x positions: 2 forward, 2 back to activations, 0 for weights",
    "attention": "3 x 4 x pairs x query heads x head width, pairs n (n + 1) / 2 for each view: causal, nothing masked",
    "experts": "6 x weights of the experts that are open at a position (shared + top) x positions",
    "routers": "6 x (2 width (experts + interaction) + interaction x experts) x positions, experts those of one view",
    "heads": "4 width^2 (items + events) for the item tower, 6 x (projector + 5 width^2) x events around it",
    "losses": "6 x 3 x events x items x width for three full softmaxes, 6 x events^2 x width for BPC",
}
"""A multiplication with its addition is two operations; gradients double what has one operand, treble what has two."""


def needed(shape: Shape, config: Config, rows: int) -> dict[str, float]:
    """Returns the operations that a step needs, by part; see `FORMULA`.

    Work that the program does and nobody needs is not counted: experts that are shut, pairs that the mask hides.
    """
    return _parts(shape, config, rows, config.shared + config.top, 0.5, 1)


def dense(shape: Shape, config: Config, rows: int) -> dict[str, float]:
    """Returns the same with every expert at every position and every pair of positions within a view."""
    return _parts(shape, config, rows, config.shared + config.semantic + config.behavioural, 1.0, 0)


def _parts(shape: Shape, config: Config, rows: int, experts: int, causal: float, itself: int) -> dict[str, float]:
    query, key, head = shape.heads
    width, events, positions = shape.width, rows * shape.history, rows * shape.positions
    views = (shape.history * shape.tokens, shape.history)
    pairs = rows * sum(causal * n * (n + itself) for n in views)
    frozen = 2 * width * head * (query + key) + len(MATRICES) * width * shape.inner
    expert = len(MATRICES) * config.rank * (width + shape.inner)
    routed, inner = config.semantic, config.router_width
    around = 2 * width * config.projector_width + 5 * width**2
    return {
        "frozen": 4.0 * frozen * positions * shape.blocks,
        "attention": 12.0 * pairs * query * head * shape.blocks,
        "experts": 6.0 * experts * expert * positions * shape.blocks,
        "routers": 6.0 * (2 * width * (routed + inner) + inner * routed) * positions * shape.blocks,
        "heads": 4.0 * width**2 * (shape.items + events) + 6.0 * around * events,
        "losses": 18.0 * events * shape.items * width + 6.0 * events**2 * width,
    }
