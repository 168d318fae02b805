"""Attacks on images: balls, gradients, DeepFool, the adversary and searches over epsilon."""
