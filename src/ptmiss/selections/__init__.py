"""What makes an event: leptons or a photon, jets, triggers, certified data. Every choice is a key of a Selection.

* ``schema``: the selection and its keys; ``presets``: selections by name, and of files
* ``objects``: the leptons, photons and jets that it takes
* ``quality``: triggers of primary datasets, ``filters`` of noise by year, certified luminosity ``sections``;
  ``jet_quality``: identification and veto maps of jets
* ``cuts``: the cuts of each final state in their order, and the cut flow
* ``weights``: the weight of a simulated event and its variations; ``momenta``: scale and resolution of the leptons
"""

from __future__ import annotations

from .cuts import MASS, boson_cuts, cutflow, passes, single_lepton_cuts, with_met
from .objects import (
    b_tagged,
    boson_objects,
    branches,
    good_jets,
    good_leptons,
    good_photons,
    invariant_mass,
    opposite_pair,
    vertex_count,
)
from .presets import PRESETS, load_selection, of_channel, selection_of
from .quality import judge, own_events, remarks, triggered
from .schema import GAMMAJET, WENU, WMUNU, ZEE, ZMUMU, Selection, of_events

__all__ = [
    "GAMMAJET",
    "MASS",
    "PRESETS",
    "WENU",
    "WMUNU",
    "ZEE",
    "ZMUMU",
    "Selection",
    "b_tagged",
    "boson_cuts",
    "boson_objects",
    "branches",
    "cutflow",
    "good_jets",
    "good_leptons",
    "good_photons",
    "invariant_mass",
    "judge",
    "load_selection",
    "of_channel",
    "of_events",
    "opposite_pair",
    "own_events",
    "passes",
    "remarks",
    "selection_of",
    "single_lepton_cuts",
    "triggered",
    "vertex_count",
    "with_met",
]
