"""Calibration of the recoil of simulation to data: derived from recoil tables or runs, exported for correctionlib."""
