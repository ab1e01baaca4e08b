"""Estimators evaluated on events; those that share candidates share the work of reading or making them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import hist
import numpy as np
import pandas as pd
import vector

from ptmiss import candidates as pf_candidates
from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import reconstruction
from ptmiss.estimators.reconstruction import Reconstruction
from ptmiss.leptons import EXACT, match
from ptmiss.networks.sketches import SKETCHES, add, book
from ptmiss.recoil import azimuth, magnitude
from ptmiss.significance import significance
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Mask, Vector
from ptmiss.vertex import DEFAULT, LEPTON, at_lepton, needs

from .base import Estimator, Selected
from .elements import OnReconstruction
from .network import NetworkEstimator
from .sums import PHOTON, mark_photons

MIN_CANDIDATES = 50
"""A collision has hundreds of candidates. NanoAOD v15 keeps a dozen of them, whose sum is no pTmiss."""


@dataclass(frozen=True)
class MetResult:
    """The pTmiss of some events by several estimators.

    Attributes:
        met: pTmiss in GeV, shape (events, 2), for each estimator by its name.
        notes: counts of what was unusual: repaired candidates, leptons without a candidate, truncated events.
        varied: of each estimator with systematics, pTmiss with each by its name.
        covariance: (events, 2, 2) of pTmiss in GeV², of each estimator with a significance.
        sketches: what networks read, of a few candidates (see ptmiss.networks.sketches); None without networks.
    """

    met: Mapping[str, Vector]
    notes: Mapping[str, int] = field(default_factory=dict)
    varied: Mapping[str, Mapping[str, Vector]] = field(default_factory=dict)
    covariance: Mapping[str, Array] = field(default_factory=dict)
    sketches: hist.Hist | None = None

    def record(self, estimator: str) -> ak.Array:
        """The pTmiss of an estimator as vectors with pt (GeV) and phi, to assign to ``events``."""
        if estimator not in self.met:
            raise UnknownName("estimator in the result", estimator, self.met)
        vectors = self.met[estimator]
        polar = {"pt": magnitude(vectors), "phi": azimuth(vectors)}
        return ak.zip(polar, with_name="Momentum2D", behavior=vector.backends.awkward.behavior)

    def significance(self, estimator: str) -> Array:
        """(events,) significance of an estimator's pTmiss."""
        if estimator not in self.covariance:
            raise UnknownName("estimator with a significance", estimator, self.covariance)
        return significance(self.met[estimator], self.covariance[estimator])

    def sketch(self) -> dict[str, hist.Hist]:
        """The sketches as an output of a processor; nothing without networks."""
        return {} if self.sketches is None else {SKETCHES: self.sketches}

    def table(self) -> pd.DataFrame:
        """The pTmiss of each event by each estimator, GeV."""
        return pd.DataFrame({name: magnitude(vectors) for name, vectors in self.met.items()})

    def __repr__(self) -> str:
        notes = "".join(f"\n{what}: {count}" for what, count in self.notes.items())
        return f"pTmiss of {len(self.table())} events by {', '.join(self.met)}{notes}"

    def _repr_html_(self) -> str:
        shown = self.table().describe().rename_axis("pTmiss, GeV").round(1)
        return str(shown.to_html()) + "".join(f"<p>{what}: {count}</p>" for what, count in self.notes.items())

    def of(self, estimator: str, chosen: Mask) -> dict[str, Vector]:
        """(chosen events, 2) pTmiss of an estimator by systematic, GeV, ``nominal`` first; chosen: (events,)."""
        every = {NOMINAL: self.met[estimator], **self.varied.get(estimator, {})}
        return {systematic: met[chosen] for systematic, met in every.items()}


def evaluate(
    estimators: Sequence[Estimator],
    events: Any,
    leptons: ak.Array,
    vertex: str = DEFAULT,
    radiation: ak.Array | None = None,
) -> MetResult:
    """Run estimators on events. Estimators that share candidates also share the work of reading or making them.

    Args:
        estimators: what ``make_estimators`` gives, or estimators of your own.
        events: coffea's NanoEvents.
        leptons: jagged records with eta, phi (rad) and pdgId: the leptons of each event's boson. The vertex ``lepton``
            also needs dz (cm).
        vertex: ``default``, or ``lepton`` for the vertex of the lepton in single-lepton events (see ptmiss.vertex).
        radiation: jagged photons that the leptons radiated, with pt, eta, phi and pdgId; left out like the leptons.

    Returns:
        pTmiss in GeV, shape (events, 2), for each estimator, and the notes.

    Raises:
        ColumnError: the events lack a column that an estimator needs.
        OptionError: an estimator is a name alone, or the leptons are no records.
    """
    check_arguments(estimators, leptons)
    notes: Counter[str] = Counter()
    none = Candidates({}, np.zeros(len(events) + 1, np.int64))
    nobody = np.zeros(0, bool)
    met = {e.name: e.variations(events, none, nobody, notes) for e in estimators if not e.columns}
    covariance = {e.name: e.covariance(events, none, nobody) for e in estimators if e.significance and not e.columns}
    notes.update(count_not_finite(nominal(met)))
    with_candidates = [e for e in estimators if e.columns]
    sketches = book(networks) if (networks := [e.name for e in estimators if network_of(e)]) else None
    for made_by in dict.fromkeys(e.reconstruction for e in with_candidates):
        own = [e for e in with_candidates if e.reconstruction == made_by]
        found, covariances = _on_candidates(own, made_by, events, leptons, vertex, notes, sketches, radiation)
        met, covariance = met | found, covariance | covariances
    met = {e.name: met[e.name] for e in estimators}
    varied = {name: {s: m for s, m in mets.items() if s != NOMINAL} for name, mets in met.items() if len(mets) > 1}
    return MetResult(nominal(met), {what: int(n) for what, n in notes.items() if n}, varied, covariance, sketches)


def network_of(estimator: Estimator) -> NetworkEstimator | None:
    """The network that weighs an estimator's candidates; None if none does."""
    inner = estimator.inner if isinstance(estimator, OnReconstruction) else estimator
    return inner if isinstance(inner, NetworkEstimator) else None


def nominal(met: Mapping[str, Mapping[str, Vector]]) -> dict[str, Vector]:
    """The nominal of each estimator's (events, 2) pTmiss by systematic."""
    return {name: mets[NOMINAL] for name, mets in met.items()}


def check_arguments(estimators: Iterable[Any], leptons: Any) -> None:
    """Raise OptionError unless these are estimators and leptons that ``evaluate`` takes."""
    for given in estimators:
        if not isinstance(given, Estimator):
            raise OptionError(f"expected an estimator, not {given!r}; make_estimators([{given!r}]) makes one of a name")
    missing = [name for name in ("eta", "phi", "pdgId") if name not in getattr(leptons, "fields", ())]
    if missing:
        raise OptionError(
            f"leptons: expected jagged records with eta, phi and pdgId, such as events.Muon; "
            f"{type(leptons).__name__} has no {', '.join(missing)}"
        )


def count_not_finite(met: Mapping[str, Vector]) -> dict[str, int]:
    """A note for each estimator: the number of events whose pTmiss, (events, 2), is not finite."""
    finite = {name: np.isfinite(vector).all(axis=1) for name, vector in met.items()}
    return {f"{name}: pTmiss not finite": int(np.count_nonzero(~good)) for name, good in finite.items()}


def _on_candidates(
    estimators: Sequence[Estimator],
    made_by: Reconstruction | None,
    events: Any,
    leptons: ak.Array,
    vertex: str,
    notes: Counter[str],
    sketches: hist.Hist | None,
    radiation: ak.Array | None,
) -> tuple[dict[str, dict[str, Vector]], dict[str, Array]]:
    """The (events, 2) pTmiss by systematic, GeV, of estimators that share their candidates; NaN without elements.

    And the (events, 2, 2) covariance of those that have one, GeV².
    """
    columns = {column for estimator in estimators for column in estimator.columns}
    columns |= needs(columns) if vertex == LEPTON else set()
    out = leptons if radiation is None else _together(leptons, radiation)
    photons = bool(ak.any(out.pdgId == PHOTON, axis=None))
    columns |= {"pdgId", "pt", "eta", "phi"} if photons else set()
    source = pf_candidates.read if made_by is None else made_by.candidates
    candidates = source(events, columns)
    of = "" if made_by is None else f"{made_by.name}: "
    notes.update({f"{of}candidate repaired: {what}": n for what, n in candidates.repaired.items()})
    blind = np.zeros(len(events), bool) if made_by is None else reconstruction.without_elements(events)
    notes[f"{of}event without elements, so without pTmiss"] = int(np.count_nonzero(blind))
    few = int(np.count_nonzero((np.diff(candidates.offsets) < MIN_CANDIDATES) & ~blind))
    notes[f"{of}event with fewer than {MIN_CANDIDATES} candidates: does the file keep all of them?"] = few
    if made_by is None:
        check_whole(events, few)
    if vertex == LEPTON:
        candidates = at_lepton(candidates, events, leptons, notes)
    selected = np.zeros(candidates.offsets[-1], bool)
    if photons or any(estimator.treatment == EXACT or estimator.significance for estimator in estimators):
        seen = out[(ak.local_index(out.eta) >= 0) & ~blind]
        selected, notes[f"{of}selected lepton without a candidate"] = match(candidates, seen)
    candidates = mark_photons(candidates, selected) if photons else candidates
    for estimator in estimators:
        if network := network_of(estimator):
            add(sketches, estimator.name, network.sketch(candidates, selected))
    met = vary_in_parts(estimators, events, candidates, selected, notes)
    notes.update(count_not_finite(nominal(met)))
    covariances = {e.name: covariance_in_parts(e, events, candidates, selected) for e in estimators if e.significance}
    seen_whole = {
        name: {systematic: np.where(blind[:, np.newaxis], np.nan, vector) for systematic, vector in mets.items()}
        for name, mets in met.items()
    }
    return seen_whole, covariances


def _together(leptons: ak.Array, photons: ak.Array) -> ak.Array:
    """(events, var) leptons and photons, as what is looked for among the candidates."""
    both = ({name: part[name] for name in ("eta", "phi", "pdgId")} for part in (leptons, photons))
    return ak.concatenate([ak.zip(columns) for columns in both], axis=1)


def check_whole(events: Any, few: int) -> None:
    """Raise ColumnError if most of the events have few of NanoAOD's own candidates: their sum is no pTmiss."""
    if pf_candidates.collection({f"{name}_pt" for name in events.fields}) == pf_candidates.OF_NANOAOD and (
        few > len(events) / 2
    ):
        raise ColumnError(
            f"{few} of {len(events)} events have fewer than {MIN_CANDIDATES} candidates: NanoAOD keeps those of large "
            "jets alone, and their sum is no pTmiss; the stored METs are whole: --estimators stored.PuppiMET"
        )


def evaluate_in_parts(
    estimators: Sequence[Estimator], events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
) -> dict[str, Vector]:
    """The (events, 2) pTmiss of estimators on candidates, GeV.

    A few events are processed at a time, so that intermediate arrays stay in the cache. selected: (candidates,).
    """
    return nominal(vary_in_parts(estimators, events, candidates, selected, notes))


def vary_in_parts(
    estimators: Sequence[Estimator], events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
) -> dict[str, dict[str, Vector]]:
    """The same by systematic, with all variations of each estimator."""
    pieces: dict[str, list[dict[str, Vector]]] = {e.name: [] for e in estimators}
    for where, part, chosen in _parts(candidates, selected):
        for estimator in estimators:
            pieces[estimator.name].append(estimator.variations(events[where], part, chosen, notes))
    return {name: {s: np.concatenate([p[s] for p in made]) for s in made[0]} for name, made in pieces.items()}


def covariance_in_parts(estimator: Estimator, events: Any, candidates: Candidates, selected: Selected) -> Array:
    """The (events, 2, 2) covariance of an estimator on candidates, GeV², a few events at a time."""
    pieces = [estimator.covariance(events[where], part, chosen) for where, part, chosen in _parts(candidates, selected)]
    return np.concatenate(pieces) if pieces else np.zeros((0, 2, 2))


def _parts(candidates: Candidates, selected: Selected) -> Iterator[tuple[slice, Candidates, Selected]]:
    """A few events at a time: which, their candidates, and which of these are selected."""
    for where in candidates.parts(pf_candidates.PART):
        chosen = selected[candidates.offsets[where.start] : candidates.offsets[where.stop]]
        yield where, candidates.events(where), chosen
