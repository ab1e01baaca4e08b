"""Z → μμ: recoil of every estimator against the two muons."""

from __future__ import annotations

from typing import Any

import awkward as ak

from ptmiss import selections as select
from ptmiss.estimators import evaluate
from ptmiss.histograms import book_calibration, book_met, book_recoil, fill_calibration, fill_met, fill_recoil
from ptmiss.recoil import recoil

from .base import CorrectedProcessor


class Zmumu(CorrectedProcessor):
    """Response and resolution of the recoil in Z → μμ, and what a calibration starts from.

    With corrections all histograms but ``residuals`` and ``met_xy`` are of corrected pTmiss.
    """

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        cuts = select.dimuon_cuts(events, muons, jets, self.selection)
        keep = cuts.all()
        npv, njets = ak.to_numpy(events.PV.npvs), ak.to_numpy(ak.num(jets))
        weight = self.weight(events, npv)
        mets = evaluate(self.estimators, events[keep], muons[keep], self.vertex)
        histograms = book_recoil(self.names) | book_met(self.names) | book_calibration(self.names)
        boson = select.transverse_sum(muons[keep])
        chosen = (npv[keep], njets[keep], weight[keep])
        for name, met in mets.met.items():
            fill_calibration(histograms, name, boson, met, *chosen)
            for systematic, corrected in self.varied(events, name, met, boson, npv[keep], njets[keep]):
                fill_recoil(histograms, name, recoil(boson, corrected), *chosen, systematic)
                fill_met(histograms, name, corrected, weight[keep], systematic)
        return {**histograms, "cutflow": select.cutflow(cuts, weight), "notes": dict(mets.notes)}
