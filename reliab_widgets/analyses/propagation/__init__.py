"""Propagation: where in the network a small change of the image becomes a large one.

An attack moves every pixel by at most epsilon. Layer by layer, the features of the attacked image
are compared with those of the clean one, and the same is done for equally large random noise: the
ratio of the two says where the attack takes over. A denoiser in front of the network may remove
the noise without giving back the answer. Yoon, Kim and Jang 2019, "Propagated perturbation of
adversarial attack for well-known CNNs", arXiv 1909.09263.
"""
