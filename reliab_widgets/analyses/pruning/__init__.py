"""Pruning: what breaks first when filters go, and for whom.

Filters are ranked by what the loss would lose without them and removed lowest first. The average
accuracy hides most of what happens: the worst class, answers that flip both ways, confidences that
no longer keep their promise. Molchanov et al. 2019, "Importance estimation for neural network
pruning", arXiv 1906.10771. The control is always there: as many filters drawn at random.
"""
