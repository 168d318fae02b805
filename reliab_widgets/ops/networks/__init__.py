"""Networks made of networks: copies, untrained, tuned."""
