"""Tests of `l2rec.nn`."""
