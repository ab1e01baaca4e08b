"""Z → μμ: recoil of every estimator against the two muons."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection
from ptmiss.processors import selections as select
from ptmiss.processors.base import RecoilProcessor

from ptmiss.estimators import evaluate
from ptmiss.histograms import book_met, book_recoil, fill_met, fill_recoil
from ptmiss.recoil import recoil


class Zmumu(RecoilProcessor):
    """Response and resolution of the recoil in Z → μμ."""

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        cuts = self.cuts(events, muons, jets)
        keep = cuts.all()
        weight = select.event_weight(events)
        mets = evaluate(self.estimators, events[keep], muons[keep])
        histograms = book_recoil(self.names) | book_met(self.names)
        boson = select.transverse_sum(muons[keep])
        npv, njets = ak.to_numpy(events.PV.npvs)[keep], ak.to_numpy(ak.num(jets))[keep]
        for name, met in mets.met.items():
            fill_recoil(histograms, name, recoil(boson, met), npv, njets, weight[keep])
            fill_met(histograms, name, met, weight[keep])
        return {**histograms, "cutflow": select.cutflow(cuts, weight), "notes": dict(mets.notes)}

    def cuts(self, events: Any, muons: ak.Array, jets: ak.Array) -> PackedSelection:
        """The selection, cut by cut."""
        low, high = self.selection.mass
        mass = select.invariant_mass(muons)
        cuts = PackedSelection()
        cuts.add("certified", select.certified(events, events.metadata.get("golden_json")))
        cuts.add("triggered", select.triggered(events, events.metadata.get("triggers", ())))
        cuts.add("two muons", select.opposite_pair(muons))
        cuts.add("mass", np.asarray((mass > low) & (mass < high)))
        cuts.add("no b jet", ~select.b_tagged(jets, self.selection))
        return cuts
