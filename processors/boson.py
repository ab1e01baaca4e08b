"""A boson that is seen whole, Z → μμ, Z → ee or a photon: recoil of every estimator against it."""

from __future__ import annotations

from functools import partial
from typing import Any

import awkward as ak

from ptmiss import selections as select
from ptmiss.histograms import (
    book_calibration,
    book_met,
    book_recoil,
    book_significance,
    fill_met,
    fill_met_xy,
    fill_residuals,
    fill_variations,
)
from ptmiss.recoil import rapidity, recoil, transverse_sum
from ptmiss.typing import Vector

from .base import CorrectedProcessor, with_weights


class Boson(CorrectedProcessor):
    """Response and resolution of the recoil against a lepton pair or a photon, and what a calibration starts from.

    With corrections the histograms are of corrected pTmiss, but for ``residuals``, which are after XY and never mapped,
    and ``met_xy``, which is of pTmiss as it comes.
    """

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        kept = self.select(events, select.boson_cuts)
        histograms = self.book(book_recoil, book_met, book_calibration)
        histograms |= book_significance(kept.mets.covariance)
        boson, good = transverse_sum(kept.objects), kept.good
        where = kept.npv[good], kept.njets[good]
        every = {name: kept.mets.of(name, good) for name in self.names}
        frames = {name: partial(self.frame, kept.objects[good], name) for name in self.names}
        of_boson = rapidity(kept.objects[good]) if self.of_rapidity else None
        passed = self.passing(kept, every, frames, of_boson)
        for name, met in kept.mets.met.items():
            fill_met_xy(histograms, name, met, kept.npv, kept.weights.nominal)
            u = recoil(boson, self.centred(kept.events, name, met, kept.npv))
            fill_residuals(histograms, name, u, kept.njets, kept.weights.nominal)
            mets = self.variations(kept.events, name, every[name], frames[name], *where, every, of_boson)
            for systematic, corrected, weights in with_weights(mets, kept.weights[good], passed):
                fill_variations(histograms, name, recoil(frames[name](systematic)[0], corrected), *where, weights)
                for each, weight in weights.items():
                    fill_met(histograms, name, corrected, weight, each, kept.covariance(name))
        return {
            **histograms,
            "cutflow": self.cutflow(kept, passed),
            "notes": kept.notes | kept.remarks,
            **kept.mets.sketch(),
        }

    def frame(self, objects: ak.Array, estimator: str, systematic: str) -> tuple[Vector, Vector]:
        """(events, 2) boson with a systematic of an estimator, GeV, and what is seen of it: all."""
        boson = self.leptons(objects, estimator, systematic)
        return boson, boson


class Zmumu(Boson):
    """Z → μμ."""

    channel = select.ZMUMU


class Zee(Boson):
    """Z → ee."""

    channel, usual = select.ZEE, "z-ee"


class GammaJet(Boson):
    """Photon and jets."""

    channel, usual = select.GAMMAJET, "gamma-jet"
