"""Tests of l2rec.serving.access."""
