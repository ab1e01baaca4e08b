"""What runs networks, in numpy and numba: inputs, weights files, models by name, DeepMET and the linear baseline.

ptmiss.models is what trains them, in torch; a weights file is all that the two share.
"""
