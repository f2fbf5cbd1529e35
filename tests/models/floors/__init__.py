"""Tests of `l2rec.models.floors`."""
