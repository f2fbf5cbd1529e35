"""The tests, in the same rooms as the source; `worlds.py` builds the little data sets that they share."""
