"""Tests of `l2rec.models.ids`."""
