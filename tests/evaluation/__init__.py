"""Tests of `l2rec.evaluation`."""
