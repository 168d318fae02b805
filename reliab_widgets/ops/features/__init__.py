"""Features inside a network: layers and distances between what they give."""
