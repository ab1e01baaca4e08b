"""How good a particle flow is: MLPF beside the rule-based PF, the elements as they are, and the ideal targets.

``study`` runs over event files and keeps what the tables need; ``particles``, ``jets`` and ``met`` each measure one
thing on a chunk of events and make one kind of table of all; ``oracle`` has what perfect association would give;
``ptmiss.bootstrap`` gives the errors; ``figures`` and ``displays`` draw; ``report`` writes. Needs files with elements,
targets and generated jets: those of ``ptmiss simulate --elements -1``.
"""

from ptmiss.evaluation.report import evaluate, show
from ptmiss.evaluation.study import Study, study

__all__ = ["Study", "evaluate", "show", "study"]
