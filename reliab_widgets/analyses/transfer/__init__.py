"""Transfer: whether an attack that was made on one network works on others.

For each pair of a source and a victim, the share of the images that the victim gets right and then
gets wrong, beside random noise of the same size. What is made on the victim itself (white-box) is
the measure of the attack: one that is weak at home is not untransferable. Szegedy et al. 2014,
arXiv 1312.6199; Dong et al. 2018, arXiv 1710.06081 (ensembles, momentum); Li et al. 2020, arXiv
1812.03413 (ghosts).
"""
