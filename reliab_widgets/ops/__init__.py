"""Mathematics that several analyses share, one room for each family."""
