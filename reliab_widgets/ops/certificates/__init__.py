"""What is proved of a network, not only tried: bounds that no attack can break."""
