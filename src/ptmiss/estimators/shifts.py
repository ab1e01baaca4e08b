"""Systematics of an estimator that is a sum over candidates, from the candidates themselves.

A systematic moves the momentum of some candidates by the uncertainty of their scale (see ptmiss.scales), and the
estimator runs again:

* ``charged_hadrons``, ``photons``, ``neutral_hadrons``, ``hf``, ``electrons``, ``muons``: all candidates of one kind
* ``jes``, ``jes_<Source>``: hadrons and photons in jets, by the uncertainty of the jet's energy: all sources or one
* ``unclustered``: hadrons and photons outside of jets by their resolution, as CMS shifts the unclustered energy

``jes`` with ``unclustered``, and the kinds of hadrons and photons, are two ways to take the same energy apart: an
estimator has one of them. Leptons, and a photon that is the boson, belong to no jet. PUPPI weights follow: those of the
file move by as much as ptmiss.candidates.puppi says.

If a candidate's term in the sum depends on the candidate alone, only those that changed are weighed again. An estimator
that looks at a candidate's neighbours weighs all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import Candidates, good_vertices, puppi
from ptmiss.corrections import jets as energies
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.files import digest
from ptmiss.leptons import EXACT
from ptmiss.scales import DEFAULT, HADRONS_AND_PHOTONS, KINDS, LEPTONS, SIGNS, Scales, is_kind, resolution
from ptmiss.segments import Offsets, from_counts, sum_by_event
from ptmiss.significance import COLUMNS, Noise, Parts, covariance, parts
from ptmiss.systematics import NOMINAL
from ptmiss.truth import is_data
from ptmiss.typing import Array, Mask, Vector

from .base import Estimator, Selected

UNCLUSTERED = "unclustered"
BOSON = "isBoson"  # column of a photon that is the boson
SYSTEMATICS = (*KINDS, energies.JES, UNCLUSTERED)
RADIUS, MIN_JET_PT = 0.4, 15.0
JET_BRANCHES = ("Jet_pt", "Jet_eta", "Jet_phi")
LEAST_CHANGE = 1e-3  # of a PUPPI weight: a smaller one is none


class CandidateSum(Estimator):
    """An estimator whose pTmiss is a function of a sum over candidates, each of which has a term of its own.

    systematics: see the module; scales: uncertainties of the kinds; jerc: JSON of the jets' energy, for ``jes``;
    noise: numbers of the covariance, if it is wanted.
    """

    systematics: tuple[str, ...] = ()
    scales: Scales = DEFAULT
    jerc: str = ""
    noise: Noise | None = None
    own_columns: tuple[str, ...] = ()

    @property
    def sees_neighbours(self) -> bool:
        """Whether a candidate's term depends on other candidates too."""
        return False

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that it needs, those of its systematics and its significance included."""
        of_puppi = ("charge", "fromPV", "dz") if self.systematics and "puppiWeight" in self.own_columns else ()
        kinematics = COLUMNS if self.systematics or self.significance else ()
        return tuple(dict.fromkeys((*self.own_columns, *kinematics, *of_puppi)))

    @property
    def significance(self) -> bool:  # type: ignore[override]
        """Whether its covariance is wanted."""
        return self.noise is not None

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless the file has the candidates' columns, and jets for systematics that need them."""
        super().require(branches, path)
        require_jets(self, branches, path)

    def require_era(self, metadata: Mapping[str, Any], simulated: bool) -> None:
        """Raise an error unless the file of the jets' energy has the era."""
        if simulated and (of_jets := [name for name in self.systematics if energies.is_scale(name)]):
            energies.load(self.jerc, "mc", metadata.get("era")).require(of_jets)

    def vary(self, systematics: Sequence[str], jerc: str = "") -> Self:
        """With these systematics; ``kinds`` stands for those of all kinds; jerc: JSON of the jets' energy."""
        wanted = [name for given in systematics for name in (KINDS if given == "kinds" else [given])]
        of_jets = [name for name in wanted if energies.is_scale(name)]
        for name in wanted:
            if name not in SYSTEMATICS and name not in of_jets:
                raise UnknownName(f"systematic of {self.name}", name, ("kinds", *SYSTEMATICS))
        require_apart(wanted, self.name)
        if of_jets and not jerc:
            raise OptionError(f"systematic {of_jets[0]!r} of {self.name} needs a file with the energy of jets: --jerc")
        chosen = tuple(energies.expand(wanted, jerc))
        return replace(self, systematics=chosen, jerc=jerc if of_jets else "")  # type: ignore[type-var]

    def manifest_entry(self) -> dict[str, Any]:
        """Its name, its systematics, and the file of the jets' energy with its hash."""
        of_jets = {"jerc": {"path": self.jerc, "sha256": digest(Path(self.jerc))}} if self.jerc else {}
        noise = {"significance": self.noise._asdict()} if self.noise else {}
        return super().manifest_entry() | of_jets | noise

    def prepare(self, candidates: Candidates) -> Any:
        """What the terms are made of, which has offsets (events + 1,)."""
        raise NotImplementedError

    def weigh(self, prepared: Any) -> NDArray:
        """(candidates, m) what an estimator gives to each candidate."""
        raise NotImplementedError

    def add(self, prepared: Any, weights: NDArray) -> Array:
        """(events, k) sums of the terms."""
        raise NotImplementedError

    def total(self, sums: Array, candidates: Offsets) -> Vector:
        """(events, 2) pTmiss of the sums, GeV; candidates: offsets of all of them, (events + 1,)."""
        raise NotImplementedError

    def momentum_weights(self, weights: NDArray) -> NDArray:
        """(candidates,) factor with which minus each momentum counts in pTmiss; weights: those of ``weigh``."""
        return weights

    def with_significance(self, noise: Mapping[str, Noise]) -> Self:
        """With a covariance, by the numbers of its name; UnknownName if there are none."""
        if self.name not in noise:
            raise UnknownName("estimator with numbers for its significance", self.name, noise)
        return replace(self, noise=noise[self.name])  # type: ignore[type-var]

    def covariance(self, events: Any, candidates: Candidates, selected: Selected) -> Array:
        """(events, 2, 2) covariance of pTmiss, GeV²."""
        return covariance(self.covariance_parts(candidates, selected), self.noise or Noise())

    def covariance_parts(self, candidates: Candidates, selected: Selected) -> Parts:
        """What the covariance of pTmiss is made of, see ptmiss.significance; candidates with its columns and COLUMNS.

        selected: (candidates,) mask of the selected leptons.
        """
        exact = selected if self.treatment == EXACT else np.zeros_like(selected)
        weight = np.where(exact, 1.0, 0.0)
        counted = self.counted(candidates, ~exact, Counter())
        weight[counted] = self.momentum_weights(self.weigh(self.prepare(candidates.keep(counted))))
        return parts(candidates, weight, selected)

    def variations(
        self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
    ) -> dict[str, Vector]:
        """(events, 2) pTmiss in GeV, nominal and varied; data are not varied."""
        if not self.systematics or is_data(events):
            return {NOMINAL: self.met(events, candidates, selected, notes)}
        out = selected if self.treatment == EXACT else np.zeros_like(selected)
        base = Base(self, candidates, self.counted(candidates, ~out, notes), out, events)
        met = {NOMINAL: base.met()}
        return met | {
            f"{name}_{way}": base.met_with(name, sign) for name in self.systematics for way, sign in SIGNS.items()
        }

    def counted(self, candidates: Candidates, wanted: Mask, notes: Counter[str]) -> Mask:
        """(candidates,) those of the wanted ones, (candidates,), that it takes: all, unless there is a limit."""
        return wanted


def require_apart(systematics: Sequence[str], estimator: str) -> None:
    """Raise OptionError if two of the systematics shift the same energy."""
    kinds = [name for name in systematics if name in HADRONS_AND_PHOTONS]
    others = [name for name in systematics if name == UNCLUSTERED or energies.is_scale(name)]
    if kinds and others:
        raise OptionError(
            f"systematics {kinds[0]!r} and {others[0]!r} of {estimator} shift the same candidates, which would count "
            "twice: expected kinds of candidates, or jes and unclustered"
        )


def require_jets(estimator: CandidateSum, branches: Collection[str], path: str) -> None:
    """Raise ColumnError unless the file has jets, if a systematic needs them."""
    needed = [name for name in estimator.systematics if name == UNCLUSTERED or energies.is_scale(name)]
    if needed and (missing := [branch for branch in JET_BRANCHES if branch not in branches]):
        raise ColumnError(
            f"systematic {needed[0]!r} of {estimator.name!r} needs {', '.join(missing)}, which {path} does not have"
        )


@dataclass(frozen=True)
class Base:
    """Some events as they are, from which variations start.

    counted: (candidates,) mask of those that the estimator weighs; exact: of leptons that count as they are.
    """

    estimator: CandidateSum
    candidates: Candidates
    counted: Mask
    exact: Mask
    events: Any

    @cached_property
    def prepared(self) -> Any:
        """The counted candidates as the estimator takes them."""
        return self.estimator.prepare(self.candidates.keep(self.counted))

    @cached_property
    def weights(self) -> NDArray:
        """(counted candidates, m)."""
        return self.estimator.weigh(self.prepared)

    @cached_property
    def sums(self) -> Array:
        """(events, k) sums of the terms."""
        return self.estimator.add(self.prepared, self.weights)

    @cached_property
    def leptons(self) -> Candidates:
        """The leptons that count as they are."""
        return self.candidates.keep(self.exact)

    @cached_property
    def puppi(self) -> dict[tuple[str, float], NDArray[np.float32]]:
        """(candidates,) changes of PUPPI weights by systematic and sign, all of them found at once.

        A shift of leptons is too small to change any.
        """
        columns, pt = self.candidates.columns, self.candidates["pt"]
        origin = puppi.charged_origin(columns["charge"], columns["fromPV"], columns["dz"])
        keys = [key for key in self.factors if key[0] not in LEPTONS]
        every = np.stack([pt, *(pt * self.factors[key] for key in keys)])
        npv = good_vertices(self.events)
        weights = puppi.weights_of_all(every, columns["eta"], columns["phi"], origin, self.candidates.offsets, npv)
        change = weights[1:] - weights[0]
        change[np.abs(change) < LEAST_CHANGE] = 0
        return dict(zip(keys, change, strict=True))

    @cached_property
    def factors(self) -> dict[tuple[str, float], Array]:
        """(candidates,) by which momenta are multiplied, by systematic and sign."""
        sizes = {name: uncertainty(name, self) for name in self.estimator.systematics}
        return {(name, sign): np.maximum(1 + sign * sizes[name], 0.0) for name in sizes for sign in SIGNS.values()}

    @cached_property
    def hadronic(self) -> Mask:
        """(candidates,) hadrons and photons, but for a photon that is the boson."""
        columns = self.candidates.columns
        found = np.logical_or.reduce([is_kind(kind, columns) for kind in HADRONS_AND_PHOTONS])
        return np.asarray(found & ~columns.get(BOSON, np.zeros_like(found)))

    @cached_property
    def jet(self) -> NDArray[np.int64]:
        """(candidates,) row of the jet that each is in, among all jets of these events; -1 for none."""
        from ptmiss.networks import kernels

        jets = self.jets
        own = (self.candidates[name] for name in ("eta", "phi"))
        return kernels.nearest(*own, self.candidates.offsets, jets["eta"], jets["phi"], jets["offsets"], RADIUS)

    @cached_property
    def jets(self) -> dict[str, NDArray]:
        """Flat columns (jets,) pt, eta, phi in GeV and rad, and offsets (events + 1,), of jets above MIN_JET_PT."""
        jets = self.events.Jet
        jets = jets[jets.pt > MIN_JET_PT]
        flat = {name: ak.to_numpy(ak.flatten(jets[name])).astype(np.float64) for name in ("pt", "eta", "phi")}
        return flat | {"offsets": from_counts(ak.to_numpy(ak.num(jets.pt)))}

    def met(self) -> Vector:
        """(events, 2) pTmiss as it is, GeV."""
        return self._total(self.sums, np.ones(len(self.exact)))

    def met_with(self, name: str, sign: float) -> Vector:
        """(events, 2) pTmiss with a systematic, GeV; sign: 1 for up, -1 for down."""
        factor, weight = self.factors[name, sign], self._weight_change(name, sign)
        changed = self.counted & ((factor != 1) if weight is None else (factor != 1) | (weight != 0))
        if self.estimator.sees_neighbours:
            changed = self.counted
        new = self.estimator.prepare(moved(self.candidates.keep(changed), factor[changed], weight, changed))
        rows = changed[self.counted]
        old = self.prepared.keep(rows)
        before = self.estimator.add(old, self.weights[rows])
        return self._total(self.sums + self.estimator.add(new, self.estimator.weigh(new)) - before, factor)

    def _weight_change(self, name: str, sign: float) -> NDArray[np.float32] | None:
        """(candidates,) change of the PUPPI weights; None if there is none."""
        return self.puppi.get((name, sign)) if "puppiWeight" in self.estimator.own_columns else None

    def _total(self, sums: Array, factor: Array) -> Vector:
        momenta = self.leptons.momentum * factor[self.exact, np.newaxis]
        return self.estimator.total(sums, self.prepared.offsets) - sum_by_event(momenta, self.leptons.offsets)


def moved(kept: Candidates, factor: Array, change: NDArray[np.float32] | None, mask: Mask) -> Candidates:
    """Some candidates with pT multiplied by a factor, (kept,), and PUPPI weights changed, (all,); mask: (all,)."""
    columns = dict(kept.columns) | {"pt": (kept["pt"] * factor).astype(np.float32)}
    if change is not None:
        columns["puppiWeight"] = np.clip(kept["puppiWeight"] + change[mask], 0, 1)
    return replace(kept, columns=columns)


def uncertainty(name: str, base: Base) -> Array:
    """(candidates,) relative uncertainty of the momenta by one systematic."""
    if name in KINDS:
        return base.estimator.scales.of(name, base.candidates.columns)
    if name == UNCLUSTERED:
        return np.where(base.hadronic & (base.jet < 0), resolution(base.candidates.columns), 0.0)
    era = (getattr(base.events, "metadata", None) or {}).get("era")
    given = {"JetPt": base.jets["pt"], "JetEta": base.jets["eta"]}
    size = energies.load(base.estimator.jerc, "mc", era).uncertainty(energies.source_of(name), given)
    return np.where(base.hadronic & (base.jet >= 0), np.append(size, 0.0)[base.jet], 0.0)
