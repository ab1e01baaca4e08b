"""Inputs of networks on elements: features by name from a schema, and the position of each element.

``compact`` is ours: nothing in it changes when an event is turned in phi. ``gsf`` is the same with what GSF tracks and
superclusters say of tracks and ECAL clusters (ptmiss.links), in files with material in the tracker; there the momentum
from which an electron's is predicted is the supercluster's. ``cms`` (55) and ``clic`` (17) are the published lists of
the public MLPF; what our elements do not have is 0 there, as CMS does with what is foreign to a type. Files with
material have more of the first: losses of electrons, hits, energies of superclusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss import links
from ptmiss.angles import wrap
from ptmiss.elements import ECAL, HCAL, TRACK, TYPES, Elements
from ptmiss.errors import UnknownName

from . import neighbours
from .morton import orders
from .neighbours import Near

Column = NDArray[np.float32]

CMS = (
    *("typ_idx", "pt", "eta", "sin_phi", "cos_phi", "energy", "layer", "depth", "charge", "trajpoint"),
    *("eta_ecal", "phi_ecal", "eta_hcal", "phi_hcal", "muon_dt_hits", "muon_csc_hits", "muon_type", "px", "py", "pz"),
    *("deltap", "sigmadeltap", "gsf_electronseed_trkorecal"),
    *(f"gsf_electronseed_dnn{i}" for i in range(1, 6)),
    *("num_hits", "cluster_flags", "corr_energy", "corr_energy_err", "vx", "vy", "vz", "pterror", "etaerror"),
    *("phierror", "lambd", "lambdaerror", "theta", "thetaerror", "time", "timeerror"),
    *(f"etaerror{i}" for i in range(1, 5)),
    *(f"phierror{i}" for i in range(1, 5)),
    *("sigma_x", "sigma_y", "sigma_z"),
)
"""Features of the public MLPF for CMS, in their order (TFDS 2.5.0 of jpata/particleflow)."""

CLIC = (
    *("elemtype", "pt|et", "eta", "sin_phi", "cos_phi", "p|energy", "chi2|x", "ndf|y", "dEdx|z", "dEdxError|iTheta"),
    *("radiusOfInnermostHit|energy_ecal", "tanLambda|energy_hcal", "D0|energy_other", "omega|num_hits"),
    *("Z0|sigma_x", "time|sigma_y", "null|sigma_z"),
)
"""Features of the public MLPF for CLIC and CLD; names with a bar have two meanings, for tracks and for clusters."""

COMPACT = (
    *("is_track", "is_ecal", "is_hcal", "is_hf_em", "is_hf_had"),
    *("log_pt", "log_energy", "eta", "abs_eta", "calo_eta", "bend_eta", "bend_phi", "at_calorimeter", "charge"),
    *("d0", "dz", "d0_significance", "dz_significance", "log_pt_error", "from_pv", "in_pv_fit", "pv_quality"),
    *("is_muon", "is_electron", "width", "log_cells"),
    *neighbours.NAMES,
    *neighbours.BLOCKS,
)
"""The features of this project's networks."""

GSF = (
    *COMPACT,
    *("gsf_alone", "gsf_linked", "supercluster_linked", "tracker_seed", "ecal_seed", "log_gsf", "log_gsf_out"),
    *("loss_significance", "log_brems", "log_supercluster", "log_supercluster_energy", "log_e_over_p"),
    *("log_supercluster_size", "supercluster_eta", "supercluster_phi"),
)
"""The same, and links to GSF tracks and superclusters: logarithms of ratios of energies, 0 where there is no link."""


class Schema(NamedTuple):
    """Names of features in their order. superclusters: whether an electron's momentum is that of its supercluster."""

    name: str
    features: tuple[str, ...]
    superclusters: bool = False


SCHEMAS = {name: Schema(name, features) for name, features in (("compact", COMPACT), ("cms", CMS), ("clic", CLIC))}
SCHEMAS |= {"gsf": Schema("gsf", GSF, superclusters=True)}


def schema(name: str) -> Schema:
    """A schema by its name."""
    if name not in SCHEMAS:
        raise UnknownName("schema of inputs", name, SCHEMAS)
    return SCHEMAS[name]


class PackedElements(NamedTuple):
    """The n elements of some events as tensors, without padding.

    features: (n, F) in the schema's order, not yet standardised. types: (n,) index in TYPES. scale: (n, 2) pt and
    energy, GeV, to which predictions are ratios. direction: (n, 2) eta and phi at the beam. position: (n, 2) eta and
    phi on the calorimeter, or the direction of an element that does not reach it. offsets: (events + 1,). order: (2, n)
    elements along two space-filling curves, event after event.
    """

    features: Tensor
    types: Tensor
    scale: Tensor
    direction: Tensor
    position: Tensor
    offsets: Tensor
    order: Tensor

    def to(self, device: str) -> PackedElements:
        """The same on a device. Offsets stay on the CPU, where they are read to split events."""
        moved = [value if name == "offsets" else value.to(device) for name, value in self._asdict().items()]
        return PackedElements(*moved)


def pack(elements: Elements, chosen: Schema) -> PackedElements:
    """Elements as tensors, with the features of a schema."""
    where = Surroundings.of(elements)
    features = np.stack([FEATURES[name](elements, where) for name in chosen.features], axis=-1, dtype=np.float32)
    arrays = (
        features,
        type_index(elements["type"]),
        momenta(elements, chosen),
        np.stack([elements["eta"], elements["phi"]], axis=-1),
        where.position,
        elements.offsets,
        orders(where.position, elements["type"], elements["pt"], elements.offsets),
    )
    return PackedElements(*map(torch.from_numpy, arrays))


def momenta(elements: Elements, chosen: Schema) -> NDArray[np.float32]:
    """(n, 2) pt and energy, GeV: as measured, or for tracks of a schema with superclusters those that they point to."""
    measured = np.stack([elements["pt"], elements["energy"]], axis=-1)
    if not chosen.superclusters or "gsfEnergy" not in elements.columns:
        return measured
    points = (elements["type"] == TRACK) & (elements["correctedEnergy"] > 0)
    factor = np.where(points, elements["correctedEnergy"] / np.maximum(elements["energy"], np.float32(1e-3)), 1)
    return measured * factor[:, None].astype(np.float32)


def type_index(types: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) index in TYPES of types (n,)."""
    return np.searchsorted(np.array(list(TYPES)), types)


@dataclass
class Surroundings:
    """Positions of elements on the calorimeter, and their neighbours there.

    position: (n, 2) eta and phi. reached: (n,) mask of the elements that reach the calorimeter.
    """

    position: NDArray[np.float32]
    reached: NDArray[np.bool_]
    elements: Elements

    @staticmethod
    def of(elements: Elements) -> Surroundings:
        """The surroundings of elements."""
        reached = (elements["caloEta"] != 0) | (elements["caloPhi"] != 0)
        eta = np.where(reached, elements["caloEta"], elements["eta"])
        phi = np.where(reached, elements["caloPhi"], elements["phi"])
        return Surroundings(np.stack([eta, phi], axis=-1), reached, elements)

    @cached_property
    def near(self) -> Near:
        """The neighbours of each element, found at the first use."""
        return neighbours.near(self.elements, self.position)

    @cached_property
    def blocks(self) -> NDArray[np.float32]:
        """(n, 11) features of each element's block, see neighbours.BLOCKS."""
        return neighbours.blocks(self.elements, self.near)


Feature = Callable[[Elements, Surroundings], NDArray]


def _column(name: str) -> Feature:
    return lambda elements, where: elements[name]


def _is(number: int) -> Feature:
    return lambda elements, where: elements["type"] == number


def _of_type(number: int, feature: Feature) -> Feature:
    """A feature of one type of elements, 0 for others."""
    return lambda elements, where: np.where(elements["type"] == number, feature(elements, where), np.float32(0))


def _of_deposits(feature: Feature) -> Feature:
    return lambda elements, where: np.where(elements["type"] != TRACK, feature(elements, where), np.float32(0))


def _by_kind(track: Feature, deposit: Feature) -> Feature:
    return lambda elements, where: np.where(elements["type"] == TRACK, track(elements, where), deposit(elements, where))


def _nothing(elements: Elements, where: Surroundings) -> Column:
    return np.zeros(len(elements["pt"]), np.float32)


def _stored(name: str, otherwise: Feature = _nothing) -> Feature:
    """A column that files of full simulation or with material have, or what stands for it in others."""
    return lambda elements, where: elements[name] if name in elements.columns else otherwise(elements, where)


def _corrected(elements: Elements, where: Surroundings) -> NDArray:
    """The energy, or that of the supercluster that a cluster is in."""
    if "correctedEnergy" not in elements.columns:
        return elements["energy"]
    return np.where(elements["correctedEnergy"] > 0, elements["correctedEnergy"], elements["energy"])


def _seeded(bit: int) -> Feature:
    seed = _of_type(TRACK, _stored("seed"))
    return lambda elements, where: seed(elements, where).astype(np.int32) & bit > 0


def _log1p(name: str) -> Feature:
    return lambda elements, where: np.log1p(_stored(name)(elements, where))


def _apart(name: str, largest: float) -> Feature:
    """A distance in units of the largest of a link, within three."""
    return lambda elements, where: np.minimum(_stored(name)(elements, where) / np.float32(largest), 3)


def _log_ratio(value: str, reference: str) -> Feature:
    """Logarithm of the ratio of two columns, within five; 0 where one is 0 or in files without material."""

    def feature(elements: Elements, where: Surroundings) -> NDArray:
        a, b = (_stored(name)(elements, where) for name in (value, reference))
        known = (a > 0) & (b > 0)
        return np.clip(np.log(np.where(known, a, 1) / np.where(known, b, 1)), -5, 5)

    return feature


def _significance(value: str, error: str) -> Feature:
    a, b = _stored(value), _stored(error)
    return lambda elements, where: np.arcsinh(a(elements, where) / np.maximum(b(elements, where), np.float32(1e-3)))


def _around(index: int) -> Feature:
    return lambda elements, where: where.near.sums[:, index]


def _of_block(index: int) -> Feature:
    return lambda elements, where: where.blocks[:, index]


_POSITION = (lambda e, w: w.position[:, 0], lambda e, w: w.position[:, 1])
_CARTESIAN: dict[str, Feature] = {
    "px": lambda e, w: e["pt"] * np.cos(e["phi"]),
    "py": lambda e, w: e["pt"] * np.sin(e["phi"]),
    "pz": lambda e, w: e["pt"] * np.sinh(e["eta"]),
    "sin_phi": lambda e, w: np.sin(e["phi"]),
    "cos_phi": lambda e, w: np.cos(e["phi"]),
}
_OURS: dict[str, Feature] = {
    **{f"is_{what}": _is(i) for i, what in zip(TYPES, ("track", "ecal", "hcal", "hf_em", "hf_had"), strict=True)},
    "log_pt": lambda e, w: np.log(np.maximum(e["pt"], np.float32(1e-3))),
    "log_energy": lambda e, w: np.log(np.maximum(e["energy"], np.float32(1e-3))),
    "eta": _column("eta"),
    "abs_eta": lambda e, w: np.abs(e["eta"]),
    "calo_eta": _POSITION[0],
    "bend_eta": lambda e, w: w.position[:, 0] - e["eta"],
    "bend_phi": lambda e, w: wrap(w.position[:, 1] - e["phi"]),
    "at_calorimeter": lambda e, w: w.reached,
    "charge": _column("charge"),
    "d0": lambda e, w: np.arcsinh(e["d0"] / np.float32(0.02)),
    "dz": lambda e, w: np.arcsinh(e["dz"] / np.float32(0.1)),
    "d0_significance": _significance("d0", "d0Error"),
    "dz_significance": _significance("dz", "dzError"),
    "log_pt_error": lambda e, w: np.log(np.maximum(e["ptError"], np.float32(1e-3))),
    "from_pv": _column("fromPV"),
    "in_pv_fit": lambda e, w: e["fromPV"] == 3,
    "pv_quality": _column("pvAssocQuality"),
    "is_muon": _column("isMuon"),
    "is_electron": _column("isElectron"),
    "width": lambda e, w: np.log1p(e["width"]),
    "log_cells": lambda e, w: np.log1p(e["nCells"]),
    **{name: _around(i) for i, name in enumerate(neighbours.NAMES)},
    **{name: _of_block(i) for i, name in enumerate(neighbours.BLOCKS)},
}
_GSF: dict[str, Feature] = {
    "gsf_alone": _stored("gsfAlone"),
    "gsf_linked": lambda e, w: _stored("gsfEnergy")(e, w) > 0,
    "supercluster_linked": lambda e, w: _stored("correctedEnergy")(e, w) > 0,
    "tracker_seed": _seeded(links.TRACKER_SEED),
    "ecal_seed": _seeded(links.ECAL_SEED),
    "log_gsf": _log_ratio("gsfEnergy", "energy"),
    "log_gsf_out": _of_type(TRACK, _log_ratio("ptOut", "pt")),
    "loss_significance": _significance("deltaP", "deltaPError"),
    "log_brems": _log1p("nBrems"),
    "log_supercluster": _log_ratio("correctedEnergy", "energy"),
    "log_supercluster_energy": _log1p("correctedEnergy"),
    "log_e_over_p": _log_ratio("correctedEnergy", "gsfEnergy"),
    "log_supercluster_size": _log1p("superclusterSize"),
    "supercluster_eta": _apart("superclusterEta", links.WINDOW[0]),
    "supercluster_phi": _apart("superclusterPhi", links.WINDOW[1]),
}
_CMS: dict[str, Feature] = {
    **_CARTESIAN,
    "typ_idx": _column("type"),
    "pt": _column("pt"),
    "energy": _column("energy"),
    "eta_ecal": _POSITION[0],
    "phi_ecal": _POSITION[1],
    "eta_hcal": _POSITION[0],
    "phi_hcal": _POSITION[1],
    "muon_type": _column("isMuon"),
    "muon_dt_hits": _stored("nDTHits"),
    "muon_csc_hits": _stored("nCSCHits"),
    "trajpoint": _stored("trajectoryPoint"),
    "deltap": _stored("deltaP"),
    "sigmadeltap": _stored("deltaPError"),
    "gsf_electronseed_trkorecal": _stored("seed", _column("isElectron")),
    "num_hits": _by_kind(_stored("nHits", _column("nCells")), _column("nCells")),
    "corr_energy": _of_deposits(_corrected),
    "vx": lambda e, w: -e["d0"] * np.sin(e["phi"]),
    "vy": lambda e, w: e["d0"] * np.cos(e["phi"]),
    "vz": _column("dz"),
    "pterror": lambda e, w: e["ptError"] * e["pt"],
    "lambd": lambda e, w: np.where(e["type"] == TRACK, np.arctan(np.sinh(e["eta"])), np.float32(0)),
    "theta": lambda e, w: np.where(e["type"] == TRACK, 2 * np.arctan(np.exp(-e["eta"])), np.float32(0)),
}
_CLIC: dict[str, Feature] = {
    "elemtype": lambda e, w: np.where(e["type"] == TRACK, 1, 2),
    "pt|et": _column("pt"),
    "p|energy": _column("energy"),
    "chi2|x": _by_kind(_stored("chi2"), _stored("x")),
    "ndf|y": _by_kind(_stored("ndf"), _stored("y")),
    "dEdx|z": _by_kind(_stored("dEdx"), _stored("z")),
    "dEdxError|iTheta": _by_kind(
        _stored("dEdxError"), _stored("iTheta", lambda e, w: 2 * np.arctan(np.exp(-w.position[:, 0])))
    ),
    "radiusOfInnermostHit|energy_ecal": _by_kind(
        _stored("innerRadius"), _stored("ecalEnergy", _of_type(ECAL, _column("energy")))
    ),
    "tanLambda|energy_hcal": _by_kind(
        lambda e, w: np.sinh(e["eta"]), _stored("hcalEnergy", _of_type(HCAL, _column("energy")))
    ),
    "D0|energy_other": _by_kind(
        _column("d0"),
        _stored("otherEnergy", lambda e, w: np.where(e["type"] > HCAL, e["energy"], np.float32(0))),
    ),
    "omega|num_hits": _by_kind(
        _stored("omega", lambda e, w: e["charge"] / np.maximum(e["pt"], np.float32(1e-3))), _column("nCells")
    ),
    "Z0|sigma_x": _by_kind(_column("dz"), _stored("sigmaX", _column("width"))),
    "time|sigma_y": _by_kind(_stored("time"), _stored("sigmaY", _column("width"))),
    "null|sigma_z": _of_deposits(_stored("sigmaZ")),
}
FEATURES: Mapping[str, Feature] = dict.fromkeys((*CMS, *CLIC), _nothing) | _CMS | _CLIC | _OURS | _GSF
"""The function that computes each feature, (n,), of elements."""


def moments(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale, each (F,), that standardise features (n, F); a constant feature has scale 1."""
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(scale > 1e-6, scale, 1).astype(np.float32)
