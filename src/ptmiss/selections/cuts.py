"""The cuts of each final state in their order, and how many events each leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.recoil import magnitude
from ptmiss.significance import significance
from ptmiss.typing import Array, Mask, Vector

from .objects import b_tagged, invariant_mass, opposite_pair, others
from .quality import judge
from .schema import MetCut, Selection, of_events

if TYPE_CHECKING:
    from coffea.analysis_tools import PackedSelection

MASS = "mass"


def boson_cuts(events: Any, objects: ak.Array, jets: ak.Array, selection: Selection) -> PackedSelection:
    """The selection of a boson that is seen whole, cut by cut: a lepton pair, or a photon.

    objects: see ``boson_objects``.
    """
    cuts = _data_quality(events, selection)
    if selection.photon:
        cuts.add("one photon", ak.to_numpy(ak.num(objects) == 1))
    else:
        cuts.add(f"two {selection.leptons.flavour}s", opposite_pair(objects))
    _add_vetoes(cuts, events, objects, jets, selection, ("boson", "all"))
    if not selection.photon:
        (low, high), mass = selection.mass, invariant_mass(objects)
        cuts.add(MASS, (mass > low) & (mass < high))
    return cuts


def single_lepton_cuts(events: Any, leptons: ak.Array, jets: ak.Array, selection: Selection) -> PackedSelection:
    """The selection of a W, cut by cut: a single lepton."""
    cuts = _data_quality(events, selection)
    cuts.add(f"one {selection.leptons.flavour}", ak.to_numpy(ak.num(leptons) == 1))
    _add_vetoes(cuts, events, leptons, jets, selection, ("all",))
    return cuts


def _add_vetoes(
    cuts: PackedSelection,
    events: Any,
    objects: ak.Array,
    jets: ak.Array,
    selection: Selection,
    of_b_jets: tuple[str, ...],
) -> None:
    if selection.vetoes.muons or selection.vetoes.electrons:
        cuts.add("no other lepton", ~others(events, objects, selection))
    if selection.btag.veto in of_b_jets:
        cuts.add("no b jet", ~b_tagged(jets, of_events(events, selection)))


def _data_quality(events: Any, selection: Selection) -> PackedSelection:
    from coffea.analysis_tools import PackedSelection  # compiles for seconds when it is imported

    cuts = PackedSelection()
    cuts.add_multiple(judge(events, selection))
    return cuts


def cutflow(cuts: PackedSelection, weight: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Events and sums of weights left after each cut, in order, and of all other cuts (n-1); ``all`` first."""
    passed = {"all": np.ones(len(weight), bool)}
    for number, name in enumerate(cuts.names, start=1):
        passed[name] = cuts.all(*cuts.names[:number])
    others = {"all": passed[cuts.names[-1]] if cuts.names else passed["all"]}
    others |= {name: cuts.all(*(other for other in cuts.names if other != name)) for name in cuts.names}
    return _counts(passed, weight) | {f"n-1 {what}": counts for what, counts in _counts(others, weight).items()}


def passes(met: Vector, covariance: Array | None, cut: MetCut) -> Mask:
    """(events,) those that pass a cut on pTmiss, (events, 2) GeV; covariance: (events, 2, 2) GeV², for significance."""
    pt = magnitude(met)
    passed = (pt > cut.pt) & (pt < np.inf if cut.pt_maximum is None else pt < cut.pt_maximum)
    if cut.of_significance and covariance is not None:
        size = significance(met, covariance)
        low, high = cut.significance or -np.inf, cut.significance_maximum or np.inf
        passed &= (size > low) & (size < high)
    return np.asarray(passed)


def with_met(
    flow: dict[str, dict[str, float]], cut: MetCut, passed: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """A cut flow with the cut on pTmiss as its last; passed: weights of the events that pass.

    The numbers of all other cuts (n-1) are before it: pTmiss is known of selected events alone.
    """
    name = f"pTmiss of {cut.estimator}"
    last = _counts({name: np.ones(len(passed), bool)}, passed)
    before = {f"n-1 {what}": {name: list(flow[what].values())[-1]} for what in last}
    return {what: counts | (last | before)[what] for what, counts in flow.items()}


def _counts(masks: Mapping[str, NDArray[np.bool_]], weight: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    return {
        "events": {name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        "sum of weights": {name: float(weight[mask].sum()) for name, mask in masks.items()},
        "sum of squared weights": {name: float((weight[mask] ** 2).sum()) for name, mask in masks.items()},
    }
