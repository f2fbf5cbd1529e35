"""Tests of l2rec.serving.api."""
