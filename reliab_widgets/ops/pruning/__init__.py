"""Removing filters: which go together, what each is worth, and the network without them."""
