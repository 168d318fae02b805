"""The few colours that an image is made of."""

from __future__ import annotations

import numpy as np

COLOURS = 6
_ROUNDS = 20  # at most
_STILL = 1e-3  # pixel units that a centre moves in a round, at most, when it is over


def palette(image: np.ndarray, count: int = COLOURS) -> tuple[tuple[str, float], ...]:
    """Return colours that stand for an image, as baselines, with the share of the pixels of each.

    Parameters
    ----------
    image : array (C, H, W)
        Pixel units.
    count : int
        How many colours at most; an image of fewer colours has fewer.

    Returns
    -------
    tuple of (str, float)
        ``"color:r,g,b"`` and the share, the most frequent first. Each is the colour of a pixel of
        the image, exactly.

    Notes
    -----
    k-means; of each cluster the pixel nearest to its centre. It begins at pixels evenly spaced in
    the order of brightness, so that nothing is drawn.

    Examples
    --------
    >>> image = np.zeros((3, 2, 2), dtype=np.float32)
    >>> image[0, 0, 0] = 0.2
    >>> palette(image)
    (('color:0.0,0.0,0.0', 0.75), ('color:0.2,0.0,0.0', 0.25))
    """
    pixels = image.reshape(len(image), -1).T.astype(np.float64)
    distinct = np.unique(pixels, axis=0)
    ordered = distinct[np.argsort(distinct.sum(1), kind="stable")]
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    centres = ordered[places]
    owner, distance = _nearest(pixels, centres)
    for _ in range(_ROUNDS):
        kept, owner = np.unique(owner, return_inverse=True)  # what owns nothing goes
        sums = [np.bincount(owner, channel) for channel in pixels.T]
        before, centres = centres[kept], np.stack(sums, 1) / np.bincount(owner)[:, None]
        owner, distance = _nearest(pixels, centres)
        if np.abs(centres - before).max() < _STILL:
            break
    found = []
    for cluster in np.unique(owner):
        mine = owner == cluster
        nearest = pixels[mine][distance[mine].argmin()]
        # As few digits as give the same float32 again.
        name = "color:" + ",".join(str(channel) for channel in nearest.astype(np.float32))
        found.append((name, float(mine.mean())))
    return tuple(sorted(found, key=lambda it: -it[1]))


# scipy has k-means, but importing it takes longer than the first picture may.


def _nearest(pixels: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which centre each pixel is nearest to, and how far that is."""
    far = (pixels**2).sum(1)[:, None] - 2 * pixels @ centres.T + (centres**2).sum(1)
    return far.argmin(1), far.min(1)


def hex_code(colour: str) -> str:
    """Return ``"color:r,g,b"`` as #rrggbb.

    Examples
    --------
    >>> hex_code("color:1.0,0.5,0.0")
    '#ff8000'
    """
    channels = [round(255 * float(value)) for value in colour.removeprefix("color:").split(",")]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
