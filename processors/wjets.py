"""W → μν: pTmiss and transverse mass of every estimator; on simulation the recoil against the generated boson."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from ptmiss import selections as select
from ptmiss.estimators import evaluate
from ptmiss.histograms import book_met, book_mt, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import recoil, transverse_mass
from ptmiss.truth import generated_boson

from .base import CorrectedProcessor


class Wjets(CorrectedProcessor):
    """PTmiss, mT and recoil in events with exactly one muon."""

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        cuts = select.single_muon_cuts(events, muons)
        keep = cuts.all()
        npv, njets = ak.to_numpy(events.PV.npvs), ak.to_numpy(ak.num(jets))
        weight = self.weight(events, npv)
        events, muons, npv, njets = events[keep], muons[keep], npv[keep], njets[keep]
        mets = evaluate(self.estimators, events, muons, self.vertex)
        histograms = book_recoil(self.names) | book_met(self.names) | book_mt(self.names)
        lepton, boson = select.transverse_sum(muons), generated_boson(events)
        chosen, known = weight[keep], np.isfinite(boson[:, 0])
        for name, met in mets.met.items():
            for systematic, corrected in self.varied(events, name, met, boson, npv, njets, lepton):
                mt = transverse_mass(lepton, corrected)
                has = np.isfinite(mt)
                histograms["mt"].fill(systematic=systematic, estimator=name, mt=mt[has], weight=chosen[has])
                fill_met(histograms, name, corrected, chosen, systematic)
                u = recoil(boson[known], corrected[known], lepton[known])
                fill_recoil(histograms, name, u, npv[known], njets[known], chosen[known], systematic)
        return {**histograms, "cutflow": select.cutflow(cuts, weight), "notes": dict(mets.notes)}
