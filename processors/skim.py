"""Every event of a file as a row of the recoil table: what the estimators say, and what a recoil needs beside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import selections as select
from ptmiss.estimators import MetResult
from ptmiss.estimators.propagation import bare, change, systematics
from ptmiss.recoil import cartesian, rapidity, transverse_sum
from ptmiss.systematics import NOMINAL
from ptmiss.table import of_significance, polar, rows
from ptmiss.table.columns import CORRECTED
from ptmiss.truth import generated_boson, generated_met, generated_rapidity, has_truth, visible_boson
from ptmiss.typing import Vector

from .base import CorrectedProcessor


class Skim(CorrectedProcessor):
    """No event is dropped: one without a selected boson or single lepton has NaN for boson and lepton.

    With corrections there are columns of corrected pTmiss beside those of pTmiss as it comes.
    """

    event_branches = ("run", "luminosityBlock", "event")

    def process(self, events: Any) -> dict[str, Any]:
        """Rows of a chunk, as ``rows`` of a pyarrow table, ``notes``, and ``sketches`` of networks."""
        objects = select.boson_objects(events, self.selection)
        jets = select.good_jets(events.Jet, objects, select.of_events(events, self.selection))
        mets = self.mets(events, objects)
        weights = self.event_weights(events, objects)
        columns = {
            **{name: ak.to_numpy(events[name]) for name in ("run", "luminosityBlock", "event")},
            "weight": weights.nominal,
            **{f"weight_{name}": weight for name, weight in weights.varied.items()},
            "npv": select.vertex_count(events, self.selection),
            "njets": ak.to_numpy(ak.num(jets)),
            **self.boson_and_lepton(events, objects, jets),
        }
        for name, met in mets.met.items():
            columns |= polar(f"met_{name}", met)
        for name, mets_by_systematic in mets.varied.items():
            for systematic, met in mets_by_systematic.items():
                columns |= polar(f"met_{name}", met, f"_{systematic}")
        for name, covariance in mets.covariance.items():
            columns |= of_significance(f"met_{name}", mets.significance(name), covariance)
        for name, ending, met in self.corrected(events, objects, mets, columns):
            columns |= polar(f"met_{name}", met, ending)
        columns |= self.passing_met(columns, mets)
        if has_truth(events):
            columns |= polar("genmet", generated_met(events)) | polar("genboson", generated_boson(events))
            columns |= polar("genseen", visible_boson(events, bare(objects)))
        return {
            "rows": rows(columns),
            "notes": {**mets.notes, **weights.notes, **select.remarks(events, self.selection)},
            **mets.sketch(),
        }

    def passing_met(self, columns: dict[str, NDArray], mets: MetResult) -> dict[str, NDArray]:
        """Columns of boson and lepton, NaN where nominal pTmiss does not pass; nothing if no cut is asked."""
        if (cut := self.selection.met) is None or cut.estimator not in mets.met:
            return {}
        ending = CORRECTED if self.corrections else ""
        met = cartesian(*(columns[f"met_{cut.estimator}_{part}{ending}"] for part in ("pt", "phi")))
        passed = select.passes(met, mets.covariance.get(cut.estimator), cut)
        of_objects = (name for name in columns if name.startswith(("boson_", "lepton_")))
        return {name: np.where(passed, columns[name], np.nan) for name in of_objects}

    def corrected(
        self, events: Any, objects: ak.Array, mets: MetResult, columns: dict[str, NDArray]
    ) -> Iterator[tuple[str, str, Vector]]:
        """Estimator, ending of its columns and (events, 2) corrected pTmiss, GeV; nothing without corrections.

        The boson of signal is the selected one; with a single lepton that of the generator, and what is seen of it.
        """
        if self.corrections is None:
            return
        boson = seen = cartesian(columns["boson_pt"], columns["boson_phi"])
        single = np.zeros((len(events), 1), bool)
        if has_truth(events):
            single = np.isfinite(columns["lepton_pt"])[:, np.newaxis] & np.isnan(boson)
            boson = np.where(single, generated_boson(events), boson)
            seen = np.where(single, visible_boson(events, bare(objects)), seen)
        everywhere = np.ones(len(events), bool)
        every = {name: mets.of(name, everywhere) for name in self.names}
        where = columns["npv"], columns["njets"], every, self.rapidity(events, columns, single)
        for name in self.names:
            frame = partial(self.frame, objects, boson, seen, single, name)
            for systematic, met in self.variations(events, name, every[name], frame, *where):
                yield name, CORRECTED + ("" if systematic == NOMINAL else f"_{systematic}"), met

    def rapidity(self, events: Any, columns: dict[str, NDArray], single: NDArray[np.bool_]) -> NDArray | None:
        """(events,) rapidity of the boson, of the generated one with a single lepton; None if no map depends on it."""
        if not self.of_rapidity:
            return None
        return np.where(single[:, 0], generated_rapidity(events), columns["boson_rapidity"])

    def frame(
        self,
        objects: ak.Array,
        boson: Vector,
        seen: Vector,
        single: NDArray[np.bool_],
        estimator: str,
        systematic: str,
    ) -> tuple[Vector, Vector]:
        """(events, 2) boson with a systematic of an estimator, GeV, and what is seen of it.

        single: (events, 1) those whose boson is generated, which does not move.
        """
        moved = self.leptons(objects, estimator, systematic) - self.leptons(objects, estimator, NOMINAL)
        return np.where(single, boson, boson + moved), seen + moved

    def boson_and_lepton(self, events: Any, objects: ak.Array, jets: ak.Array) -> dict[str, NDArray]:
        """Columns of the lepton pair or photon, and of the single lepton; NaN for events outside the selection of each.

        The mass window is left to whoever reads the table.
        """
        total, mass = transverse_sum(objects), select.invariant_mass(objects)
        whole, single = np.zeros((2, len(events)), bool)
        if self.has(select.ZMUMU, select.ZEE, select.GAMMAJET):
            cuts = select.boson_cuts(events, objects, jets, self.selection)
            whole = cuts.all(*(name for name in cuts.names if name != select.MASS))
        if self.has(select.WMUNU, select.WENU):
            single = select.single_lepton_cuts(events, objects, jets, self.selection).all()
        sums = {"boson": np.where(whole[:, np.newaxis], total, np.nan)}
        sums["lepton"] = np.where(single[:, np.newaxis], total, np.nan)
        columns = polar("boson", sums["boson"]) | {"boson_mass": np.where(whole, mass, np.nan)}
        columns["boson_rapidity"] = np.where(whole, rapidity(objects), np.nan)
        columns |= polar("lepton", sums["lepton"])
        for name in systematics(objects):
            for what, nominal in sums.items():
                columns |= polar(what, nominal + change(objects, name), f"_{name}")
        return columns

    def has(self, *channels: str) -> bool:
        """Whether the selection has any of these channels."""
        return not set(channels).isdisjoint(self.selection.channels)
