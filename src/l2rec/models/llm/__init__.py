"""Recommenders on a frozen language model."""
