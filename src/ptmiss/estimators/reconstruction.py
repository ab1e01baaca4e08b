"""Particle flow as a stage: elements in, candidates out, with the columns of the file's own PF candidates.

* ``mlpf``: a network of ptmiss.models.mlpf predicts the particle behind each element
* ``mlpf_electrons``: another, for events with material in the tracker, which reads GSF tracks and superclusters
* ``targets``: the truth of the simulation, row by row, which no network can beat
* ``elements``: each element is taken for the particle that it looks like: class by its type, momentum as measured

Each row becomes a candidate of its most likely class other than none. Its pT is the expected one: it is already
multiplied by 1 - P(none), so that nothing is counted twice. Rows below MIN_PT are left out. PUPPI weights are computed
anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import elements as pf_elements
from ptmiss import files
from ptmiss.candidates import BRANCHES, LATENTS, Candidates, clean, good_vertices, puppi_weights
from ptmiss.elements import CLASSES, ECAL, HCAL, HF_EM, HF_HAD, TRACK, Elements, Prediction, Targets
from ptmiss.errors import ColumnError, OptionError, UnknownName, needs_torch
from ptmiss.networks.registry import shipped_models, weights_file
from ptmiss.segments import Rows, select

if TYPE_CHECKING:
    from ptmiss.models.mlpf import reconstruction as networks

PF = "pf"  # the candidates of the file
MLPF, TARGETS, ELEMENTS = "mlpf", "targets", "elements"
NETWORKS = (MLPF, "mlpf_electrons")
"""Reconstructions by a network, by the names of the package's models."""
RECONSTRUCTIONS = (*NETWORKS, TARGETS, ELEMENTS)
PREFIXED = ("puppi", "track")  # sums over candidates, whose names follow that of the reconstruction: mlpf_puppi
MIN_PT = 0.1  # GeV, least pT of a candidate: the softer ones are many, and add up to next to nothing

NONE, CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON, HF_HADRON, HF_PHOTON = range(len(CLASSES))
IN_TRACKER = (211, 211, 211, 211, 11, 13, 211, 211)
IN_CALORIMETER = (130, 130, 130, 22, 22, 130, 130, 22)
IN_HF = (1, 1, 1, 2, 2, 1, 1, 2)
CODES = {TRACK: IN_TRACKER, ECAL: IN_CALORIMETER, HCAL: IN_CALORIMETER, HF_EM: IN_HF, HF_HAD: IN_HF}
"""Unsigned PDG code of each class in each type of element: only a track can be charged, only HF has HF's codes."""
CLASS_OF = {211: CHARGED_HADRON, 130: NEUTRAL_HADRON, 22: PHOTON, 11: ELECTRON, 13: MUON, 1: HF_HADRON, 2: HF_PHOTON}
MASSES = {211: 0.13957, 13: 0.10566, 11: 0.000511}
"""GeV; neutral and HF candidates are massless, as the file's PF candidates are."""
LOOKS_LIKE = {TRACK: CHARGED_HADRON, ECAL: PHOTON, HCAL: NEUTRAL_HADRON, HF_EM: HF_PHOTON, HF_HAD: HF_HADRON}
NEUTRAL = {"dxy": 0, "dz": 0, "fromPV": 3, "pvAssocQuality": 7}
"""Values of PF candidates without a track in the columns of tracks."""
OF_TRACK = {"dxy": "d0", "dz": "dz", "fromPV": "fromPV", "pvAssocQuality": "pvAssocQuality"}


def prediction_of(kind: NDArray[np.integer], momenta: Rows) -> Prediction:
    """A prediction whose classes, shape (rows,), are certain, with pt, eta, phi and energy from other rows."""
    pt, eta, phi, energy = (momenta[name] for name in ("pt", "eta", "phi", "energy"))
    return Prediction(kind, pt, eta, phi, energy, np.eye(len(CLASSES), dtype=np.float32)[kind])


def of_targets(targets: Targets) -> Prediction:
    """The truth in the form of a prediction."""
    return prediction_of(targets["type"], targets)


def of_elements(elements: Elements) -> Prediction:
    """Each element as the particle that it looks like; tracks with a muon segment or an electron seed are leptons."""
    kinds = np.zeros(max(LOOKS_LIKE) + 1, np.int32)
    kinds[list(LOOKS_LIKE)] = list(LOOKS_LIKE.values())
    track = elements["type"] == TRACK
    kind = np.select(
        [track & elements["isMuon"], track & elements["isElectron"]], [MUON, ELECTRON], kinds[elements["type"]]
    )
    return prediction_of(kind, elements)


def codes(types: NDArray[np.integer], kinds: NDArray[np.integer]) -> NDArray[np.int32]:
    """(rows,) unsigned PDG codes of rows with these types and classes, each (rows,); see CODES."""
    table = np.zeros((max(CODES) + 1, len(CLASSES)), np.int32)
    table[list(CODES)] = list(CODES.values())
    return table[types, kinds]


def classes(codes: NDArray[np.integer]) -> NDArray[np.int32]:
    """Classes of the PDG codes of candidates, with or without sign; same shape."""
    table = np.zeros(max(CLASS_OF) + 1, np.int32)
    table[list(CLASS_OF)] = list(CLASS_OF.values())
    return table[np.abs(codes)]


def candidates(elements: Elements, found: Prediction, least: float = MIN_PT) -> Candidates:
    """The cleaned candidates of elements, in the order of the elements, with all columns but the PUPPI weight.

    With the latents of the network that found them, if it gave them.

    found: rows beside the elements. least: GeV, a row with a smaller pT is no candidate.
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
    if found.latents is not None:
        columns[LATENTS] = found.latents[kept]
    return clean(Candidates(columns, select(kept, elements.offsets)))


def add_puppi_weights(made: Candidates, npv: NDArray) -> Candidates:
    """Candidates with new PUPPI weights; npv: (events,) good vertices."""
    weight = puppi_weights(made.columns, made.offsets, npv)
    columns = {**made.columns, "puppiWeight": weight}
    ordered = {name: columns[name] for name in (*BRANCHES, LATENTS) if name in columns}
    return Candidates(ordered, made.offsets, made.repaired)


@dataclass(frozen=True)
class Reconstruction:
    """A reconstruction by its name. The weights file of a network travels with it, and is loaded once in each process.

    weights: file or folder of a network. least: GeV, see :func:`candidates`.
    """

    name: str
    weights: str = ""
    least: float = MIN_PT

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, and the content of the weights file."""
        return vars(self) | {"weights": files.portable(self.weights) if self.weights else ("", b"")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore it in another process, which may be on another machine."""
        path, content = state["weights"]
        vars(self).update(state | {"weights": files.unportable(path, content) if path else ""})

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file."""
        return files.digest(Path(self.weights))

    @property
    def identity(self) -> dict[str, str]:
        """What tells it from another: its name, the least pT, and the hash of the weights file."""
        entry = {"reconstruction": self.name, "min_pt": f"{self.least:g}"}
        return entry | ({"mlpf_sha256": self.sha256} if self.weights else {})

    @property
    def latents(self) -> int:
        """Number of latents of each candidate; 0 for none."""
        return network(self.weights).latents if self.weights else 0

    def manifest_entry(self) -> dict[str, str]:
        """The reconstruction in a manifest: its identity, and the weights file."""
        return self.identity | ({"mlpf_weights": self.weights} if self.weights else {})

    def require(self, columns: Iterable[str], branches: Collection[str], estimator: str, path: str) -> None:
        """Raise ColumnError unless a file with these branches has the inputs of the candidates' columns."""
        try:
            pf_elements.require(branches, path, targets=self.name == TARGETS)
        except ColumnError as error:
            raise ColumnError(f"estimator {estimator!r}: {error}") from None
        if "puppiWeight" in columns and not {"PV_npvs", "PV_npvsGood"} & set(branches):
            raise ColumnError(
                f"estimator {estimator!r} needs branch PV_npvs for PUPPI weights, which {path} does not have"
            )

    def predict(self, elements: Elements, targets: Targets | None = None, latents: bool = False) -> Prediction:
        """The particles behind elements, with the latents of an MLPF if wanted.

        targets: those of the same events, for the reconstruction ``targets``.
        """
        match self.name:
            case "targets":
                if targets is None:
                    raise ColumnError("the reconstruction 'targets' needs the targets of the elements; got none")
                return of_targets(targets)
            case "elements":
                return of_elements(elements)
        return network(self.weights)(elements, latents=latents)

    def candidates(self, events: ak.Array, columns: Iterable[str]) -> Candidates:
        """The candidates of events, flat columns (candidates,); PUPPI weights and latents if ``columns`` names them."""
        elements, wanted = Elements.of_events(events), set(columns)
        targets = Targets.of_events(events) if self.name == TARGETS else None
        made = candidates(elements, self.predict(elements, targets, LATENTS in wanted), self.least)
        return add_puppi_weights(made, good_vertices(events)) if "puppiWeight" in wanted else made


def parse(name: str) -> tuple[str, str] | None:
    """The estimator on candidates and the reconstruction in an estimator's name; None if it names no reconstruction.

    ``mlpf`` is ``pf`` on MLPF's candidates, ``mlpf_puppi`` is ``puppi``, ``deepmet_mlpf`` is the network ``deepmet``.
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
    """The names that :func:`parse` understands."""
    sums = [f"{made_by}{rest}" for made_by in RECONSTRUCTIONS for rest in ("", *(f"_{sum_}" for sum_ in PREFIXED))]
    return [*sums, *(f"<network>_{made_by}" for made_by in NETWORKS)]


def build(name: str, weights: files.AnyPath | None = None, least: float = MIN_PT) -> Reconstruction:
    """A reconstruction by its name; the weights file of a network is read and checked at once."""
    if name not in RECONSTRUCTIONS:
        raise UnknownName("reconstruction", name, RECONSTRUCTIONS)
    if name not in NETWORKS:
        return Reconstruction(name, least=least)
    path = _weights_file(weights, name)
    network(path)
    return Reconstruction(name, path, least)


def of_candidates(candidates: str) -> Reconstruction | None:
    """What makes candidates: None for ``pf``, those of the file; a reconstruction by its name; an MLPF by its weights.

    UnknownName for anything else.
    """
    if candidates == PF:
        return None
    if candidates in RECONSTRUCTIONS:
        return build(candidates)
    if not files.as_path(candidates).exists():
        raise UnknownName("kind of candidates", candidates, [PF, *RECONSTRUCTIONS, "a weights file of an MLPF"])
    return build(MLPF, candidates)


def whose(identity: Mapping[str, str]) -> str:
    """In words, the candidates of a reconstruction with this identity; those of the file if it is empty."""
    if not identity:
        return "the candidates of files"
    digest = identity.get("mlpf_sha256", "")[:12]
    return f"candidates of {identity['reconstruction']}" + (f" (sha256 {digest}…)" if digest else "")


def _weights_file(weights: files.AnyPath | None, name: str) -> str:
    if weights is None and name not in shipped_models():
        raise OptionError(
            "MLPF needs a network, and none comes with this package: name its weights file with --weights"
        )
    return str(weights_file(weights or name))


@files.cached_by_file
def network(path: str) -> networks.MLPF:
    """The network in a weights file: a function of elements."""
    with needs_torch("MLPF"):
        from ptmiss.models.mlpf.reconstruction import load
    return load(path)


def without_elements(events: ak.Array) -> NDArray[np.bool_]:
    """(events,) mask of those with PF candidates but without elements.

    Files may keep the elements of their first events only.
    """
    empty = ak.to_numpy(ak.num(events[pf_elements.COLLECTION]["pt"]) == 0)
    name = next((c for c in pf_candidates.COLLECTIONS if c in events.fields), None)
    if name is None or not empty.any():
        return np.zeros(len(empty), bool)
    return empty & ak.to_numpy(ak.num(events[name]["pt"]) > 0)
