"""Any simulated process: pTmiss of every estimator against the generated one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import awkward as ak
import numpy as np
from coffea.analysis_tools import PackedSelection

from ptmiss import selections as select
from ptmiss.errors import OptionError
from ptmiss.histograms import book_met, book_recoil, book_significance, fill_met, fill_variations
from ptmiss.recoil import Recoil, magnitude, project
from ptmiss.truth import generated_met

from .base import RecoilProcessor, with_weights


class Validation(RecoilProcessor):
    """Response, slope and resolution against generated pTmiss.

    In its histograms the generated pTmiss takes the place of the boson: ``qt`` is its size, ``u_par`` and ``u_perp``
    are the components of the estimator's pTmiss along and across it.
    """

    event_branches = ("GenMET_pt", "GenMET_phi")

    def require(self, there: Collection[str], path: str, metadata: Mapping[str, Any]) -> None:
        """Raise OptionError for data, which have no generated pTmiss, ColumnError for branches that are missing."""
        if metadata.get("kind") == "data":
            raise OptionError(f'validation needs generated pTmiss: {path} is of a dataset with "kind": "data"')
        super().require(there, path, metadata)

    def process(self, events: Any) -> dict[str, Any]:
        """Run the estimators on all events of a chunk and fill the histograms."""
        objects = select.boson_objects(events, self.selection)
        jets = select.good_jets(events.Jet, objects, select.of_events(events, self.selection))
        weights = self.event_weights(events, objects)
        mets = self.mets(events, objects)
        histograms = self.book(book_recoil, book_met) | book_significance(mets.covariance)
        truth = generated_met(events)
        npv, njets = select.vertex_count(events, self.selection), ak.to_numpy(ak.num(jets))
        everyone = np.ones(len(events), bool)
        for name in self.names:
            for _, met, varied in with_weights(mets.of(name, everyone).items(), weights):
                along = Recoil(*project(met, truth), magnitude(truth))
                fill_variations(histograms, name, along, npv, njets, varied)
                for systematic, weight in varied.items():
                    fill_met(histograms, name, met, weight, systematic, mets.covariance.get(name))
        return {
            **histograms,
            "cutflow": select.cutflow(PackedSelection(), weights.nominal),
            "notes": {**mets.notes, **weights.notes},
            **mets.sketch(),
        }
