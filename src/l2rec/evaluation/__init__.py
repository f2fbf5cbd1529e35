"""Ranks, metrics, slices, significance and the report."""
