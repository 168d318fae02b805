"""Landscape: how steep it is around an image, and how far its prediction can be moved.

On a plane through an image, the decision surface ``S = z_y - max of the other logits`` and the
cross-entropy are looked at; where S is 0, the prediction changes. A number goes with it: the
largest divergence ``KL(p(x) || p(x + d))`` found where ``|d| <= epsilon`` in every pixel, which is
a lower bound of the true one. Yu et al. 2019, "Interpreting and evaluating neural network
robustness", arXiv 1905.04270. The same of weights: Li et al. 2018, arXiv 1712.09913.
"""
