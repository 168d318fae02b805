"""Small worlds made by a few lines of arithmetic: as many images as wanted, and their truth."""
