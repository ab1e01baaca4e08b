"""The way back: event files with elements in the formats of the public MLPF, for tests, tutorials and its own code.

Files of ``ptmiss simulate --elements`` have no shapes and no positions of clusters in three dimensions: a cluster is
put where its direction meets a calorimeter's face, and what is not there is 0. Halves of HF towers become clusters, and
candidates go to the nearest element of their charge; one for which none is left is summed into the nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ptmiss import candidates as pf_candidates
from ptmiss import jets
from ptmiss.angles import wrap
from ptmiss.candidates import Candidates
from ptmiss.conversion.contents import MIN_JET_PT, MM, PER_TESLA
from ptmiss.conversion.tables import CLUSTER_FEATURES, OF_TRACK, PARTICLE_FEATURES, TRACK_FEATURES, Tables, momenta
from ptmiss.elements import ECAL, HCAL, HF_EM, TRACK, Elements, Targets
from ptmiss.estimators.reconstruction import HF_PHOTON, codes, of_targets
from ptmiss.events import EventFile
from ptmiss.jets import Jets
from ptmiss.segments import Offsets, event_of, from_counts, select

FIELD = 3.8  # tesla, of this package's simulation
FACE = (1290.0, 3170.0)  # mm, radius and half length of its calorimeter
CHUNK = 500  # events
LEAST_PT = 1e-3  # GeV
OF_HF = (1, 2)  # codes of hadrons and photons in HF


def tables(file: EventFile, limit: int | None = None) -> Iterator[Tables]:
    """The events of a file with elements, targets and candidates, some at a time."""
    return (of_events(events) for events in file.chunks(CHUNK, limit))


def of_events(events: Any) -> Tables:
    """NanoEvents as tables; those without elements are left out."""
    events = events[ak.to_numpy(ak.num(events.PFElement.pt)) > 0]
    elements, targets = Elements.of_events(events), Targets.of_events(events)
    made = pf_candidates.read(events, ("pt", "eta", "phi", "mass", "charge", "pdgId"))
    track = elements["type"] == TRACK
    order = np.lexsort((~track, event_of(elements.offsets)))
    target, offsets = target_rows(elements, targets)[order], elements.offsets
    of_tracks, of_clusters = (np.concatenate([[0], np.cumsum(kind)])[offsets] for kind in (track, ~track))
    met = ak.to_numpy(events.GenMET.pt).astype(np.float64)
    generated = events.GenJet
    names = ("pt", "eta", "phi", "mass")
    pt, eta, phi, mass = (ak.to_numpy(ak.flatten(generated[name])).astype(np.float64) for name in names)
    return Tables(
        *(track_rows(elements, track), of_tracks, cluster_rows(elements, ~track), of_clusters),
        *(target, candidate_rows(elements, made)[order], met),
        *jet_rows(Jets(pt, eta, phi, mass, ak.to_numpy(ak.num(generated.pt)))),
        *jet_rows(target_jets(target, offsets)),
    )


def columns_of(names: tuple[str, ...], known: dict[str, NDArray]) -> NDArray:
    """(rows, names) of what is known, zeros for the rest."""
    zero = np.zeros(len(known["elemtype"]))
    return np.column_stack([known.get(name, zero) for name in names])


def track_rows(elements: Elements, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(tracks, 16) features of tracks."""
    e = {name: column[which].astype(np.float64) for name, column in elements.columns.items()}
    known = {
        "elemtype": np.ones(len(e["pt"])),
        "pt": e["pt"],
        "eta": e["eta"],
        "p": e["energy"],
        "sin_phi": np.sin(e["phi"]),
        "cos_phi": np.cos(e["phi"]),
        "tanLambda": np.sinh(e["eta"]),
        "D0": e["d0"] / MM,
        "Z0": e["dz"] / MM,
        "omega": e["charge"] * PER_TESLA * FIELD / np.maximum(e["pt"], LEAST_PT),
    }
    full = {theirs: e[ours] for ours, theirs in OF_TRACK.items() if ours in e}
    return columns_of(TRACK_FEATURES, known | full)


def cluster_rows(elements: Elements, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(clusters, 17) features of clusters."""
    e = {name: column[which].astype(np.float64) for name, column in elements.columns.items()}
    radius = np.minimum(FACE[0], FACE[1] / np.maximum(np.abs(np.sinh(e["eta"])), 1e-9))
    ecal, hcal = np.isin(e["type"], (ECAL, HF_EM)), e["type"] == HCAL
    known = {
        "elemtype": np.full(len(e["pt"]), 2.0),
        "et": e["pt"],
        "eta": e["eta"],
        "energy": e["energy"],
        "sin_phi": np.sin(e["phi"]),
        "cos_phi": np.cos(e["phi"]),
        "iTheta": 2 * np.arctan(np.exp(-e["eta"])),
        "position.x": radius * np.cos(e["phi"]),
        "position.y": radius * np.sin(e["phi"]),
        "position.z": radius * np.sinh(e["eta"]),
        "num_hits": e["nCells"],
        **{f"energy_{n}": e["energy"] * m for n, m in (("ecal", ecal), ("hcal", hcal), ("other", ~(ecal | hcal)))},
        **{f"sigma_{axis}": e["width"] / MM / np.sqrt(3) for axis in "xyz"},
    }
    theirs = {f"position.{x}": x for x in "xyz"} | {f"energy_{n}": f"{n}Energy" for n in ("ecal", "hcal", "other")}
    theirs |= {f"sigma_{x}": f"sigma{x.upper()}" for x in "xyz"} | {"iTheta": "iTheta"}
    return columns_of(CLUSTER_FEATURES, known | {name: e[n] for name, n in theirs.items() if n in e})


def particle_rows(code: NDArray, charge: NDArray, pt: NDArray, eta: NDArray, phi: NDArray, energy: NDArray) -> NDArray:
    """(rows, 13) features of targets or candidates, zeros where the code is 0."""
    zero, there = np.zeros(len(pt)), code != 0
    columns = [code, charge, pt, eta, np.sin(phi), np.cos(phi), energy]
    columns += [zero] * (len(PARTICLE_FEATURES) - len(columns))
    return np.column_stack(columns).astype(np.float64) * there[:, np.newaxis]


def target_rows(elements: Elements, targets: Targets) -> NDArray[np.float64]:
    """Targets beside elements: 22 and 130 in clusters, HF's too."""
    kind = targets["type"]
    code = np.where(kind == HF_PHOTON, 22, codes(np.where(elements["type"] == TRACK, TRACK, ECAL), kind))
    code = np.where(kind == 0, 0, code)
    found = of_targets(targets)
    return particle_rows(code, targets["charge"], *(getattr(found, n) for n in ("pt", "eta", "phi", "energy")))


def candidate_rows(elements: Elements, made: Candidates) -> NDArray[np.float64]:
    """Candidates beside the elements that they are nearest to, each element taken once."""
    total = np.zeros((elements.offsets[-1], 4))
    code, charge = np.zeros((2, elements.offsets[-1]), np.int64)
    momentum = momenta_of(made)
    kind = np.abs(made["pdgId"])
    kind = np.select([np.isin(kind, OF_HF)], [np.where(kind == OF_HF[0], 130, 22)], kind)
    for event in range(len(elements)):
        rows, own = (np.arange(*one.offsets[event : event + 2]) for one in (elements, made))
        for charged in (True, False):
            mine = own[(made["charge"][own] != 0) == charged]
            there = rows[(elements["type"][rows] == TRACK) == charged]
            if not len(mine) or not len(there):
                continue
            place = there[nearest(made, mine, elements, there)]
            np.add.at(total, place, momentum[mine])
            hardest = np.argsort(momentum[mine, 3])
            code[place[hardest]], charge[place[hardest]] = kind[mine[hardest]], made["charge"][mine[hardest]]
    px, py, pz, energy = total.T
    pt = np.hypot(px, py)
    return particle_rows(code, charge, pt, np.arcsinh(pz / np.maximum(pt, 1e-9)), np.arctan2(py, px), energy)


def nearest(made: Candidates, mine: NDArray, elements: Elements, there: NDArray) -> NDArray[np.int64]:
    """(mine,) place in ``there`` of the element for each candidate, each taken once as long as there are enough."""
    eta, phi = (made[name][mine, np.newaxis] - elements[name][there] for name in ("eta", "phi"))
    distance = np.hypot(eta, wrap(phi))
    place = np.argmin(distance, axis=1)
    some, taken = linear_sum_assignment(distance)
    place[some] = taken
    return place


def momenta_of(made: Candidates) -> NDArray[np.float64]:
    """(candidates, 4) px, py, pz, E, GeV."""
    pt, eta, phi, mass = (made[name].astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    return np.column_stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.hypot(pt * np.cosh(eta), mass)])


def target_jets(target: NDArray, offsets: Offsets) -> Jets:
    """Jets of targets, rows with PARTICLE_FEATURES."""
    there = target[:, 0] != 0
    return jets.cluster(momenta(target[there]), select(there, offsets), MIN_JET_PT, jets.EE_GENKT)


def jet_rows(some: Jets) -> tuple[NDArray[np.float64], Offsets]:
    """(jets, 4) pt, eta, phi and energy, and their offsets."""
    energy = np.hypot(some.pt * np.cosh(some.eta), some.mass)
    return np.column_stack([some.pt, some.eta, some.phi, energy]), from_counts(some.counts)
