"""Publishing: the lists of everybody, made ahead and put into a store."""
