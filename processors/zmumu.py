"""Z → μμ: recoil of every estimator against the two muons."""

from __future__ import annotations

from typing import Any

import awkward as ak

from ptmiss.estimators import evaluate
from ptmiss.histograms import book_met, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import recoil

from . import selections as select
from .base import RecoilProcessor


class Zmumu(RecoilProcessor):
    """Response and resolution of the recoil in Z → μμ."""

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        cuts = select.dimuon_cuts(events, muons, jets, self.selection)
        keep = cuts.all()
        weight = select.event_weight(events)
        mets = evaluate(self.estimators, events[keep], muons[keep], self.vertex)
        histograms = book_recoil(self.names) | book_met(self.names)
        boson = select.transverse_sum(muons[keep])
        npv, njets = ak.to_numpy(events.PV.npvs)[keep], ak.to_numpy(ak.num(jets))[keep]
        for name, met in mets.met.items():
            fill_recoil(histograms, name, recoil(boson, met), npv, njets, weight[keep])
            fill_met(histograms, name, met, weight[keep])
        return {**histograms, "cutflow": select.cutflow(cuts, weight), "notes": dict(mets.notes)}
