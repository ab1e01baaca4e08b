"""The open simulation: Pythia 8, pile-up, a parametrised CMS-like detector, particle flow and truth in NanoAOD style.

CMS-like, never CMS. :func:`simulate` makes a file; ``PROCESSES`` says of what; ``ptmiss.simulation.schema`` what is in
it; :mod:`ptmiss.simulation.parameters` what can be set; :mod:`ptmiss.reports.simulation_report` how well it does. Only
generation needs the extra ``simulation``, and only when it runs.

With ``--set material=1`` electrons radiate and photons convert in the tracker; without, as in all samples that come
with the package, they do not. Not in it: nuclear interactions, out-of-time pile-up, jet energy corrections. The vertex
finder starts from the true collisions and is optimistic; leptons are identified by truth times efficiency, with
a few hadrons that fake them.
"""

from ptmiss.simulation.generator import PROCESSES
from ptmiss.simulation.parameters import DATA, Beam, Detector, Profile, profile
from ptmiss.simulation.production import Production, pileup_library, simulate
from ptmiss.simulation.schema import SCHEMA, describe

__all__ = [
    "DATA",
    "PROCESSES",
    "SCHEMA",
    "Beam",
    "Detector",
    "Production",
    "Profile",
    "describe",
    "pileup_library",
    "profile",
    "simulate",
]
