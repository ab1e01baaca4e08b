"""Tables of the public MLPF's data sets: features of tracks and clusters, and targets and candidates beside them.

Names and order of the features are those of jpata/particleflow for CLIC and CLD. A candidate that was made of several
elements is at one of them. These files state the size of the generated pTmiss, boost of the beams included, but not its
direction: it is taken as opposite to the sum of the targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptmiss import jets
from ptmiss.candidates import Candidates
from ptmiss.conversion.contents import (
    MIN_JET_PT,
    MM,
    Contents,
    Places,
    candidates_of,
    cluster_columns,
    elements_of,
    track_columns,
)
from ptmiss.elements import TRACK, Elements, Targets
from ptmiss.errors import FileError
from ptmiss.estimators.reconstruction import CLASS_OF, ELECTRON, NONE, PHOTON
from ptmiss.jets import Jets
from ptmiss.segments import Offsets, from_counts, select, sum_by_event

TRACK_FEATURES = (
    *("elemtype", "pt", "eta", "sin_phi", "cos_phi", "p", "chi2", "ndf", "dEdx", "dEdxError"),
    *("radiusOfInnermostHit", "tanLambda", "D0", "omega", "Z0", "time"),
)
CLUSTER_FEATURES = (
    *("elemtype", "et", "eta", "sin_phi", "cos_phi", "energy", "position.x", "position.y", "position.z", "iTheta"),
    *("energy_ecal", "energy_hcal", "energy_other", "num_hits", "sigma_x", "sigma_y", "sigma_z"),
)
PARTICLE_FEATURES = (
    *("PDG", "charge", "pt", "eta", "sin_phi", "cos_phi", "energy", "ispu", "generatorStatus", "simulatorStatus"),
    *("gp_to_track", "gp_to_cluster", "jet_idx"),
)
"""Features of targets and candidates; newer files have ``particle_number`` after them."""

JET_FEATURES = ("pt", "eta", "phi", "energy")
CODES = (0, 211, 130, 22, 11, 13)
"""PDG codes of targets and candidates, in the order of their numbers in ArrayRecord files."""

OF_TRACK = {"chi2": "chi2", "ndf": "ndf", "dEdx": "dEdx", "dEdxError": "dEdxError", "tanLambda": "tanLambda"}
OF_TRACK |= {"innerRadius": "radiusOfInnermostHit", "omega": "omega", "time": "time"}
SLACK = 1e-3  # relative, of the pT of a jet that is found again
NEAR = 0.05


class Tables(NamedTuple):
    """Some events; target and candidate: beside the elements, tracks of an event before its clusters.

    genmet: (events,) GeV; generated, target_jets: (jets, 4), with their offsets (events + 1,).
    """

    tracks: NDArray[np.float64]
    of_tracks: Offsets
    clusters: NDArray[np.float64]
    of_clusters: Offsets
    target: NDArray[np.float64]
    candidate: NDArray[np.float64]
    genmet: NDArray[np.float64]
    generated: NDArray[np.float64]
    of_generated: Offsets
    target_jets: NDArray[np.float64]
    of_target_jets: Offsets


def contents(tables: Tables, path: str, first: int = 0) -> Contents:
    """The events in this package's columns; first: number of the first one, for errors."""
    elements, _ = elements_of_tables(tables)
    for name, rows in (("targets", tables.target), ("candidates", tables.candidate)):
        check_codes(rows, elements, f"{path}: {name}", first)
    targets = targets_of(tables.target, elements)
    n = len(elements)
    total = sum_by_event(targets.momentum.astype(np.float64), targets.offsets)
    size = np.maximum(np.hypot(*total.T), 1e-9)
    nothing = np.zeros((n, 2))
    return Contents(
        elements,
        targets,
        candidates(tables.candidate, elements),
        jets_of(tables.generated, tables.of_generated),
        -total / size[:, np.newaxis] * tables.genmet[:, np.newaxis],
        balance(tables),
        nothing[:, 0],
        nothing,
    )


def elements_of_tables(tables: Tables) -> tuple[Elements, Places]:
    """Elements, and where tracks and clusters went."""
    t = dict(zip(TRACK_FEATURES, tables.tracks.T, strict=True))
    c = dict(zip(CLUSTER_FEATURES, tables.clusters.T, strict=True))
    phi = np.arctan2(t["sin_phi"], t["cos_phi"])
    tracks = track_columns(t["pt"], t["eta"], phi, np.sign(t["omega"]))
    tracks |= {
        "energy": t["p"],
        "d0": MM * t["D0"],
        "dz": MM * t["Z0"],
        **{ours: t[theirs] for ours, theirs in OF_TRACK.items()},
    }
    position, sigma = tables.clusters[:, 6:9], tables.clusters[:, 14:17]
    ecal, hcal, other = (c[f"energy_{name}"] for name in ("ecal", "hcal", "other"))
    clusters = cluster_columns(c["energy"], position, ecal, hcal, other, sigma)
    clusters |= {"iTheta": c["iTheta"], "nCells": c["num_hits"]}
    return elements_of(tracks, tables.of_tracks, clusters, tables.of_clusters)


def check_codes(rows: NDArray, elements: Elements, what: str, first: int) -> None:
    """Raise FileError for a PDG code that is not one of CODES."""
    odd = ~np.isin(rows[:, 0], CODES)
    if odd.any():
        row = int(np.argmax(odd))
        event = int(np.searchsorted(elements.offsets, row, side="right")) - 1
        known = ", ".join(map(str, CODES))
        raise FileError(f"{what} have PDG code {rows[row, 0]:g} in event {first + event}; known: {known}")


def targets_of(rows: NDArray, elements: Elements) -> Targets:
    """Targets of rows with PARTICLE_FEATURES, beside the elements."""
    y = dict(zip(PARTICLE_FEATURES, rows.T, strict=False))
    kind = np.zeros(max(CLASS_OF) + 1, np.int32)
    kind[list(CLASS_OF)] = list(CLASS_OF.values())
    kinds = np.where(y["PDG"] == 0, NONE, kind[y["PDG"].astype(int)])
    filled, track = kinds != NONE, elements["type"] == TRACK
    charge = np.where(track & (y["charge"] == 0), elements["charge"], y["charge"]) * filled
    em = y["energy"] * np.isin(kinds, (PHOTON, ELECTRON))
    floats = {
        **{name: y[name] * filled for name in ("pt", "eta", "energy")},
        "phi": np.arctan2(y["sin_phi"], y["cos_phi"]) * filled,
        "pileupFraction": y["ispu"],
        "emEnergy": em,
        "hadEnergy": y["energy"] * filled - em,
    }
    integers = {"type": kinds, "charge": np.rint(charge), "nParticles": filled}
    columns = {name: column.astype(np.float32) for name, column in floats.items()}
    return Targets(columns | {name: c.astype(np.int32) for name, c in integers.items()}, elements.offsets)


def momenta(rows: NDArray) -> NDArray[np.float64]:
    """(rows, 4) px, py, pz, E of rows with PARTICLE_FEATURES, GeV."""
    pt, eta, sin, cos, energy = rows.T[2:7].astype(np.float64)
    return np.column_stack([pt * cos, pt * sin, pt * np.sinh(eta), energy])


def candidates(rows: NDArray, elements: Elements) -> Candidates:
    """The candidates of rows beside elements; those with code 0 are none."""
    there = rows[:, 0] != 0
    px, py, pz, energy = momenta(rows[there]).T
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    code, charge = rows[there, 0].astype(int), rows[there, 1]
    lepton = np.isin(code, (11, 13)) & (charge > 0)
    offsets = select(there, elements.offsets)
    return candidates_of(np.stack([px, py, pz], axis=1), mass, np.where(lepton, -code, code), charge, offsets)


def jets_of(rows: NDArray, offsets: Offsets) -> Jets:
    """Jets of rows with JET_FEATURES."""
    pt, eta, phi, energy = rows.T.astype(np.float64)
    mass = np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0.0))
    return Jets(pt, eta, phi, mass, np.diff(offsets))


def balance(tables: Tables) -> NDArray[np.float64]:
    """(events,) energy of the jets of the targets, less that of the jets that the file states of them, GeV.

    A target that is counted twice, or was lost after the jets had been made, shows here.
    """
    there = tables.target[:, 0] != 0
    offsets = select(there, tables.of_tracks + tables.of_clusters)
    found = jets.cluster(momenta(tables.target[there]), offsets, MIN_JET_PT * (1 - SLACK), jets.EE_GENKT)
    stated = jets_of(tables.target_jets, tables.of_target_jets)
    row = jets.match(stated, found, NEAR)
    first = np.repeat(from_counts(found.counts)[:-1], stated.counts)
    energy = np.append(energies(found), 0.0)[np.where(row >= 0, first + row, -1)]
    return sum_by_event(energy - energies(stated), tables.of_target_jets)


def energies(some: Jets) -> NDArray[np.float64]:
    """(jets,) GeV."""
    return np.hypot(some.pt * np.cosh(some.eta), some.mass)
