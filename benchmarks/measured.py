"""One line of the table: what was measured, and every value."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measured:
    """Several values of one quantity: seconds, or ratios where ``unit`` is empty."""

    what: str
    values: list[float]
    unit: str = "ms"

    def row(self) -> str:
        """A row of a Markdown table: median, 90th percentile, how many."""
        scaled = np.array(self.values) * (1000 if self.unit else 1)
        middle, high = (
            f"{it:,.0f} {self.unit}" if self.unit else f"{it:.2f}"
            for it in (np.median(scaled), np.quantile(scaled, 0.9))
        )
        return f"| {self.what} | {middle} | {high} | {len(self.values)} |"
