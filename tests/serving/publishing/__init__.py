"""Tests of l2rec.serving.publishing."""
