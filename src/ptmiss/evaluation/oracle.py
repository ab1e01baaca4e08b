"""What perfect association would give with the real calorimeter, and what each type of element costs.

The oracle knows which particle left each deposit, and no more: tracks of true particles as they were measured, and of a
deposit the share that particles without a track left, multiplied by the constant of its class. So it has the detector's
resolution, which ideal targets do not, and no network can be expected to pass it. With material in the tracker one can:
tracks of electrons are then measured too soft, and superclusters know better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ptmiss import bootstrap
from ptmiss.bootstrap import Draws
from ptmiss.elements import ECAL, HCAL, HF_EM, HF_HAD, TRACK, TRACKLESS, TYPES, Elements, Prediction, Targets
from ptmiss.evaluation.met import measures
from ptmiss.recoil import cartesian
from ptmiss.segments import event_of, sum_by_event
from ptmiss.typing import Vector

DEPOSITS = (ECAL, HCAL, HF_EM, HF_HAD)
OUTER = {ECAL: 1.5, HCAL: 1.5, HF_EM: 4.0, HF_HAD: 4.0}
"""|eta| that divides each type into an inner and an outer region."""
PT_EDGES = (1.0, 3.0, 10.0)  # GeV
SHAPE = (len(DEPOSITS), len(PT_EDGES) + 1, 2, 2)  # type, pT, region, photons and electrons or not
CLASSES = int(np.prod(SHAPE))
FOLDS = 5
PRIOR = (20.0 / 0.3) ** 2
"""GeV²: an event's pTmiss is 20 GeV off, and a constant is 1 within 0.3 before anything is known of its class."""


GROUPS = {
    **{name: (one,) for one, name in TYPES.items()},
    "ECAL and HCAL": (ECAL, HCAL),
    "HF": (HF_EM, HF_HAD),
}
"""Elements for which the truth is put in. A particle that two calorimeters see is the target of one of them, and a
network may share it: the truth in one of the two counts a part of it twice, or never."""


class Deposits(NamedTuple):
    """Sums over events, GeV: tracks (events, 2), each class's deposits (events, CLASSES, 2), what these stand for."""

    tracks: Vector
    classes: NDArray[np.float64]
    truth: Vector


def deposits(elements: Elements, targets: Targets) -> Deposits | None:
    """The sums of these events; None if the file does not have the trackless share of deposits."""
    if TRACKLESS not in targets.columns:
        return None
    kind, track = classes(elements, targets), elements["type"] == TRACK
    momentum = elements.momentum * np.where(track, targets["type"] > 0, targets[TRACKLESS])[:, np.newaxis]
    event = event_of(elements.offsets)
    cell, cells = (event * CLASSES + kind)[~track], len(elements) * CLASSES
    sums = [np.bincount(cell, momentum[~track, axis], cells).reshape(-1, CLASSES) for axis in (0, 1)]
    return Deposits(
        sum_by_event(momentum * track[:, np.newaxis], elements.offsets),
        np.stack(sums, axis=-1),
        sum_by_event(targets.momentum * ~track[:, np.newaxis], elements.offsets),
    )


def classes(elements: Elements, targets: Targets) -> NDArray[np.int64]:
    """(elements,) class of each deposit: type, pT, region, and whether photons and electrons prevail; 0 for tracks."""
    where = np.zeros(max(TYPES) + 1, np.int64)
    outer = np.full(max(TYPES) + 1, np.inf)
    where[list(DEPOSITS)] = np.arange(len(DEPOSITS))
    outer[list(OUTER)] = list(OUTER.values())
    axes = (
        where[elements["type"]],
        np.digitize(elements["pt"], PT_EDGES),
        (np.abs(elements["eta"]) > outer[elements["type"]]).astype(np.int64),
        (targets["emEnergy"] > targets["hadEnergy"]).astype(np.int64),
    )
    return np.ravel_multi_index(axes, SHAPE)


def met(found: Deposits) -> Vector:
    """(events, 2) pTmiss of the oracle, GeV. The constants of an event's fold are fitted to the other folds."""
    fold, out = np.arange(len(found.tracks)) % FOLDS, -np.asarray(found.tracks, np.float64)
    for one in range(FOLDS):
        here = fold == one
        out[here] -= np.einsum("ekc,k->ec", found.classes[here], constants(found.classes[~here], found.truth[~here]))
    return out.astype(np.float32)


def constants(sums: NDArray[np.float64], truth: Vector) -> NDArray[np.float64]:
    """(CLASSES,) constants with which the classes' sums (events, CLASSES, 2) are closest to the truth (events, 2)."""
    matrix = np.concatenate([sums[..., 0], sums[..., 1]])
    missing = np.concatenate([truth[:, 0], truth[:, 1]]) - matrix.sum(axis=1)
    normal = matrix.T @ matrix + PRIOR * np.eye(CLASSES)
    return 1 + np.asarray(np.linalg.solve(normal, matrix.T @ missing))


def by_type(elements: Elements, found: Prediction, least: float) -> NDArray[np.float64]:
    """(events, types, 2) what each of TYPES adds to pTmiss, GeV; least: GeV, rows with a smaller pT are left out."""
    vector = -cartesian(np.where(np.asarray(found.pt) > least, found.pt, 0), found.phi)
    parts = [sum_by_event(vector * (elements["type"] == one)[:, np.newaxis], elements.offsets) for one in TYPES]
    return np.stack(parts, axis=1)


def table(parts: Mapping[str, NDArray], ideal: str, generated: Vector, drawn: Draws) -> pd.DataFrame:
    """pTmiss of each reconstruction with the truth put in for one of GROUPS, and how wrong this group alone is.

    parts: by reconstruction, see :func:`by_type`, the truth's by the name ``ideal``. rms, half_width: GeV, of pTmiss
    minus the generated one (events, 2) with the truth in the group; half_width_vs_whole: ratio to that without it,
    paired; alone: GeV, half width of the group's sum about its truth.
    """
    rows = []
    for name in (one for one in parts if one != ideal):
        whole = parts[name].sum(axis=1)
        before = measures(whole, generated, drawn)["half_width"]
        for what, types in GROUPS.items():
            change = (parts[ideal] - parts[name])[:, np.isin(list(TYPES), types)].sum(axis=1)
            mended = measures(whole + change, generated, drawn)
            row = {"estimator": name, "element": what, "events": len(generated)}
            for key in ("rms", "half_width"):
                row |= bootstrap.with_error(key, mended[key])
            row |= bootstrap.with_error("half_width_vs_whole", mended["half_width"] / before)
            alone = measures(change, np.zeros_like(generated), drawn)["half_width"]
            rows.append(row | bootstrap.with_error("alone", alone))
    return bootstrap.frame(rows)
