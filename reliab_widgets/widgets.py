"""The widgets, one for each analysis."""

from .analyses.propagation.widget import PropagationWidget
from .analyses.pruning.widget import PruningWidget
from .analyses.reliability.widget import ReliabilityWidget
from .analyses.saliency.widget import SaliencyWidget

__all__ = ["PropagationWidget", "PruningWidget", "ReliabilityWidget", "SaliencyWidget"]
