"""Planes through an image or through the weights of a network, on which losses are looked at."""
