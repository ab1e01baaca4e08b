"""Corrections out of files of correctionlib: a calibration of this package, those of others, any file by names.

* ``recoil``: pTmiss corrected by a file of ``ptmiss calibrate``; ``published``: by recoil corrections of others
* ``jets``: energy scale and resolution of jets by era, with their uncertainties
* ``lookups``: any correction by name, its inputs, the values of its categories, what is outside of its binning
"""

from .recoil import AXES, CONTENT, PILEUP, RAPIDITY, SAMPLES, SCHEMA, Corrections, content_digest, load

__all__ = ["AXES", "CONTENT", "PILEUP", "RAPIDITY", "SAMPLES", "SCHEMA", "Corrections", "content_digest", "load"]
