"""Floors: recommenders that only count; a learnt model that does not beat them has no result."""
