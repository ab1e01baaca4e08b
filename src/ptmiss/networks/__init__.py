"""Inference in numpy and numba: inputs, weights files, models by name, DeepMET and the linear baseline.

ptmiss.models trains the networks, in torch. The two share weights files and nothing else.
"""
