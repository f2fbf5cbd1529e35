"""Sequence models on item ids alone."""
