"""Personalised recommendation with a language model: L2Rec and its family."""
