"""Any simulated process: pTmiss of every estimator against the generated one."""

from __future__ import annotations

from typing import Any

import awkward as ak
from coffea.analysis_tools import PackedSelection

from ptmiss import selections as select
from ptmiss.estimators import evaluate
from ptmiss.events import event_weight
from ptmiss.histograms import book_met, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import Recoil, magnitude, project
from ptmiss.truth import generated_met

from .base import RecoilProcessor


class Validation(RecoilProcessor):
    """Response, slope and resolution against generated pTmiss.

    In its histograms the generated pTmiss takes the place of the boson: ``qt`` is its size, ``u_par`` and ``u_perp`` are
    the components of the estimator's pTmiss along and across it.
    """

    event_branches = ("PV_npvs", "GenMET_pt", "GenMET_phi")

    def process(self, events: Any) -> dict[str, Any]:
        """Run the estimators on all events of a chunk and fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        weight = event_weight(events)
        mets = evaluate(self.estimators, events, muons, self.vertex)
        histograms = book_recoil(self.names) | book_met(self.names)
        truth = generated_met(events)
        npv, njets = ak.to_numpy(events.PV.npvs), ak.to_numpy(ak.num(jets))
        for name, met in mets.met.items():
            along = Recoil(*project(met, truth), magnitude(truth))
            fill_recoil(histograms, name, along, npv, njets, weight)
            fill_met(histograms, name, met, weight)
        return {**histograms, "cutflow": select.cutflow(PackedSelection(), weight), "notes": dict(mets.notes)}
