"""The verbs of the command line as functions with the same words, for notebooks and scripts.

Paths may be strings. Estimators may be names or objects, an estimator of your own among them. What a verb writes is
written whole or not at all, and says how it was made.

* ``events``: simulate, skim, run; ``measurements``: resolution, compare, report
* ``fits``: calibrate, convert, templates
* ``networks``: explain, profile
* ``inputs``: what a verb takes for files and estimators
"""

from .events import run, simulate, skim
from .fits import calibrate, convert, templates
from .inputs import Estimators, Files, estimators_of, fileset_of
from .measurements import Resolution, compare, references, report, resolution
from .networks import explain, profile

__all__ = [
    "Estimators",
    "Files",
    "Resolution",
    "calibrate",
    "compare",
    "convert",
    "estimators_of",
    "explain",
    "fileset_of",
    "profile",
    "references",
    "report",
    "resolution",
    "run",
    "simulate",
    "skim",
    "templates",
]
