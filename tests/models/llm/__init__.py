"""Tests of `l2rec.models.llm`."""
