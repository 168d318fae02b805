"""Smooth noise, which the worlds paint with."""

import numpy as np


def smooth(
    generator: np.random.Generator, n: int, side: int, low: float, high: float
) -> np.ndarray:
    """Draw n fields of correlated noise, ``(n, side, side)``, mean 0 and deviation 1 each.

    Each is white noise under a Gaussian blur of ``low`` to ``high`` pixels; what leaves at one side
    comes in at the other.

    Examples
    --------
    >>> smooth(np.random.default_rng(0), 3, 16, 1.0, 2.0).std((1, 2)).round(6)
    array([1., 1., 1.])
    """
    blur = generator.uniform(low, high, size=(n, 1, 1))
    frequency = np.fft.fftfreq(side)
    distance = frequency[:, None] ** 2 + frequency[None, : side // 2 + 1] ** 2
    spectrum = np.fft.rfft2(generator.standard_normal((n, side, side)))
    spectrum *= np.exp(-2 * (np.pi * blur) ** 2 * distance)
    spectrum[:, 0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(side, side))
    return field / field.std((1, 2), keepdims=True)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Round values in [0, 1] to uint8; what lies outside is clipped."""
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
