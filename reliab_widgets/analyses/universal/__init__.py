"""Universal: one pattern that, added to any image, changes what the network answers.

``R_f``, the fooling rate, is the share of images answered otherwise with the pattern than without;
``R_s`` the share answered by the target. Both are of images that the pattern was not made from,
beside random noise of the same norm and the same pixels at other places. Moosavi-Dezfooli et al.
2017, arXiv 1610.08401; Minagi et al. 2022, J. Imaging 8(2), 38: from natural images, against
networks that learnt something else from them.
"""
