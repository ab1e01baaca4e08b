"""A single lepton of a W: pTmiss and mT of every estimator; on simulation the recoil against the generated boson."""

from __future__ import annotations

from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import selections as select
from ptmiss.estimators.propagation import bare
from ptmiss.histograms import book_met, book_mt, book_recoil, book_significance, fill_met, fill_variations
from ptmiss.recoil import recoil, transverse_mass
from ptmiss.systematics import NOMINAL
from ptmiss.truth import generated_boson, generated_rapidity, is_data, visible_boson
from ptmiss.typing import Vector

from .base import CorrectedProcessor, with_weights


class Neutrino(CorrectedProcessor):
    """PTmiss, mT and recoil in events with exactly one lepton.

    The recoil is that against the boson of the hard process, whatever it decays to, with what is seen of it.
    """

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        kept = self.select(events, select.single_lepton_cuts)
        histograms = self.book(book_recoil, book_met, book_mt)
        histograms |= book_significance(kept.mets.covariance)
        good, notes = kept.good, kept.notes
        events, leptons, chosen = kept.events[good], kept.objects[good], kept.weights[good]
        npv, njets = kept.npv[good], kept.njets[good]
        boson = generated_boson(events)
        seen = visible_boson(events, bare(leptons))
        known = np.isfinite(boson[:, 0])
        every = {name: kept.mets.of(name, good) for name in self.names}
        frames = {name: partial(self.frame, leptons, boson, seen, name) for name in self.names}
        rapidity = generated_rapidity(events) if self.of_rapidity else None
        passed = self.passing(kept, every, frames, rapidity)
        for name in self.names:
            own = every[name], frames[name]
            mets_varied = self.variations(events, name, *own, npv, njets, every, rapidity)
            for systematic, corrected, weights in with_weights(mets_varied, chosen, passed):
                mt = transverse_mass(self.leptons(leptons, name, systematic), corrected)
                has = np.isfinite(mt)
                for each, weight in weights.items():
                    histograms["mt"].fill(systematic=each, estimator=name, mt=mt[has], weight=weight[has])
                    fill_met(histograms, name, corrected, weight, each, kept.covariance(name))
                u = recoil(boson[known], corrected[known], frames[name](systematic)[1][known])
                of_known = {each: weight[known] for each, weight in weights.items()}
                fill_variations(histograms, name, u, npv[known], njets[known], of_known)
        notes |= {} if is_data(events) else without_boson(known)
        return {
            **histograms,
            "cutflow": self.cutflow(kept, passed),
            "notes": notes | kept.remarks,
            **kept.mets.sketch(),
        }

    def frame(
        self, leptons: ak.Array, boson: Vector, seen: Vector, estimator: str, systematic: str
    ) -> tuple[Vector, Vector]:
        """(events, 2) generated boson, GeV, and what is seen of it with a systematic of an estimator's lepton."""
        moved = self.leptons(leptons, estimator, systematic) - self.leptons(leptons, estimator, NOMINAL)
        return boson, seen + moved


class Wmunu(Neutrino):
    """A muon and a neutrino."""

    channel = select.WMUNU


class Wenu(Neutrino):
    """An electron and a neutrino."""

    channel, usual = select.WENU, "w-e"


def without_boson(known: NDArray[np.bool_]) -> dict[str, int]:
    """A note on the simulated events that have no boson, (events,): pTmiss and mT, after XY alone, and no recoil."""
    number = int(np.count_nonzero(~known))
    return {"simulated event without a boson of its own: XY alone, and no recoil": number} if number else {}
