"""The little language model of the models' tests, for the parts that need a tokenizer and weights in a folder."""

from tests.models.conftest import backbone

__all__ = ["backbone"]
