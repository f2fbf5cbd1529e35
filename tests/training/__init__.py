"""Tests of `l2rec.training`."""
