"""What is read on is what the whole says, for every kind of model, view, fusion and signal of the routers."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.nn.continuing import read_on
from l2rec.nn.network import Network
from l2rec.nn.prefix import Prefix
from tests import worlds
from tests.nn import networks

every_kind = pytest.mark.parametrize("kind", networks.CONFIGS)
decoders = pytest.mark.parametrize("kind", ["qwen3", "llama", "gemma3"])
HISTORY = [3, 0, 7, 5, 2, 2, 9]


def network(kind: str, **more: object) -> Network:
    """A little network whose attention speaks up, so that what is far away is heard."""
    made = networks.network(kind, **more)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in made.reader.backbone.named_parameters():
            if not parameter.requires_grad and parameter.dim() == 2 and ("attn" in name or "attention" in name):
                parameter.mul_(8)
    return made


def whole(made: Network, history: Sequence[int], start: int | None = 2, attributes: Tensor | None = None) -> Tensor:
    """The definition: everything is read, and the last position is fused."""
    batch = worlds.batch_of([history], attributes=0 if attributes is None else attributes.shape[1])
    if attributes is not None:
        batch.attributes.copy_(attributes)
    rows, state = made.rows(batch, networks.tokens(start))
    projected = made.project([hidden[:, -1] for hidden in made.read(rows)])
    return functional.normalize(made.fuse(projected, state[:, -1]), dim=-1) / made.temperature()


def steps(made: Network, cuts: Sequence[int], start: int | None = 2) -> tuple[Tensor, Prefix]:
    """Reads `HISTORY` up to each of the cuts, one call after another."""
    prefixes: list[Prefix] = []
    vector = torch.zeros(0)
    for cut in cuts:
        vector, found = read_on(made, networks.tokens(start), prefixes, [HISTORY[:cut]], torch.zeros(1, 0))
        assert found[0] is not None
        prefixes = [found[0]]
    return vector, prefixes[0]


@every_kind
@torch.no_grad()
@pytest.mark.parametrize("start", [2, None])
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4, 5, 6, 7), (4, 7), (7,), (3, 4, 7)], ids=str)
def test_one_by_one_or_several_at_once_the_vector_is_that_of_the_whole(
    kind: str, cuts: tuple[int, ...], start: int | None
) -> None:
    made = network(kind)
    vector, prefix = steps(made, cuts, start)
    torch.testing.assert_close(vector, whole(made, HISTORY, start), rtol=1e-4, atol=1e-4)
    once = steps(made, (7,), start)[1]
    assert prefix.items == once.items == tuple(HISTORY)
    torch.testing.assert_close(prefix.total, once.total, rtol=1e-4, atol=1e-5)
    assert prefix.view.bincount().tolist() == once.view.bincount().tolist()
    for one, other in zip(prefix.keys + prefix.values, once.keys + once.values, strict=True):
        for view in (0, 1):  # each view in its own order; how the views alternate is nobody's affair
            mine, theirs = one[:, prefix.view == view], other[:, once.view == view]
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@every_kind
@torch.no_grad()
def test_keeping_keys_changes_no_bit_of_a_full_pass(kind: str) -> None:
    made = network(kind)
    assert torch.equal(steps(made, (7,))[0], whole(made, HISTORY))


@decoders
@torch.no_grad()
@pytest.mark.parametrize("shape", [("both", False), ("semantic", False), ("behavioural", False), ("both", True)])
@pytest.mark.parametrize("fusion", ["acf", "mean", "gate-less"])
def test_both_views_and_each_alone_read_on(kind: str, shape: tuple[str, bool], fusion: str) -> None:
    made = network(kind, views=shape[0], inject=shape[1], fusion=fusion)
    expected = whole(made, HISTORY)
    for cuts in ((4, 7), (6, 7)):
        torch.testing.assert_close(steps(made, cuts)[0], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(whole(made, HISTORY[:6]), expected, atol=5e-3)
    assert not torch.allclose(whole(made, HISTORY[1:]), expected, atol=5e-3)


@decoders
@torch.no_grad()
@pytest.mark.parametrize("signals", [(), ("context",), ("user",), ("interaction",), networks.SIGNALS], ids="+".join)
def test_every_signal_of_the_routers_reads_on_with_experts_in_every_matrix(kind: str, signals: tuple[str, ...]) -> None:
    made = network(kind, signals=signals, targets="all")
    torch.testing.assert_close(steps(made, (5, 6, 7))[0], whole(made, HISTORY), rtol=1e-4, atol=1e-4)


@every_kind
@torch.no_grad()
def test_the_user_state_counts_what_was_read_before_and_who_the_user_is(kind: str) -> None:
    made, tokens = network(kind, people=3), networks.tokens()
    own = torch.randn(1, 3, generator=torch.Generator().manual_seed(9))
    _, found = read_on(made, tokens, None, [HISTORY[:5]], own)
    assert found[0] is not None
    vector, _ = read_on(made, tokens, [found[0]], [HISTORY], own)
    torch.testing.assert_close(vector, whole(made, HISTORY, attributes=own), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(vector, whole(made, HISTORY, attributes=-own), atol=5e-3)


@every_kind
@torch.no_grad()
def test_company_changes_nothing(kind: str) -> None:
    made, tokens = network(kind), networks.tokens()
    histories = [HISTORY, [9, 4], [1, 8, 10], [6, 2, 3, 3, 0]]
    cuts = [3, 1, 2, 1]
    nobody = torch.zeros(4, 0)
    _, first = read_on(made, tokens, None, [h[:c] for h, c in zip(histories, cuts, strict=True)], nobody)
    vectors, second = read_on(made, tokens, [p for p in first if p is not None], histories, nobody)
    for row, history in enumerate(histories):
        torch.testing.assert_close(vectors[row], whole(made, history)[0], rtol=1e-4, atol=1e-4)
        kept = second[row]
        assert kept is not None
        longer = [*history, 7, 1]
        vector, _ = read_on(made, tokens, [kept], [longer], nobody[:1])
        torch.testing.assert_close(vector, whole(made, longer), rtol=1e-4, atol=1e-4)


@every_kind
@torch.no_grad()
def test_reading_on_changes_no_prefix_that_was_kept(kind: str) -> None:
    """Two futures of one beginning: the first leaves no trace in the second."""
    made, tokens, nobody = network(kind), networks.tokens(), torch.zeros(1, 0)
    _, prefix = steps(made, (4,))
    before = [tensor.clone() for tensor in (*prefix.keys, *prefix.values, prefix.view, prefix.total, prefix.vector)]
    for future in ([1, 8], [10], [9, 9, 9]):
        vector, _ = read_on(made, tokens, [prefix], [HISTORY[:4] + future], nobody)
        torch.testing.assert_close(vector, whole(made, HISTORY[:4] + future), rtol=1e-4, atol=1e-4)
    after = (*prefix.keys, *prefix.values, prefix.view, prefix.total, prefix.vector)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@torch.no_grad()
def test_only_what_is_new_is_read() -> None:
    made, seen = network("qwen3"), []
    made.reader.backbone.network.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["inputs_embeds"].shape[1]), with_kwargs=True
    )
    steps(made, (6, 7))
    lengths = networks.tokens().lengths
    assert seen == [1 + int(lengths[HISTORY[:6]].sum()) + 6, int(lengths[HISTORY[6]]) + 1]


@torch.no_grad()
def test_a_backbone_that_keeps_no_keys_is_read_from_the_start_each_time() -> None:
    made, tokens = network("bert"), networks.tokens()
    made.reader.backbone.remembers = False
    vector, found = read_on(made, tokens, None, [HISTORY], torch.zeros(1, 0))
    torch.testing.assert_close(vector, whole(made, HISTORY), rtol=1e-4, atol=1e-4)
    assert found == [None]
