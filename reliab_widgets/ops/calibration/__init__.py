"""Calibration: what is measured, in which bins, and what corrects it."""
