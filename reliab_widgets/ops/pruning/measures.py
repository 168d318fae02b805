"""How a pruned network is looked at, for those who measure and those who tell of it."""

ATTACKS = (("fgsm", 2), ("fgsm", 8), ("bim", 2), ("bim", 8))
"""Methods and their epsilon, in 1/255."""
TEMPERATURES = ("raw", "old", "refitted")
"""No temperature, that of the whole network, and one fitted to the pruned network."""
BINS = 15
"""Of confidence, for the calibration error."""
