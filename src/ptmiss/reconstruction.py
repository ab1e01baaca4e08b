"""Particle flow as a stage: elements in, candidates out, in the record of the file's own PF candidates.

* ``mlpf``: a network of ptmiss.models.mlpf says what each element stands for
* ``targets``: the truth of the simulation, row by row: what no network can beat
* ``elements``: each element as the particle that it looks like: class by its type, momentum as measured

A row is a candidate of its most likely class other than none, with the soft pT that is already multiplied by
1 - P(none), so that nothing is counted twice; rows below MIN_PT are left out. PUPPI weights are made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import elements as pf_elements
from ptmiss import files
from ptmiss.candidates import BRANCHES, Candidates, clean, good_vertices, puppi_weights
from ptmiss.elements import CLASSES, ECAL, HCAL, HF_EM, HF_HAD, TRACK, Elements, Targets
from ptmiss.errors import ColumnError, OptionError
from ptmiss.networks.registry import shipped, weights_file
from ptmiss.segments import Rows, select

MLPF, TARGETS, ELEMENTS = "mlpf", "targets", "elements"
RECONSTRUCTIONS = (MLPF, TARGETS, ELEMENTS)
PREFIXED = ("puppi", "track")  # sums over candidates that are named after a reconstruction, mlpf_puppi
NETWORKS = "ptmiss.models.mlpf.reconstruction"
MIN_PT = 0.1  # GeV: a candidate's least soft pT; softer ones are many and add up to next to nothing

NONE, CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON, HF_HADRON, HF_PHOTON = range(len(CLASSES))
IN_TRACKER = (211, 211, 211, 211, 11, 13, 211, 211)
IN_CALORIMETER = (130, 130, 130, 22, 22, 130, 130, 22)
IN_HF = (1, 1, 1, 2, 2, 1, 1, 2)
CODES = {TRACK: IN_TRACKER, ECAL: IN_CALORIMETER, HCAL: IN_CALORIMETER, HF_EM: IN_HF, HF_HAD: IN_HF}
"""PDG code without sign of each class in each type of element: only a track can be charged, only HF has HF's codes."""
CLASS_OF = {211: CHARGED_HADRON, 130: NEUTRAL_HADRON, 22: PHOTON, 11: ELECTRON, 13: MUON, 1: HF_HADRON, 2: HF_PHOTON}
MASSES = {211: 0.13957, 13: 0.10566, 11: 0.000511}
"""GeV; neutral and HF candidates are massless, as the file's PF candidates are."""
LOOKS_LIKE = {TRACK: CHARGED_HADRON, ECAL: PHOTON, HCAL: NEUTRAL_HADRON, HF_EM: HF_PHOTON, HF_HAD: HF_HADRON}
NEUTRAL = {"dxy": 0, "dz": 0, "fromPV": 3, "pvAssocQuality": 7}
"""What PF candidates without a track have in the columns of tracks."""
OF_TRACK = {"dxy": "d0", "dz": "dz", "fromPV": "fromPV", "pvAssocQuality": "pvAssocQuality"}


@dataclass(frozen=True)
class Reconstructed:
    """What elements stand for, row by row beside them: GeV, rad; pt and energy are soft, multiplied by 1 - P(none).

    kind: (rows,) most likely class, numbered as ptmiss.elements.CLASSES; probability: (rows, 8) of each class.
    """

    kind: NDArray[np.integer]
    pt: NDArray[np.floating]
    eta: NDArray[np.floating]
    phi: NDArray[np.floating]
    energy: NDArray[np.floating]
    probability: NDArray[np.floating]


def certain(kind: NDArray[np.integer], momenta: Rows) -> Reconstructed:
    """Rows whose class is certain, with the pt, eta, phi and energy of others."""
    pt, eta, phi, energy = (momenta[name] for name in ("pt", "eta", "phi", "energy"))
    return Reconstructed(kind, pt, eta, phi, energy, np.eye(len(CLASSES), dtype=np.float32)[kind])


def of_targets(targets: Targets) -> Reconstructed:
    """The truth, as if a network had found it."""
    return certain(targets["type"], targets)


def of_elements(elements: Elements) -> Reconstructed:
    """Each element as the particle that it looks like; tracks of the muon system and electron seeds as such."""
    kinds = np.zeros(max(LOOKS_LIKE) + 1, np.int32)
    kinds[list(LOOKS_LIKE)] = list(LOOKS_LIKE.values())
    track = elements["type"] == TRACK
    kind = np.select(
        [track & elements["isMuon"], track & elements["isElectron"]], [MUON, ELECTRON], kinds[elements["type"]]
    )
    return certain(kind, elements)


def codes(types: NDArray[np.integer], kinds: NDArray[np.integer]) -> NDArray[np.int32]:
    """PDG code without sign of rows of an element type and a class, see CODES."""
    table = np.zeros((max(CODES) + 1, len(CLASSES)), np.int32)
    table[list(CODES)] = list(CODES.values())
    return table[types, kinds]


def classes(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    """Class of PDG codes of candidates, with or without sign."""
    table = np.zeros(max(CLASS_OF) + 1, np.int32)
    table[list(CLASS_OF)] = list(CLASS_OF.values())
    return table[np.abs(codes)]


def candidates(elements: Elements, found: Reconstructed, least: float = MIN_PT) -> Candidates:
    """Candidates of elements, cleaned, all columns but the PUPPI weight, in the order of the elements.

    found: rows beside the elements; least: GeV, a row with a smaller soft pT is no candidate.
    """
    kept = np.asarray(found.pt) > least
    likely = 1 + np.argmax(found.probability[kept, 1:], axis=1)
    code = codes(elements["type"][kept], likely)
    charge = np.where(elements["type"][kept] == TRACK, elements["charge"][kept], 0)
    mass = np.select([code == c for c in MASSES], list(MASSES.values()), 0.0)
    columns = {
        **{name: getattr(found, name)[kept].astype(np.float32) for name in ("pt", "eta", "phi")},
        "mass": mass.astype(np.float32),
        "charge": charge.astype(np.int32),
        "pdgId": np.where(code == 211, charge, np.where(charge == 0, 1, -charge)).astype(np.int32) * code,
        **{name: np.where(charge != 0, elements[own][kept], NEUTRAL[name]) for name, own in OF_TRACK.items()},
    }
    return clean(Candidates(columns, select(kept, elements.offsets)))


def weighted(made: Candidates, npv: NDArray) -> Candidates:
    """Candidates with PUPPI weights of their own; npv: (events,) good vertices."""
    weight = puppi_weights(made.columns, made.offsets, npv)
    columns = {**made.columns, "puppiWeight": weight}
    return Candidates({name: columns[name] for name in BRANCHES}, made.offsets, made.repaired)


@dataclass(frozen=True)
class Reconstruction:
    """A reconstruction by its name; a network travels with its weights file and is loaded once in each process.

    weights: of ``mlpf``, a file or folder; least: see :func:`candidates`.
    """

    name: str
    weights: str = ""
    least: float = MIN_PT

    def __getstate__(self) -> dict[str, Any]:
        """Everything, and the content of the weights file."""
        return vars(self) | {"weights": files.portable(self.weights) if self.weights else ("", b"")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same in another process, which may be on another machine."""
        path, content = state["weights"]
        vars(self).update(state | {"weights": files.unportable(path, content) if path else ""})

    @property
    def sha256(self) -> str:
        """Of the weights file."""
        return hashlib.sha256(Path(self.weights).read_bytes()).hexdigest()

    def manifest_entry(self) -> dict[str, str]:
        """What a manifest keeps of it."""
        entry = {"reconstruction": self.name, "min_pt": f"{self.least:g}"}
        return entry | ({"mlpf_weights": self.weights, "mlpf_sha256": self.sha256} if self.weights else {})

    def require(self, columns: Iterable[str], branches: Collection[str], estimator: str, path: str) -> None:
        """Raise ColumnError unless a file with these branches has what the candidates' columns are made of."""
        try:
            pf_elements.require(branches, path, targets=self.name == TARGETS)
        except ColumnError as error:
            raise ColumnError(f"estimator {estimator!r}: {error}") from None
        if "puppiWeight" in columns and not {"PV_npvs", "PV_npvsGood"} & set(branches):
            raise ColumnError(
                f"estimator {estimator!r} needs branch PV_npvs for PUPPI weights, which {path} does not have"
            )

    def found(self, elements: Elements, targets: Targets | None = None) -> Reconstructed:
        """What elements stand for, a network bounds its own memory; targets: those of the same events."""
        match self.name:
            case "targets":
                if targets is None:
                    raise ColumnError("the reconstruction 'targets' needs targets")
                return of_targets(targets)
            case "elements":
                return of_elements(elements)
        return network(self.weights)(elements)

    def candidates(self, events: ak.Array, columns: Iterable[str]) -> Candidates:
        """The candidates of events, with PUPPI weights only if they are among the columns."""
        elements = Elements.of_events(events)
        targets = Targets.of_events(events) if self.name == TARGETS else None
        made = candidates(elements, self.found(elements, targets), self.least)
        return weighted(made, good_vertices(events)) if "puppiWeight" in set(columns) else made


def parse(name: str) -> tuple[str, str] | None:
    """What the name of an estimator on elements says: the estimator of candidates, and the reconstruction; else None.

    ``mlpf`` is ``pf`` on MLPF's candidates, ``mlpf_puppi`` is ``puppi`` and ``deepmet_mlpf`` is the network ``deepmet``.
    """
    for made_by in RECONSTRUCTIONS:
        if name == made_by:
            return "pf", made_by
        if (rest := name.removeprefix(f"{made_by}_")) in PREFIXED and rest != name:
            return rest, made_by
        if name.endswith(f"_{made_by}"):
            return name.removesuffix(f"_{made_by}"), made_by
    return None


def estimator_names() -> list[str]:
    """The names that :func:`parse` knows."""
    return [f"{made_by}{rest}" for made_by in RECONSTRUCTIONS for rest in ("", *(f"_{sum_}" for sum_ in PREFIXED))] + [
        f"<network>_{MLPF}"
    ]


def build(name: str, weights: str | Path | None = None, least: float = MIN_PT) -> Reconstruction:
    """A reconstruction by name; the weights file of a network is found, read and checked here."""
    if name != MLPF:
        return Reconstruction(name, least=least)
    path = _weights_file(weights)
    network(path)
    return Reconstruction(name, path, least)


def _weights_file(weights: str | Path | None) -> str:
    if weights is None and MLPF not in shipped():
        raise OptionError(
            "MLPF needs a network, and none comes with this package: name its weights file with --weights"
        )
    return str(weights_file(weights or MLPF))


@files.cached_by_file
def network(path: str) -> Any:
    """The network in a weights file, called with elements."""
    try:
        return import_module(NETWORKS).load(path)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise OptionError("MLPF needs torch, the extra train: pip install 'ptmiss[train]'") from error


def without_elements(events: ak.Array) -> NDArray[np.bool_]:
    """(events,) those that have PF candidates and no elements: files may keep the elements of their first events only."""
    empty = ak.to_numpy(ak.num(events[pf_elements.COLLECTION]["pt"]) == 0)
    name = next((c for c in pf_candidates.COLLECTIONS if c in events.fields), None)
    if name is None or not empty.any():
        return np.zeros(len(empty), bool)
    return empty & ak.to_numpy(ak.num(events[name]["pt"]) > 0)
