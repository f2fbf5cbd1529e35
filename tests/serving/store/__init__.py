"""Tests of l2rec.serving.store."""
