"""Estimators of the missing transverse momentum: candidates in, one pTmiss vector an event out.

* ``pf``: minus the sum over all PF candidates
* ``puppi``: minus the sum weighted with the PUPPI weights of the file; what CMS stores as PuppiMET is another tune (in
  ten real PFNano events the two are 20 GeV apart in the median)
* ``track``: minus the sum over charged candidates of the primary vertex (fromPV of 2 or 3)
* ``stored.<Branch>``: a MET stored in the file, ``stored.PuppiMET`` for one
* ``deepmet``, ``deepmet_response``, or any name given a weights file: a DeepMET network
* ``mlpf``, ``mlpf_puppi``, ``mlpf_track``, ``deepmet_mlpf``: the same of the candidates that MLPF makes of
  particle-flow elements; with ``targets`` or ``elements`` in place of ``mlpf``, of those of the truth and of elements
  as they are (see ptmiss.reconstruction)

An event that has candidates and no elements, for some files keep the elements of their first events only, has no pTmiss
of the last kind: it is NaN, counted in the notes, and left out of histograms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import luggage, reconstruction
from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.leptons import EXACT, TREATMENTS, leave_out, matched
from ptmiss.networks.inputs import CATEGORIES, FEATURES, Inputs
from ptmiss.networks.registry import Model, load_model, shipped, weights_file
from ptmiss.networks.weights import fingerprint
from ptmiss.recoil import Vector, cartesian
from ptmiss.reconstruction import MLPF, RECONSTRUCTIONS, Reconstruction
from ptmiss.vertex import DEFAULT, LEPTON, at_lepton, needs

STORED = "stored."
Selected = NDArray[np.bool_]
FEW = 50  # an event of a collider has hundreds of candidates; NanoAOD v15 keeps a dozen, and their sum is no pTmiss


class Estimator(Protocol):
    """Anything that makes one pTmiss vector an event."""

    @property
    def name(self) -> str:
        """What it is called on the command line, in tables and in legends."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Candidate columns that it needs; none if it needs no candidates."""

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has what it needs."""

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV; what was unusual is counted in the notes.

        selected: mask of the candidates that are the selected leptons.
        """


def everything(candidates: Candidates) -> NDArray[np.float32]:
    """Weight 1 for each candidate."""
    return np.ones(candidates.offsets[-1], np.float32)


def puppi_weight(candidates: Candidates) -> NDArray[np.float32]:
    """The PUPPI weight of each candidate."""
    return candidates["puppiWeight"]


def vertex_track(candidates: Candidates) -> NDArray[np.float32]:
    """Weight 1 for charged candidates of the primary vertex (fromPV of 2 or 3), 0 for all others."""
    return ((candidates["charge"] != 0) & (candidates["fromPV"] >= 2)).astype(np.float32)


SUMS = {
    "pf": (everything, ("pt", "phi")),
    "puppi": (puppi_weight, ("pt", "phi", "puppiWeight")),
    "track": (vertex_track, ("pt", "phi", "charge", "fromPV")),
}


@dataclass(frozen=True)
class WeightedSum:
    """Minus the sum of the candidates' momenta, each with a weight of its own (see SUMS)."""

    name: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Candidate columns that it needs."""
        return SUMS[self.name][1]

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has what it needs."""
        pf_candidates.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        from ptmiss.networks import kernels

        return -kernels.sum_momenta(SUMS[self.name][0](candidates), candidates.momentum, candidates.offsets)


@dataclass(frozen=True)
class Stored:
    """A MET that the file stores under a branch name."""

    name: str
    columns: tuple[str, ...] = ()

    @property
    def branch(self) -> str:
        """Name of the collection, without ``_pt`` and ``_phi``."""
        return self.name.removeprefix(STORED)

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless the file has the MET's pt and phi."""
        for branch in (f"{self.branch}_pt", f"{self.branch}_phi"):
            if branch not in branches:
                mets = sorted(b.removesuffix("_pt") for b in branches if b.endswith("MET_pt"))
                raise ColumnError(
                    f"estimator {self.name!r} needs branch {branch}, which {path} does not have; "
                    f"METs there: {', '.join(mets) or 'none'}"
                )

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        met = events[self.branch]
        return cartesian(ak.to_numpy(met.pt), ak.to_numpy(met.phi))


@dataclass(frozen=True)
class Network:
    """A DeepMET network, which travels with its weights file and is loaded once in each process."""

    name: str
    weights: str
    treatment: str = EXACT
    columns: tuple[str, ...] = ("phi", *FEATURES[:6], *CATEGORIES)

    def __getstate__(self) -> dict[str, Any]:
        """Everything, and the content of the weights file."""
        return vars(self) | {"weights": luggage.packed(self.weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same in another process, which may be on another machine."""
        vars(self).update(state | {"weights": luggage.unpacked(*state["weights"])})

    @property
    def model(self) -> Model:
        """The network."""
        return load_model(self.weights)

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has all inputs of the network."""
        pf_candidates.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV, with the selected leptons exact or weighted like any candidate."""
        if self.treatment != EXACT:
            return self._met(candidates, notes)
        rest, momentum = leave_out(candidates, selected)
        return self._met(rest, notes) - momentum

    def _met(self, candidates: Candidates, notes: Counter[str]) -> Vector:
        model = self.model
        if model.padding:
            over = int(np.count_nonzero(np.diff(candidates.offsets) > model.padding))
            notes[f"{self.name}: event with more than {model.padding} candidates, cut"] += over
        return model.evaluate(Inputs.prepared(candidates)).astype(np.float64)


@dataclass(frozen=True)
class Rebuilt:
    """An estimator on the candidates that a reconstruction makes of elements, in place of the file's."""

    name: str
    inner: WeightedSum | Network
    reconstruction: Reconstruction

    @property
    def columns(self) -> tuple[str, ...]:
        """Candidate columns that it needs."""
        return self.inner.columns

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has the elements."""
        self.reconstruction.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        return self.inner.met(events, candidates, selected, notes)


@dataclass(frozen=True)
class Mets:
    """What the estimators say of some events.

    met: (events, 2) pTmiss in GeV by estimator.
    notes: what was unusual, counted: candidates repaired, leptons without a candidate, events cut.
    """

    met: Mapping[str, Vector]
    notes: Mapping[str, int] = field(default_factory=dict)


def build(
    names: Iterable[str], weights: Mapping[str, str | Path] | None = None, leptons: str = EXACT
) -> list[Estimator]:
    """Estimators by name; the weights file of each network is read and checked here.

    weights: weights file by network name, ``mlpf`` for MLPF's, which ``mlpf_puppi`` and ``deepmet_mlpf`` use too;
    leptons: how networks treat the selected leptons (see ptmiss.leptons).
    """
    if leptons not in TREATMENTS:
        raise UnknownName("treatment of the leptons", leptons, TREATMENTS)
    weights = dict(weights or {})
    estimators = [_build(name, weights, leptons) for name in dict.fromkeys(names)]
    unused = weights.keys() - {used for e in estimators for used in _consulted(e.name)}
    if unused:
        raise OptionError(
            f"weights are given for {', '.join(sorted(unused))}, which no estimator is called: --estimators names those to run"
        )
    if not estimators:
        raise OptionError(f"no estimator is named; known: {', '.join(known(weights))}")
    return estimators


def _build(name: str, weights: Mapping[str, str | Path], leptons: str) -> Estimator:
    if parts := rebuilt(name):
        inner, made_by = parts
        return Rebuilt(name, _inner(name, inner, weights, leptons), reconstruction.build(made_by, weights.get(made_by)))
    if name in weights:
        return _network(name, weights[name], leptons)
    if name in SUMS:
        return WeightedSum(name)
    if name.startswith(STORED) and name != STORED:
        return Stored(name)
    if name in shipped():
        return _network(name, name, leptons)
    raise UnknownName("estimator", name, known(weights))


def rebuilt(name: str) -> tuple[str, str] | None:
    """What an estimator on rebuilt candidates is: the estimator of candidates, and the reconstruction; else None."""
    for made_by in RECONSTRUCTIONS:
        if name == made_by:
            return "pf", made_by
        if (rest := name.removeprefix(f"{made_by}_")) in SUMS and rest not in (name, "pf"):
            return rest, made_by
        if name.endswith(f"_{made_by}"):
            return name.removesuffix(f"_{made_by}"), made_by
    return None


def _inner(name: str, inner: str, weights: Mapping[str, str | Path], leptons: str) -> WeightedSum | Network:
    if inner in SUMS:
        return WeightedSum(inner)
    if name not in weights and inner not in weights and inner not in shipped():
        raise UnknownName("estimator", name, known(weights))
    return _network(name, weights.get(name, weights.get(inner, inner)), leptons)


def _consulted(name: str) -> tuple[str, ...]:
    """The names under which an estimator looks for weights files."""
    return (name, *(rebuilt(name) or ()))


def _network(name: str, model: str | Path, leptons: str) -> Network:
    path = str(weights_file(model))
    load_model(path)
    return Network(name, path, leptons)


def known(weights: Iterable[str] = ()) -> list[str]:
    """All names that an estimator can have."""
    networks = [name for name in dict.fromkeys((*shipped(), *weights)) if name not in RECONSTRUCTIONS]
    of_elements = (name for r in RECONSTRUCTIONS for name in (r, f"{r}_puppi", f"{r}_track"))
    return [*SUMS, *networks, *of_elements, f"<network>_{MLPF}", f"{STORED}<Branch>"]


def describe(estimator: Estimator) -> dict[str, str]:
    """What a manifest keeps of an estimator: its name and, of a network, weights file, hash and treatment of leptons."""
    if isinstance(estimator, Rebuilt):
        made_by = estimator.reconstruction
        described = {"reconstruction": made_by.name, "min_pt": f"{made_by.least:g}"}
        if made_by.weights:
            described |= {"mlpf_weights": made_by.weights, "mlpf_sha256": made_by.sha256}
        return describe(estimator.inner) | described | {"name": estimator.name}
    if not isinstance(estimator, Network):
        return {"name": estimator.name}
    digest = fingerprint(estimator.model.tensors)
    weights = {"weights": estimator.weights, "sha256": digest, "leptons": estimator.treatment}
    return {"name": estimator.name, **weights}


def reconstruction_of(estimator: Estimator) -> Reconstruction | None:
    """What makes an estimator's candidates; None for those of the file."""
    return estimator.reconstruction if isinstance(estimator, Rebuilt) else None


def evaluate(estimators: Sequence[Estimator], events: Any, leptons: ak.Array, vertex: str = DEFAULT) -> Mets:
    """Run all estimators on these events; candidates are read, or made of elements, once, for all that share them.

    leptons: jagged records with eta, phi and pdgId: the leptons that make the boson of each event; with dz (cm) for
    the vertex ``lepton`` (see ptmiss.vertex), which candidates of single-lepton events are then seen from.
    """
    notes: Counter[str] = Counter()
    none = Candidates({}, np.zeros(len(events) + 1, np.int64))
    met = {e.name: e.met(events, none, np.zeros(0, bool), notes) for e in estimators if not e.columns}
    notes.update(not_finite(met))
    with_candidates = [e for e in estimators if e.columns]
    for made_by in dict.fromkeys(map(reconstruction_of, with_candidates)):
        own = [e for e in with_candidates if reconstruction_of(e) == made_by]
        met |= _of_candidates(own, made_by, events, leptons, vertex, notes)
    return Mets({e.name: met[e.name] for e in estimators}, {what: int(n) for what, n in notes.items() if n})


def not_finite(met: Mapping[str, Vector]) -> dict[str, int]:
    """A note of each estimator: how many of its pTmiss are not finite."""
    finite = {name: np.isfinite(vector).all(axis=1) for name, vector in met.items()}
    return {f"{name}: pTmiss not finite": int(np.count_nonzero(~good)) for name, good in finite.items()}


def _of_candidates(
    estimators: Sequence[Estimator],
    made_by: Reconstruction | None,
    events: Any,
    leptons: ak.Array,
    vertex: str,
    notes: Counter[str],
) -> dict[str, Vector]:
    """PTmiss of estimators that share their candidates; an event without elements is noted once, and has none."""
    columns = {column for estimator in estimators for column in estimator.columns}
    columns |= needs(columns) if vertex == LEPTON else set()
    source = pf_candidates.read if made_by is None else made_by.candidates
    candidates = source(events, columns)
    of = "" if made_by is None else f"{made_by.name}: "
    notes.update({f"{of}candidate repaired: {what}": n for what, n in candidates.repaired.items()})
    blind = np.zeros(len(events), bool) if made_by is None else reconstruction.without_elements(events)
    notes[f"{of}event without elements, so without pTmiss"] = int(np.count_nonzero(blind))
    few = int(np.count_nonzero((np.diff(candidates.offsets) < FEW) & ~blind))
    notes[f"{of}event with fewer than {FEW} candidates: does the file keep all of them?"] = few
    if vertex == LEPTON:
        candidates = at_lepton(candidates, events, leptons, notes)
    selected = np.zeros(candidates.offsets[-1], bool)
    if any(_treatment(estimator) == EXACT for estimator in estimators):
        seen = leptons[(ak.local_index(leptons.eta) >= 0) & ~blind]
        selected, notes[f"{of}selected lepton without a candidate"] = matched(candidates, seen)
    met = in_parts(estimators, events, candidates, selected, notes)
    notes.update(not_finite(met))
    return {name: np.where(blind[:, np.newaxis], np.nan, vector) for name, vector in met.items()}


def _treatment(estimator: Estimator) -> str | None:
    """How an estimator treats the selected leptons, if it is a network."""
    inner = estimator.inner if isinstance(estimator, Rebuilt) else estimator
    return inner.treatment if isinstance(inner, Network) else None


def in_parts(
    estimators: Sequence[Estimator], events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
) -> dict[str, Vector]:
    """PTmiss of estimators that need candidates, a few events at a time: what they make beside stays in the cache."""
    pieces: dict[str, list[Vector]] = {e.name: [] for e in estimators}
    for where in candidates.parts(pf_candidates.PART):
        part = candidates.events(where)
        chosen = selected[candidates.offsets[where.start] : candidates.offsets[where.stop]]
        for estimator in estimators:
            pieces[estimator.name].append(estimator.met(events, part, chosen, notes))
    return {name: np.concatenate(piece) for name, piece in pieces.items()}
