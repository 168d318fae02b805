"""Corruptions of images, seeded for each image."""
