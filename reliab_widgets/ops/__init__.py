"""Mathematics that several analyses share: calibration (numpy) and image shifts (torch)."""
