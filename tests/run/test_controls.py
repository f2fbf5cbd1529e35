"""The controls: what each row takes out, that sizes are told, and that every row starts frozen and sees no future."""

from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.config import RunSettings, validated
from l2rec.data.prepared import load
from l2rec.errors import SettingError
from l2rec.models.llm.l2rec import Model
from l2rec.nn.experts import AdaptedLinear
from l2rec.run import plan
from l2rec.run.controls import Controls, controls
from tests import worlds
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL, steps
from tests.trained import SASREC, World, settings

ROWS = (
    *("full", "view-semantic", "view-behavioural", "fusion-mean", "fusion-gate-less"),
    *("no-shared-experts", "no-view-experts", "no-experts"),
    *("no-context-signal", "no-user-signal", "no-interaction-signal"),
    *("static-gates", "static-gates-all-on", "no-words", "no-shortcut", "no-bpc", "no-balance"),
    *("integration-input", "integration-output", "plain-lora", "experts-2", "experts-8", "rank-4", "rank-16"),
    *("share-10", "share-30", "random-backbone", "no-third-signal"),
)


def little(world: World, backbone: Path, **more: Any) -> RunSettings:  # noqa: F811
    model = SMALL | {"name": "l2rec", "backbone": str(backbone), "transition_weight": 2.0} | more
    return validated(RunSettings, settings(world, model).model_dump(mode="json"), "")


@pytest.fixture(scope="module")
def found(world: World, backbone: Path) -> Controls:  # noqa: F811
    return controls(little(world, backbone), load(world.prepared))


def test_the_rows_of_the_claim_are_all_there(found: Controls) -> None:
    assert [row.part.name for row in found.rows] == list(ROWS)
    assert found.left_out == {"fusion-acf": "the full model is like this already."}
    assert all(row.part.words for row in found.rows)


def test_a_row_differs_from_the_full_model_in_what_it_says_alone(found: Controls) -> None:
    full = found.rows[0].settings.model_dump(mode="json")
    for row in found.rows[1:]:
        own = row.settings.model_dump(mode="json")
        changed = {f"model.{n}" for n, value in own["model"].items() if value != full["model"][n]}
        changed |= {f"training.{n}" for n, value in own["training"].items() if value != full["training"][n]}
        said = {override.split("=")[0] for override in row.part.overrides}
        assert changed
        assert changed <= said, row.part.name
        assert own | {"model": 0, "training": 0} == full | {"model": 0, "training": 0}


def test_what_the_full_model_lacks_already_is_no_row(world: World, backbone: Path) -> None:  # noqa: F811
    prepared = load(world.prepared)
    without = controls(little(world, backbone, bpc_weight=0.0, transition_weight=0.0, rank=4), prepared)
    assert set(without.left_out) == {"no-bpc", "no-third-signal", "rank-4", "fusion-acf"}
    assert without.left_out["no-bpc"] == "the full model is like this already."
    joined = controls(little(world, backbone, integration="input"), prepared)
    assert joined.left_out["view-semantic"].startswith("model: ")
    assert 'needs both views. Set views = "both"' in joined.left_out["view-semantic"]


def test_a_model_of_one_view_has_no_row_that_asks_for_two(world: World, backbone: Path) -> None:  # noqa: F811
    prepared = load(world.prepared)
    found = controls(little(world, backbone, views="behavioural"), prepared)
    asked = {name for name in ROWS if name.startswith(("view-", "fusion-", "integration-"))} | {"no-bpc"}
    assert asked <= set(found.left_out)
    assert all(found.left_out[name] == "the full model reads one view." for name in asked)
    assert {row.settings.model["views"] for row in found.rows} == {"behavioural"}
    alone = controls(little(world, backbone, views="behavioural", semantic=0), prepared)
    assert found.rows[0].trainable == alone.rows[0].trainable, "experts of a view that is not read"
    for name in ("full", "plain-lora"):
        row = next(row for row in alone.rows if row.part.name == name)
        model = plan(row.settings).model
        assert isinstance(model, Model)
        steps(model)
        assert row.trainable == sum(p.numel() for p in model.parameters() if p.grad is not None), name


def test_a_model_of_the_mean_is_put_against_the_gate(world: World, backbone: Path) -> None:  # noqa: F811
    found = controls(little(world, backbone, fusion="mean"), load(world.prepared))
    assert "fusion-mean" in found.left_out
    row = next(row for row in found.rows if row.part.name == "fusion-acf")
    assert row.settings.model["fusion"] == "acf"
    assert row.part.words == "the views' mean, against a gate between the views that reads the user"
    assert row.trainable > found.rows[0].trainable
    tied = controls(little(world, backbone, integration="output"), load(world.prepared))
    same = {"fusion-acf", "fusion-mean", "fusion-gate-less", "static-gates"}
    assert same <= set(tied.left_out), "two passes have neither gate nor router"
    assert not same & {row.part.name for row in tied.rows}


def test_a_model_of_static_gates_is_put_against_a_router_and_has_no_row_that_takes_one_out(
    world: World,
    backbone: Path,  # noqa: F811
) -> None:
    static = controls(little(world, backbone, signals=(), semantic=2, behavioural=2), load(world.prepared))
    without = {f"no-{signal}-signal" for signal in ("context", "user", "interaction")}
    without |= {"static-gates", "static-gates-all-on", "no-balance", "experts-2", "experts-8"}
    assert set(static.left_out) == {*without, "fusion-acf"}
    assert {static.left_out[name] for name in without} == {"the full model's gates are static."}
    rows = {row.part.name: row for row in static.rows}
    router = rows["personal-router"].settings.model
    assert router["signals"] == ["context", "user", "interaction"]
    assert router["semantic"] == router["behavioural"] == 4
    assert rows["personal-router"].trainable > rows["full"].trainable
    near = abs(rows["plain-lora"].trainable - rows["full"].trainable)
    assert near < 0.05 * rows["full"].trainable


def test_a_row_of_a_share_has_the_words_of_that_share(world: World, backbone: Path) -> None:  # noqa: F811
    whole = little(world, backbone)
    part = validated(RunSettings, {**whole.model_dump(mode="json"), "training": {"share": 0.001}}, "")
    sizes = {}
    for own in (whole, part):
        found = controls(own, load(world.prepared))
        model = plan(found.rows[0].settings).model
        assert isinstance(model, Model)
        steps(model)
        sizes[own.training.share] = found.rows[0].trainable
        assert found.rows[0].trainable == sum(p.numel() for p in model.parameters() if p.grad is not None)
        assert ("share-30" in found.left_out) == (own is part)
    assert sizes[0.001] < sizes[1.0]
    assert found.left_out["share-10"] == "the full model trains on 0.1 % of the users, which is less."


def test_another_model_has_the_controls_that_it_has_the_settings_for(world: World) -> None:
    rows = controls(settings(world, SASREC | {"transition_weight": 1.0}), load(world.prepared)).rows
    assert [row.part.name for row in rows] == ["full", "share-10", "share-30", "no-third-signal"]
    model = plan(rows[0].settings).model
    assert {row.trainable for row in rows} == {sum(p.numel() for p in model.parameters() if p.requires_grad)}


def test_a_wrong_setting_of_the_full_model_is_refused(world: World) -> None:
    with pytest.raises(SettingError, match=r"model\.widht: no such setting"):
        controls(settings(world, SASREC | {"widht": 3}), load(world.prepared))


def bent(model: Model) -> Model:
    """The model with experts that do something."""
    for module in model.modules():
        if isinstance(module, AdaptedLinear):
            torch.nn.init.normal_(module.up, std=0.3)
    return model


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_every_row_starts_as_the_frozen_backbone_and_sees_no_future(found: Controls, name: str) -> None:
    model = plan(next(row for row in found.rows if row.part.name == name).settings).model
    assert isinstance(model, Model)
    network = model.eval().network
    past, other = (worlds.batch_of([[3, 10, 2, last]]) for last in (7, 22))
    rows, _ = network.rows(past, model.tokens)
    plain = network.reader.plain(rows.embeddings, rows.visible, rows.positions, rows.layout)
    untrained = network.reader(rows.embeddings, rows.visible, rows.positions, rows.user, rows.layout)
    assert torch.equal(untrained, plain)
    bent(model)
    seen, changed = (network.read(network.rows(batch, model.tokens)[0]) for batch in (past, other))
    for one, two in zip(seen, changed, strict=True):
        torch.testing.assert_close(one[:, :3], two[:, :3], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(one[:, 3], two[:, 3], atol=1e-3)
    after = network.reader(rows.embeddings, rows.visible, rows.positions, rows.user, rows.layout)
    assert torch.allclose(after, plain, atol=1e-3) == (name == "no-experts")


def test_every_rows_size_is_what_its_gradient_reaches(found: Controls) -> None:
    for row in found.rows:
        settings = row.settings
        if row.part.name == "static-gates":
            cut = {"semantic": 2, "behavioural": 2}
            settings = settings.model_copy(update={"model": settings.model | cut})
        model = plan(settings).model
        assert isinstance(model, Model)
        steps(model)
        assert row.trainable == sum(p.numel() for p in model.parameters() if p.grad is not None), row.part.name
