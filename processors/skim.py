"""Every event of a file as a row of the recoil table: what the estimators say, and what a recoil needs beside it."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import selections as select
from ptmiss.estimators import evaluate
from ptmiss.events import event_weight
from ptmiss.table import polar, rows
from ptmiss.truth import generated_boson, generated_met, has_truth

from .base import RecoilProcessor

PAIR = ("certified", "triggered", "two muons", "no b jet")


class Skim(RecoilProcessor):
    """No event is dropped: one without a selected muon pair or single muon has NaN for boson and lepton."""

    event_branches = ("run", "luminosityBlock", "event", "PV_npvs")

    def process(self, events: Any) -> dict[str, Any]:
        """Rows of a chunk, as ``rows`` of a pyarrow table, and ``notes``."""
        muons = select.good_muons(events.Muon, self.selection)
        jets = select.good_jets(events.Jet, muons, self.selection)
        mets = evaluate(self.estimators, events, muons, self.vertex)
        columns = {
            **{name: ak.to_numpy(events[name]) for name in ("run", "luminosityBlock", "event")},
            "weight": event_weight(events),
            "npv": ak.to_numpy(events.PV.npvs),
            "njets": ak.to_numpy(ak.num(jets)),
            **self.boson_and_lepton(events, muons, jets),
        }
        for name, met in mets.met.items():
            columns |= polar(f"met_{name}", met)
        if has_truth(events):
            columns |= polar("genmet", generated_met(events)) | polar("genboson", generated_boson(events))
        return {"rows": rows(columns), "notes": dict(mets.notes)}

    def boson_and_lepton(self, events: Any, muons: ak.Array, jets: ak.Array) -> dict[str, NDArray]:
        """Columns of the muon pair and of the single muon; NaN for events outside the selection of either.

        The mass window is left to whoever reads the table.
        """
        total, mass = select.transverse_sum(muons), select.invariant_mass(muons)
        pair = select.dimuon_cuts(events, muons, jets, self.selection).all(*PAIR)
        single = select.single_muon_cuts(events, muons).all()
        return {
            **polar("boson", np.where(pair[:, np.newaxis], total, np.nan)),
            "boson_mass": np.where(pair, mass, np.nan),
            **polar("lepton", np.where(single[:, np.newaxis], total, np.nan)),
        }
