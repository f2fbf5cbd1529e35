"""Who may come in: keys, limits and the guard at the door."""
