"""A language model small enough for tests, as a folder that a `backbone` setting can name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.worlds import COLOURS, THINGS

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a two-layer BERT of width 32 with random weights; vectors are cached beside it, not at home."""
    folder = tmp_path_factory.mktemp("backbone")
    words = [*SPECIAL, *COLOURS, *THINGS, "|", *"0123456789", *(f"##{digit}" for digit in range(10))]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    _tokenizer(words).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("L2REC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


def _tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    numbers = {word: n for n, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    inner.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="[MASK]", **names)
