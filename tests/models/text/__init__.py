"""Tests of the models that know items by what is written of them."""
