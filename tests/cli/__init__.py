"""Tests of `l2rec.cli`."""
