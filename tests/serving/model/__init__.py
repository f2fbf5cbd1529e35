"""Tests of `l2rec.serving.model`."""
