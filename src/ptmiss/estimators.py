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
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import files, reconstruction
from ptmiss.candidates import CATEGORIES, Candidates
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.leptons import EXACT, TREATMENTS, leave_out, matched
from ptmiss.networks.inputs import FEATURES, Inputs
from ptmiss.networks.registry import Model, load_model, shipped, weights_file
from ptmiss.networks.weights import fingerprint
from ptmiss.recoil import Vector, cartesian
from ptmiss.reconstruction import RECONSTRUCTIONS, Reconstruction
from ptmiss.vertex import DEFAULT, LEPTON, at_lepton, needs

STORED = "stored."
Selected = NDArray[np.bool_]
MIN_CANDIDATES = (
    50  # an event of a collider has hundreds of candidates; NanoAOD v15 keeps a dozen, and their sum is no pTmiss
)


class Estimator:
    """What every estimator is: a class of your own says its name and its pTmiss; the rest has defaults.

    name: on the command line, in tables and in legends. columns: candidate columns that it needs; none if it needs no
    candidates. treatment: of the selected leptons (see ptmiss.leptons); None where they are like any candidate.
    reconstruction: what makes its candidates; None for those of the file.
    """

    name: str
    columns: tuple[str, ...] = ()
    treatment: str | None = None
    reconstruction: Reconstruction | None = None

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has the candidate columns."""
        if self.columns:
            pf_candidates.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV; what was unusual is counted in the notes.

        selected: (candidates,) mask of those that are the selected leptons.
        """
        raise NotImplementedError(f"estimator {self.name!r} has no method met")

    def manifest_entry(self) -> dict[str, Any]:
        """What a manifest keeps of it, and chunk addresses depend on: its name, and the hash of whatever it reads."""
        return {"name": self.name}


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
class WeightedSum(Estimator):
    """Minus the sum of the candidates' momenta, each with a weight of its own (see SUMS)."""

    name: str

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that it needs."""
        return SUMS[self.name][1]

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        from ptmiss.networks import kernels

        return -kernels.sum_momenta(SUMS[self.name][0](candidates), candidates.momentum, candidates.offsets)


@dataclass(frozen=True)
class Stored(Estimator):
    """A MET that the file stores under a branch name."""

    name: str

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
class NetworkEstimator(Estimator):
    """A DeepMET network, which travels with its weights file and is loaded once in each process."""

    name: str
    weights: str
    treatment: str | None = EXACT
    columns: tuple[str, ...] = ("phi", *FEATURES[:6], *CATEGORIES)

    def __getstate__(self) -> dict[str, Any]:
        """Everything, and the content of the weights file."""
        return vars(self) | {"weights": files.portable(self.weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The same in another process, which may be on another machine."""
        vars(self).update(state | {"weights": files.unportable(*state["weights"])})

    @property
    def model(self) -> Model:
        """The network."""
        return load_model(self.weights)

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

    def manifest_entry(self) -> dict[str, Any]:
        """Its name, weights file, their hash, and its treatment of leptons."""
        digest = fingerprint(self.model.tensors)
        return {"name": self.name, "weights": self.weights, "sha256": digest, "leptons": self.treatment}


@dataclass(frozen=True)
class OnReconstruction(Estimator):
    """An estimator on the candidates that a reconstruction makes of elements, in place of the file's."""

    name: str
    inner: Estimator
    reconstruction: Reconstruction

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that it needs."""
        return self.inner.columns

    @property
    def treatment(self) -> str | None:  # type: ignore[override]
        """That of the estimator of candidates."""
        return self.inner.treatment

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has the elements."""
        self.reconstruction.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        return self.inner.met(events, candidates, selected, notes)

    def manifest_entry(self) -> dict[str, Any]:
        """That of the estimator of candidates, and of what makes them."""
        return self.inner.manifest_entry() | self.reconstruction.manifest_entry() | {"name": self.name}


@dataclass(frozen=True)
class MetResult:
    """What the estimators say of some events.

    met: (events, 2) pTmiss in GeV by estimator.
    notes: what was unusual, counted: candidates repaired, leptons without a candidate, events cut.
    """

    met: Mapping[str, Vector]
    notes: Mapping[str, int] = field(default_factory=dict)


def make_estimators(
    wanted: Iterable[str], weights: Mapping[str, str | Path] | None = None, leptons: str = EXACT
) -> list[Estimator]:
    """Estimators by name; the weights file of each network is read and checked here.

    weights: weights file by network name, ``mlpf`` for MLPF's, which ``mlpf_puppi`` and ``deepmet_mlpf`` use too;
    leptons: how networks treat the selected leptons (see ptmiss.leptons).
    """
    if leptons not in TREATMENTS:
        raise UnknownName("treatment of the leptons", leptons, TREATMENTS)
    weights = dict(weights or {})
    estimators = [_build(name, weights, leptons) for name in dict.fromkeys(wanted)]
    unused = weights.keys() - {used for e in estimators for used in _consulted(e.name)}
    if unused:
        raise OptionError(
            f"weights are given for {', '.join(sorted(unused))}, which no estimator is called: --estimators names those to run"
        )
    if not estimators:
        raise OptionError(f"no estimator is named; known: {', '.join(names(weights))}")
    return estimators


def _build(name: str, weights: Mapping[str, str | Path], leptons: str) -> Estimator:
    if parts := reconstruction.parse(name):
        inner, made_by = parts
        return OnReconstruction(
            name, _inner(name, inner, weights, leptons), reconstruction.build(made_by, weights.get(made_by))
        )
    if name in weights:
        return _network(name, weights[name], leptons)
    if name in SUMS:
        return WeightedSum(name)
    if name.startswith(STORED) and name != STORED:
        return Stored(name)
    if name in shipped():
        return _network(name, name, leptons)
    raise UnknownName("estimator", name, names(weights))


def _inner(name: str, inner: str, weights: Mapping[str, str | Path], leptons: str) -> Estimator:
    if inner in SUMS:
        return WeightedSum(inner)
    if name not in weights and inner not in weights and inner not in shipped():
        raise UnknownName("estimator", name, names(weights))
    return _network(name, weights.get(name, weights.get(inner, inner)), leptons)


def _consulted(name: str) -> tuple[str, ...]:
    """The names under which an estimator looks for weights files."""
    return (name, *(reconstruction.parse(name) or ()))


def _network(name: str, model: str | Path, leptons: str) -> NetworkEstimator:
    path = str(weights_file(model))
    load_model(path)
    return NetworkEstimator(name, path, leptons)


def names(weights: Iterable[str] = ()) -> list[str]:
    """All names that an estimator can have."""
    networks = [name for name in dict.fromkeys((*shipped(), *weights)) if name not in RECONSTRUCTIONS]
    return [*SUMS, *networks, *reconstruction.estimator_names(), f"{STORED}<Branch>"]


def evaluate(estimators: Sequence[Estimator], events: Any, leptons: ak.Array, vertex: str = DEFAULT) -> MetResult:
    """Run all estimators on these events; candidates are read, or made of elements, once, for all that share them.

    leptons: jagged records with eta, phi and pdgId: the leptons that make the boson of each event; with dz (cm) for
    the vertex ``lepton`` (see ptmiss.vertex), which candidates of single-lepton events are then seen from.
    """
    notes: Counter[str] = Counter()
    none = Candidates({}, np.zeros(len(events) + 1, np.int64))
    met = {e.name: e.met(events, none, np.zeros(0, bool), notes) for e in estimators if not e.columns}
    notes.update(not_finite(met))
    with_candidates = [e for e in estimators if e.columns]
    for made_by in dict.fromkeys(e.reconstruction for e in with_candidates):
        own = [e for e in with_candidates if e.reconstruction == made_by]
        met |= _on_candidates(own, made_by, events, leptons, vertex, notes)
    return MetResult({e.name: met[e.name] for e in estimators}, {what: int(n) for what, n in notes.items() if n})


def not_finite(met: Mapping[str, Vector]) -> dict[str, int]:
    """A note of each estimator: how many of its pTmiss are not finite."""
    finite = {name: np.isfinite(vector).all(axis=1) for name, vector in met.items()}
    return {f"{name}: pTmiss not finite": int(np.count_nonzero(~good)) for name, good in finite.items()}


def _on_candidates(
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
    few = int(np.count_nonzero((np.diff(candidates.offsets) < MIN_CANDIDATES) & ~blind))
    notes[f"{of}event with fewer than {MIN_CANDIDATES} candidates: does the file keep all of them?"] = few
    if vertex == LEPTON:
        candidates = at_lepton(candidates, events, leptons, notes)
    selected = np.zeros(candidates.offsets[-1], bool)
    if any(estimator.treatment == EXACT for estimator in estimators):
        seen = leptons[(ak.local_index(leptons.eta) >= 0) & ~blind]
        selected, notes[f"{of}selected lepton without a candidate"] = matched(candidates, seen)
    met = in_parts(estimators, events, candidates, selected, notes)
    notes.update(not_finite(met))
    return {name: np.where(blind[:, np.newaxis], np.nan, vector) for name, vector in met.items()}


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
