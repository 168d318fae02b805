"""Robustness: how large a change of an image must be until the prediction changes.

An attack that fails shows little: a better one may succeed. So several are tried on the same
images, their worst case is drawn beside random noise of the same size, and a verdict says what
speaks for an attack that was misled rather than withstood. What a proof shows holds against every
attack, but of the smoothed network. Zhao 2020 (survey); Carlini et al. 2019, "On evaluating
adversarial robustness", arXiv 1902.06705; Athalye et al. 2018, arXiv 1802.00420; Cohen et al. 2019,
arXiv 1902.02918.
"""
