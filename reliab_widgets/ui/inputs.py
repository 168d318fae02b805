"""Knobs that several analyses have, so that they look the same everywhere."""

from __future__ import annotations

from typing import Any

import ipywidgets as W


def choice(label: str, options: Any, tip: str = "") -> W.Dropdown:
    """Return a drop-down list that begins with the first of its values or (text, value) pairs."""
    return W.Dropdown(options=options, description=label, tooltip=tip or label)


def whole(label: str, value: int, low: int, high: int, tip: str = "") -> W.IntSlider:
    """Return a slider over whole numbers that acts while it moves."""
    return W.IntSlider(value, low, high, description=label, tooltip=tip or label)


def seed() -> W.BoundedIntText:
    """Return the box for a seed."""
    return W.BoundedIntText(
        0, 0, 999, description="seed", tooltip="Of everything that is drawn by chance"
    )
