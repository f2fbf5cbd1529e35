"""Tests of the pages: what the server renders, and what a person does with it in a real browser."""
