"""Reliability: whether the confidences keep their promise.

Among all images that a classifier is "90 % sure" of, nine in ten should be right. The reliability
diagram compares the two, confidence bin by confidence bin; the expected calibration error is the
mean distance between them, weighted by the number of images,
``ECE = sum_b (n_b / N) |accuracy_b - confidence_b|``. Guo et al. 2017, "On calibration of modern
neural networks"; calibration by bin-wise temperatures: Ji et al. 2019, arXiv 1908.11528.
"""
