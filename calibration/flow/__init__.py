"""One flow for the recoil of several estimators at once: from samples to a correction, its errors, and its closure.

ptmiss.models.recoilflow trains the flow itself.
"""
