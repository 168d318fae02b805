"""The widgets, one for each analysis."""

from .analyses.reliability.widget import ReliabilityWidget

__all__ = ["ReliabilityWidget"]
