"""W → μν: pTmiss and transverse mass of every estimator; on simulation the recoil against the generated boson."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from ptmiss.estimators import evaluate
from ptmiss.histograms import book_met, book_mt, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import recoil, transverse_mass

from . import selections as select
from .base import RecoilProcessor
from .truth import generated_boson


class Wjets(RecoilProcessor):
    """PTmiss, mT and recoil in events with exactly one muon."""

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        cuts = select.single_muon_cuts(events, muons)
        keep = cuts.all()
        weight = select.event_weight(events)
        mets = evaluate(self.estimators, events[keep], muons[keep], self.vertex)
        histograms = book_recoil(self.names) | book_met(self.names) | book_mt(self.names)
        lepton, boson = select.transverse_sum(muons[keep]), generated_boson(events[keep])
        npv, njets = ak.to_numpy(events.PV.npvs)[keep], ak.to_numpy(ak.num(jets))[keep]
        known = np.isfinite(boson[:, 0])
        for name, met in mets.met.items():
            mt = transverse_mass(lepton, met)
            histograms["mt"].fill(systematic="nominal", estimator=name, mt=mt, weight=weight[keep])
            fill_met(histograms, name, met, weight[keep])
            u = recoil(boson[known], met[known])
            fill_recoil(histograms, name, u, npv[known], njets[known], weight[keep][known])
        return {**histograms, "cutflow": select.cutflow(cuts, weight), "notes": dict(mets.notes)}
