"""A boson that is seen whole, Z → μμ, Z → ee or a photon: recoil of every estimator against it."""

from __future__ import annotations

from typing import Any

from ptmiss import selections as select
from ptmiss.histograms import (
    book_calibration,
    book_met,
    book_recoil,
    book_significance,
    fill_met,
    fill_met_xy,
    fill_recoil,
    fill_residuals,
)
from ptmiss.recoil import recoil, transverse_sum

from .base import CorrectedProcessor, with_weights


class Boson(CorrectedProcessor):
    """Response and resolution of the recoil against a lepton pair or a photon, and what a calibration starts from.

    With corrections the histograms are of corrected pTmiss, but for ``residuals``, which are after XY and never mapped,
    and ``met_xy``, which is of pTmiss as it comes.
    """

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of a chunk, run the estimators, fill the histograms."""
        kept = self.select(events, select.boson_cuts)
        histograms = book_recoil(self.names) | book_met(self.names) | book_calibration(self.names)
        histograms |= book_significance(kept.mets.covariance)
        boson, good = transverse_sum(kept.objects), kept.good
        where = kept.npv[good], kept.njets[good]
        for name, met in kept.mets.met.items():
            fill_met_xy(histograms, name, met, kept.npv, kept.weights.nominal)
            u = recoil(boson, self.centred(kept.events, name, met, kept.npv))
            fill_residuals(histograms, name, u, kept.njets, kept.weights.nominal)
            mets = self.varied(kept.events, name, kept.mets.of(name, good), boson[good], *where)
            for systematic, corrected, weight in with_weights(mets, kept.weights[good]):
                shifted = self.leptons(kept.objects[good], name, systematic)
                fill_recoil(histograms, name, recoil(shifted, corrected), *where, weight, systematic)
                fill_met(histograms, name, corrected, weight, systematic, kept.covariance(name))
        return {**histograms, "cutflow": kept.cutflow, "notes": kept.notes | kept.remarks, **kept.mets.sketched()}


class Zmumu(Boson):
    """Z → μμ."""

    channel = select.ZMUMU


class Zee(Boson):
    """Z → ee."""

    channel, usual = select.ZEE, "z-ee"


class GammaJet(Boson):
    """Photon and jets."""

    channel, usual = select.GAMMAJET, "gamma-jet"
