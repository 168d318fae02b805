"""What stands before a network: filters and denoisers."""
