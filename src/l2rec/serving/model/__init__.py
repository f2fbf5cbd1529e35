"""A run that is alive: what it reads beyond its training, how it is steered, why it answers so."""
