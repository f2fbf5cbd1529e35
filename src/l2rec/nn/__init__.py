"""Layers and losses that know tensors only."""
