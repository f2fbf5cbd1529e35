"""Tests of l2rec.serving.answering."""
