"""Tests of `l2rec.data`."""
