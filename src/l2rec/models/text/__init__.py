"""Models that know items by what is written of them, with a network of their own."""
