"""Answers to users from a run folder."""
