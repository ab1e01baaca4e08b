"""Features of candidates that networks take, and their scale."""

from __future__ import annotations

FEATURES = ("dxy", "dz", "eta", "mass", "pt", "puppiWeight", "px", "py")
NEIGHBOURS = ("cellVertex", "cellPileup", "cellNeutral", "boxVertex", "boxPileup", "boxNeutral")
"""Sums of pT around a candidate, which some networks have beside FEATURES; see ptmiss.networks.neighbours."""
SCALE = 50.0  # GeV: pt, px and py enter the network divided by it
OVERFLOW = 1e6  # scaled momenta beyond it count as zero, as in CMSSW
