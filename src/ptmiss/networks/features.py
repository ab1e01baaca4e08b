"""Features of candidates that networks take, and their scale."""

from __future__ import annotations

FEATURES = ("dxy", "dz", "eta", "mass", "pt", "puppiWeight", "px", "py")
NEIGHBOURS = ("cellVertex", "cellPileup", "cellNeutral", "boxVertex", "boxPileup", "boxNeutral")
"""Sums of pT around a candidate, which some networks have beside FEATURES; see ptmiss.networks.neighbours."""
NEAREST = 16
"""Neighbours that attention sees; see ptmiss.networks.pairs."""
PAIRS = ("lnDeltaR", "lnKt", "lnZ", "lnM2", "sameClass", "sameVertex")
"""Features of a candidate and each of these neighbours, which some networks have beside the others."""
HEADS, SIZE, HIDDEN = 4, 4, 8
"""Heads of attention, the width of each, and what its small network makes of the features of a pair."""
WIDTH = HEADS * SIZE
SCALE = 50.0  # GeV: pt, px and py enter the network divided by it
OVERFLOW = 1e6  # scaled momenta beyond it count as zero, as in CMSSW
