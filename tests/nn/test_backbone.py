"""The frozen model is what its maker published, keeps still, and says in one line why it cannot be loaded."""

import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from transformers import PreTrainedConfig, RobertaConfig, RobertaModel

from l2rec.errors import BackboneError, MissingExtraError
from l2rec.nn import attention, backbone
from l2rec.nn.views import causal
from tests.nn import networks

every_kind = pytest.mark.parametrize("kind", networks.CONFIGS)


@every_kind
def test_nothing_of_it_is_trained_and_nothing_dropped(kind: str) -> None:
    frozen = networks.little(kind).train()
    assert not any(p.requires_grad for p in frozen.parameters())
    words = torch.randn(2, 5, networks.WIDTH)
    mask, positions = causal(torch.ones(2, 5, dtype=torch.bool)), torch.arange(5).expand(2, -1)
    assert torch.equal(frozen(words, mask, positions), frozen(words, mask, positions))


@every_kind
def test_what_is_not_visible_changes_nothing_and_what_is_visible_does(kind: str) -> None:
    frozen = networks.little(kind)
    words, mask = torch.randn(1, 5, networks.WIDTH), causal(torch.ones(1, 5, dtype=torch.bool))
    positions = torch.arange(5).expand(1, -1)
    changed = words.clone()
    changed[:, 3] = torch.randn(networks.WIDTH)
    before, after = frozen(words, mask, positions), frozen(changed, mask, positions)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-4)


@every_kind
def test_words_given_as_vectors_are_read_as_the_library_reads_their_numbers(kind: str) -> None:
    """Decoders are causal by themselves; encoders look both ways unless a mask says otherwise."""
    frozen = networks.little(kind)
    ids = torch.tensor([[5, 9, 200, 31, 7]])
    both = torch.ones(1, 5, 5, dtype=torch.bool)
    visible = both if frozen.bidirectional else both.tril()
    ours = frozen(frozen.token_embedding(ids), visible, torch.arange(5).expand(1, -1))
    attention.choose(frozen.network, "cuda")
    theirs = frozen.network(input_ids=ids, attention_mask=torch.ones(1, 5)).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_roberta_counts_positions_from_its_padding_number_plus_one() -> None:
    assert networks.little("roberta").first_position == 2
    assert {networks.little(kind).first_position for kind in networks.CONFIGS if kind != "roberta"} == {0}


def test_a_row_that_its_table_of_positions_cannot_hold_is_refused() -> None:
    frozen = networks.little("roberta")
    assert frozen.limit == 126
    for size, positions in ((126, torch.arange(126)), (130, torch.arange(130) % 126)):
        mask = torch.eye(size, dtype=torch.bool).unsqueeze(0)
        assert frozen(torch.randn(1, size, networks.WIDTH), mask, positions.unsqueeze(0)).isfinite().all()
    with pytest.raises(BackboneError, match=r"127 positions: RobertaModel has 126\. Lower model\.history"):
        frozen(
            torch.randn(1, 127, networks.WIDTH),
            torch.eye(127, dtype=torch.bool).unsqueeze(0),
            torch.arange(127).unsqueeze(0),
        )


def test_bfloat16_is_near_float32_and_comes_out_as_float32() -> None:
    exact, rough = networks.little("qwen3"), networks.little("qwen3")
    rough = backbone.Backbone(rough.network, rough.width, torch.bfloat16)
    words, mask = torch.randn(2, 6, networks.WIDTH), causal(torch.ones(2, 6, dtype=torch.bool))
    positions = torch.arange(6).expand(2, -1)
    found = rough(words, mask, positions)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact(words, mask, positions), rtol=0.1, atol=0.1)
    assert not torch.equal(found, exact(words, mask, positions))


def test_the_size_of_token_vectors_is_their_deviation() -> None:
    frozen = networks.little("bert")
    table = frozen.network.get_input_embeddings().weight
    with torch.no_grad():
        table.copy_(table / table[:256].std() * 0.25)
    assert frozen.token_size() == pytest.approx(0.25, rel=1e-4)


def test_the_bundled_minilm_is_the_published_one() -> None:
    assert backbone.fingerprint(backbone.MINILM) == backbone.MINILM_SHA256
    frozen = backbone.load(backbone.MINILM)
    assert (frozen.width, frozen.bidirectional, frozen.limit) == (384, True, 512)
    found = backbone.tokenizer(backbone.MINILM)
    assert found.convert_tokens_to_ids(["[CLS]", "[SEP]"]) == [101, 102]


def test_tampered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = backbone.locate(backbone.MINILM)
    shutil.copytree(place, tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr(backbone, "locate", lambda _: tmp_path / "model")
    with pytest.raises(
        BackboneError, match=r"all-MiniLM-L6-v2: sha256 .* is not the published 53aa51172d14.*pip install"
    ):
        backbone.load(backbone.MINILM)


def test_without_its_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'not installed\. Run: pip install "l2rec\[offline\]"'):
        backbone.locate(backbone.MINILM)


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_hub_name_out_of_reach_is_one_line(pretrained: bool) -> None:
    for ask in (
        lambda: backbone.load("nobody/nothing", pretrained=pretrained),
        lambda: backbone.tokenizer("nobody/no"),
    ):
        with pytest.raises(
            BackboneError, match=r'model\.backbone: "nobody/no.*cannot be loaded.*Pass a folder'
        ) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("content", [None, b"", b"no weights at all"])
def test_a_folder_with_broken_weights_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    networks.CONFIGS["bert"]().save_pretrained(tmp_path)
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(
        BackboneError, match=r"cannot be loaded .*Pass a folder with config\.json and model\.safetensors"
    ):
        backbone.load(str(tmp_path))


def test_a_folder_without_weights_and_config_has_no_fingerprint(tmp_path: Path) -> None:
    for ask in (lambda: backbone.fingerprint(str(tmp_path)), lambda: backbone.load(str(tmp_path))):
        with pytest.raises(
            BackboneError,
            match=r'^model\.backbone: ".*": cannot be loaded \(.*config\.json.*\)\. Pass a folder [^\n]*$',
        ):
            ask()
    (tmp_path / "config.json").write_text("{}")
    assert backbone.fingerprint(str(tmp_path)) == sha256(b"{}").hexdigest()


def test_a_folder_is_loaded_with_its_weights_or_with_random_ones(tmp_path: Path) -> None:
    config: PreTrainedConfig = networks.CONFIGS["roberta"]()
    assert isinstance(config, RobertaConfig)
    written = RobertaModel(config)
    written.save_pretrained(tmp_path)
    again, random = backbone.load(str(tmp_path)), backbone.load(str(tmp_path), pretrained=False)
    key = "encoder.layer.1.output.dense.weight"
    assert torch.equal(again.network.state_dict()[key], written.state_dict()[key])
    assert not torch.equal(random.network.state_dict()[key], written.state_dict()[key])
    assert random.network.state_dict()[key].shape == written.state_dict()[key].shape


def test_a_weights_file_is_hashed_once_and_anew_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, read = tmp_path / "model.safetensors", []
    opened = Path.open

    def watched(self: Path, mode: str = "r") -> IO[Any]:
        read.extend([self.name] if mode == "rb" else [])
        return opened(self, mode)

    monkeypatch.setattr(Path, "open", watched)
    weights.write_bytes(b"one")
    assert {backbone.fingerprint(str(tmp_path)) for _ in range(3)} == {sha256(b"one").hexdigest()}
    assert read == [weights.name]
    weights.write_bytes(b"longer")
    assert backbone.fingerprint(str(tmp_path)) == sha256(b"longer").hexdigest()
    before = weights.stat().st_mtime_ns
    weights.write_bytes(b"LONGER")
    os.utime(weights, ns=(before, before + 1))
    assert backbone.fingerprint(str(tmp_path)) == sha256(b"LONGER").hexdigest()
    (tmp_path / "more.safetensors").write_bytes(b"!")
    assert backbone.fingerprint(str(tmp_path)) == sha256(b"LONGER!").hexdigest()


def test_fingerprints_tell_folders_and_names_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    found = {backbone.fingerprint(n) for n in (str(tmp_path / "a"), str(tmp_path / "b"), "hub/one", "hub/two")}
    assert len(found) == 4
