"""The numbers of each estimator's covariance, from simulated events (see ptmiss.significance)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import awkward as ak

from ptmiss import candidates as pf_candidates
from ptmiss import significance
from ptmiss.leptons import match
from ptmiss.significance import COLUMNS, Noise, Parts
from ptmiss.truth import generated_met

from .evaluation import evaluate
from .shifts import CandidateSum


def fit_noise(estimators: Iterable[CandidateSum], events: Any, leptons: ak.Array) -> dict[str, Noise]:
    """The numbers of each estimator, for ``--significance`` (see ptmiss.significance.write).

    Args:
        estimators: sums over candidates of the file, such as ``make_estimators("pf,puppi,deepmet")`` gives.
        events: coffea's NanoEvents of simulation, all of whose leptons and jets are seen: Z → μμ with both muons.
        leptons: jagged records with eta, phi (rad) and pdgId: those of the boson.

    Returns:
        The noise by the estimator's name.

    Raises:
        OptionError: there are too few events.
    """
    estimators = list(estimators)
    found = evaluate(estimators, events, leptons).met
    truth = generated_met(events)
    made = {each.name: parts_of(each, events, leptons) for each in estimators}
    return {name: significance.fit(found[name] - truth, parts) for name, parts in made.items()}


def parts_of(estimator: CandidateSum, events: Any, leptons: ak.Array) -> Parts:
    """What the covariance of an estimator's pTmiss is made of in each event; leptons: as in ``fit_noise``."""
    candidates = pf_candidates.read(events, {*estimator.columns, *COLUMNS})
    return estimator.covariance_parts(candidates, match(candidates, leptons)[0])
