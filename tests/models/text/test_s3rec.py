"""What S3-Rec alone promises: its four tasks against their formulas, and what its stages are."""

import math

import pytest
import torch
from torch import Tensor

from l2rec.models.ids import sasrec
from l2rec.models.text.s3rec import Config, Model, beginning, owned_attributes, stretch
from l2rec.types import Batch
from tests import worlds

SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11, 29, 5]]
TASKS = ["associated", "attribute", "item", "segment"]


def small(**settings: object) -> Model:
    torch.manual_seed(0)
    base = {"history": 8, "width": 16, "layers": 1, "dropout": 0.0, "smoothing": 0.0, "masked": 0.5}
    return Model(Config.model_validate(base | settings), worlds.tiny_items()).eval()


def around(model: Model, sequence: list[int], hidden: list[bool]) -> Tensor:
    """The states of one sequence that is seen from both sides."""
    events = [
        model.hidden if gone else 4 * model.items.weight[item] for item, gone in zip(sequence, hidden, strict=True)
    ]
    assert model.positions is not None
    read = torch.stack(events) + model.positions.weight[: len(sequence)]
    states: Tensor = model.network(read.unsqueeze(0), torch.ones(1, len(sequence), dtype=torch.bool))
    return states[0]


def told(model: Model, task: str, vector: Tensor, item: int) -> list[float]:
    """How badly a vector tells each attribute of an item, `sum exp` and all written out."""
    own = set(model.owned[item].tolist())
    scores = [float(vector @ model.tasks[task].weight.T @ a) for a in model.attributes.weight]
    wrong = sum(math.exp(score) for n, score in enumerate(scores) if n not in own)
    return [math.log(math.exp(scores[n]) + wrong) - scores[n] for n in own]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@torch.no_grad()
def test_the_four_tasks_are_the_formulas_written_out() -> None:
    """Chance is drawn in this order: beginnings and what is hidden, then lengths and places of the stretches."""
    weights = {"associated_weight": 0.3, "item_weight": 0.7, "attribute_weight": 1.1, "segment_weight": 0.6}
    model = small(**weights)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    model.begin(0)
    torch.manual_seed(1)
    loss = model.loss(worlds.training_batch_of(SEQUENCES))
    torch.manual_seed(1)
    whole = torch.tensor([[n < len(s) for n in range(6)] for s in SEQUENCES])
    kept, hidden = beginning(whole, 0.5)
    gone = stretch(whole)
    found: dict[str, list[float]] = {"item": [], "attribute": []}
    ends = []
    for row, sequence in enumerate(SEQUENCES):
        length = int(kept[row].sum())
        states = around(model, sequence[:length], hidden[row, :length].tolist())
        for place in hidden[row].nonzero().flatten().tolist():
            asked = model.tasks["item"](states[place]) @ model.items.weight.T
            found["item"].append(float(asked.exp().sum().log() - asked[sequence[place]]))
            found["attribute"] += told(model, "attribute", states[place], sequence[place])
        segment = gone[row, : len(sequence)]
        ends.append([around(model, sequence, half.tolist())[-1] for half in (segment, ~segment)])
    scores = torch.tensor([[float(model.tasks["segment"](one) @ other) / 4 for _, other in ends] for one, _ in ends])
    assert len(found["item"]) > 3
    each = {item for sequence in SEQUENCES for item in sequence}
    associated = [loss for item in each for loss in told(model, "associated", 4 * model.items.weight[item], item)]
    expected = {
        "associated": 0.3 * mean(associated),
        "item": 0.7 * mean(found["item"]),
        "attribute": 1.1 * mean(found["attribute"]),
        "segment": 0.6 * float((scores.logsumexp(1) - scores.diagonal()).mean()),
    }
    assert loss.parts == pytest.approx(expected, rel=1e-4)
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-4)


def test_the_first_epochs_prepare_and_a_saved_model_knows_its_stage() -> None:
    model, batch = small(preparation=2), worlds.training_batch_of(SEQUENCES)
    stages = []
    for epoch in range(3):
        model.begin(epoch)
        stages.append(sorted(model.loss(batch).parts))
    assert stages == [TASKS, TASKS, ["retrieval"]]
    assert model.preparation == 2
    model.begin(1)
    heir = small(preparation=2)
    heir.load_state(model.state())
    assert sorted(heir.loss(batch).parts) == TASKS


def test_what_is_learnt_in_preparation_tells_hidden_items_and_attributes() -> None:
    model = small(width=32, masked=0.2).train()
    model.begin(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = worlds.training_batch_of([s[:9] for s in worlds.tiny_sequences(users=60) if len(s) > 2])
    parts = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.total.backward()
        optimizer.step()
        parts.append(loss.parts)
    for task, share in {"associated": 0.1, "item": 0.7, "attribute": 0.85, "segment": 0.8}.items():
        assert parts[-1][task] < share * parts[0][task], task


@torch.no_grad()
def test_prepared_or_not_it_ranks_as_sasrec_with_its_weights_would() -> None:
    model = small()
    settings = {"history": 9, "width": 16, "layers": 1, "dropout": 0.0}
    other = sasrec.Model(sasrec.Config.model_validate(settings), worlds.tiny_items()).eval()
    other.load_state({name: tensor for name, tensor in model.state().items() if name in other.state()})
    batch = worlds.batch_of([[3, 10], [], [7, 22, 8]])
    model.begin(0)
    torch.testing.assert_close(model.scores(batch), other.scores(batch))


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_a_stretch_is_one_run_of_up_to_half_of_the_events_anywhere(length: int) -> None:
    mask = torch.arange(11).expand(500, 11) < length
    gone = stretch(mask)
    assert not (gone & ~mask).any()
    assert sorted(set(gone.sum(1).tolist())) == list(range(1, max(length // 2, 1) + 1))
    assert ((gone[:, 1:] & ~gone[:, :-1]).sum(1) + gone[:, 0] == 1).all(), "one run"
    assert gone.any(0)[:length].all(), "anywhere"


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_beginning_hides_its_last_event_and_a_share_of_the_others(length: int) -> None:
    mask = torch.arange(8).expand(4000, 8) < length
    kept, hidden = beginning(mask, 0.2)
    counts = kept.sum(1)
    assert (kept == (torch.arange(8) < counts[:, None])).all(), "from the oldest on"
    assert counts.bincount(minlength=length + 1)[1:].tolist() == pytest.approx([4000 / length] * length, rel=0.15)
    assert not (hidden & ~kept).any()
    assert hidden.gather(1, counts[:, None] - 1).all()
    others = hidden.sum() - len(hidden)
    assert float(others) == pytest.approx(0.2 * float((counts - 1).sum()), rel=0.15)
    assert not beginning(torch.zeros(3, 4, dtype=torch.bool), 0.5)[1].any(), "an empty row hides nothing"


def test_the_attributes_that_are_known_are_the_most_frequent_of_those_that_two_items_have() -> None:
    described = (("a", "b", "c"), ("c", "a", "a"), (), ("c", "d", "b"))
    owned, count = owned_attributes(described, 9)
    assert count == 3
    names = ["c", "a", "b"]
    assert [{names[n] for n in row if n < 3} for row in owned.tolist()] == [{*"abc"}, {*"ac"}, set(), {*"bc"}]
    assert owned_attributes(described, 1)[0].flatten().tolist() == [0, 0, 1, 0]
    assert owned_attributes(((), ()), 9)[0].shape == (2, 0)


def test_without_attributes_the_tasks_that_tell_them_are_zero() -> None:
    model, batch = small(vocabulary=0), worlds.training_batch_of(SEQUENCES)
    model.begin(0)
    loss = model.loss(batch)
    loss.total.backward()
    assert loss.parts["associated"] == loss.parts["attribute"] == 0
    assert loss.parts["item"] > 0


def test_the_preparation_reads_the_last_target_and_nothing_that_does_not_count() -> None:
    model, seen = small(), []
    model.begin(0)
    model.network.register_forward_pre_hook(lambda _, given: seen.append(given[1].sum(1).tolist()))
    batch = worlds.training_batch_of([[3, 10, 2, 7], [7, 22]])
    model.loss(batch)
    assert batch.target_mask is not None
    silent = Batch(
        batch.items, batch.mask, batch.times, batch.attributes, batch.targets, torch.zeros_like(batch.target_mask)
    )
    model.loss(silent)
    cut, cut_silent = seen.pop(0), seen.pop(1)
    assert seen == [[4, 2] * 2, [3, 1] * 2]
    for shorter, whole in ((cut, [4, 2]), (cut_silent, [3, 1])):
        assert all(1 <= read <= length for read, length in zip(shorter, whole, strict=True))
