"""Estimators of the missing transverse momentum: candidates in, one pTmiss vector per event out.

* ``pf``: minus the sum over all PF candidates
* ``puppi``: minus the sum weighted with the file's PUPPI weights. The PuppiMET that CMS stores has another tune: in ten
  real PFNano events the two are 20 GeV apart in the median
* ``track``: minus the sum over charged candidates of the primary vertex (fromPV of 2 or 3)
* ``stored.<Branch>``: a MET stored in the file, for example ``stored.PuppiMET``, or a variation of it,
  ``stored.PuppiMET_ptJESUp``
* ``type1.PuppiMET``, ``type1.PFMET``: the raw MET of the file with its jets corrected anew (ptmiss.corrections.jets)
* ``deepmet``, ``deepmet_response``, ``deepmet_local``, or any name with a weights file: a DeepMET network
* ``mlpf``, ``mlpf_puppi``, ``mlpf_track``, ``deepmet_mlpf``: the same on candidates that MLPF makes of particle-flow
  elements. In place of ``mlpf``, ``mlpf_electrons`` stands for the candidates of the network for events with material,
  ``targets`` and ``elements`` for those of the truth and of the elements themselves (see
  ptmiss.estimators.reconstruction)

Some files keep the elements of their first events only. In an event with candidates but without elements the estimators
of the last kind give NaN. Such events are counted in the notes and left out of histograms.
"""

from ptmiss.estimators.base import Estimator, Selected
from ptmiss.estimators.elements import OnReconstruction
from ptmiss.estimators.evaluation import (
    MIN_CANDIDATES,
    MetResult,
    count_not_finite,
    evaluate,
    evaluate_in_parts,
    vary_in_parts,
)
from ptmiss.estimators.names import make_estimators, names, vary
from ptmiss.estimators.network import NetworkEstimator
from ptmiss.estimators.stored import STORED, Stored
from ptmiss.estimators.sums import SUMS, WeightedSum, puppi_weight, unit_weight, vertex_track
from ptmiss.estimators.type1 import TYPE1, Type1

__all__ = [
    "MIN_CANDIDATES",
    "STORED",
    "SUMS",
    "TYPE1",
    "Estimator",
    "MetResult",
    "NetworkEstimator",
    "OnReconstruction",
    "Selected",
    "Stored",
    "Type1",
    "WeightedSum",
    "count_not_finite",
    "evaluate",
    "evaluate_in_parts",
    "make_estimators",
    "names",
    "puppi_weight",
    "unit_weight",
    "vary",
    "vary_in_parts",
    "vertex_track",
]
