"""Event files in chunks: every reconstruction of the same events, and of each what the tables need and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import truth
from ptmiss.candidates import BRANCHES, Candidates, good_vertices
from ptmiss.elements import Elements, Targets
from ptmiss.errors import OptionError
from ptmiss.estimators import NetworkEstimator, WeightedSum, reconstruction
from ptmiss.estimators.reconstruction import Reconstruction
from ptmiss.evaluation import jets, oracle, particles
from ptmiss.evaluation.jets import Pairs
from ptmiss.evaluation.met import ORACLE
from ptmiss.evaluation.oracle import Deposits
from ptmiss.evaluation.particles import Measured
from ptmiss.events import BEAMS, EventFile, inspect, read_chunks
from ptmiss.jets import ANTIKT, EE_GENKT, Jets
from ptmiss.recoil import cartesian
from ptmiss.typing import Vector

CHUNK = 100  # events
PF = "pf"
EVENTS_DRAWN = 2  # events that are drawn

Progress = Callable[[str, int, int], None]


class Shown(NamedTuple):
    """One event to draw: its elements, the candidates of each reconstruction, and MLPF's groups, one for each layer."""

    elements: Elements
    candidates: Mapping[str, Candidates]
    groups: Sequence[Any] = ()


@dataclass(frozen=True)
class Study:
    """What was measured of all events.

    met: (events, 2) pTmiss by estimator, GeV; generated: the same of the truth; npv: (events,); jets: by reconstruction
    and kind; particles: by reconstruction; parts: by reconstruction, see ptmiss.evaluation.oracle.by_type; deposits:
    None if a file has no trackless share of deposits; shown: a few events to draw; notes: what was unusual, counted.
    """

    met: Mapping[str, Vector]
    generated: Vector
    npv: NDArray
    jets: Mapping[tuple[str, str], Pairs]
    particles: Mapping[str, Measured]
    parts: Mapping[str, NDArray[np.float64]]
    deposits: Deposits | None
    shown: Sequence[Shown]
    notes: Mapping[str, int]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.npv)


def require_one_kind(files: Sequence[EventFile]) -> None:
    """Raise OptionError if some files are of electron beams and others not: their jets are not the same."""
    kinds = {f"{BEAMS}_px" in file.branches: file.path for file in files}
    if len(kinds) > 1:
        raise OptionError(f"{kinds[True]} is of electron beams and {kinds[False]} is not: evaluate each by itself")


def study(
    paths: Sequence[str],
    reconstructions: Sequence[Reconstruction],
    networks: Sequence[NetworkEstimator] = (),
    *,
    max_events: int | None = None,
    chunk: int = CHUNK,
    window: float = jets.WINDOW,
    progress: Progress | None = None,
) -> Study:
    """Measure the file's candidates, ``pf``, and each reconstruction on the events of some files.

    networks: of pTmiss, run on the candidates of PF and of ``mlpf``; max_events: of each file; chunk: events at a time;
    window: in which a generated jet looks for one.
    """
    files = [inspect(path) for path in paths]
    for file in files:
        truth.require(file.branches, file.path)
    require_one_kind(files)
    parts: list[Study] = []
    left_out = 0
    for events in read_chunks(files, chunk, max_events, progress, "evaluating"):
        blind = reconstruction.without_elements(events)
        left_out += int(np.count_nonzero(blind))
        if not blind.all():
            show = EVENTS_DRAWN - sum(len(part.shown) for part in parts)
            parts.append(measure(events[~blind], reconstructions, networks, window, show))
    if not parts:
        raise OptionError(f"no event with elements in {', '.join(paths)}")
    return with_oracle(concatenate(parts, Counter({"event without elements, left out": left_out})))


def with_oracle(found: Study) -> Study:
    """The same with the pTmiss of the oracle, if its deposits are known."""
    if found.deposits is None:
        return found
    return replace(found, met={**found.met, ORACLE: oracle.met(found.deposits)})


def measure(
    events: ak.Array,
    reconstructions: Sequence[Reconstruction],
    networks: Sequence[NetworkEstimator],
    window: float = jets.WINDOW,
    show: int = 0,
) -> Study:
    """The same of one chunk, (events,), all with elements; show: events to keep for a drawing."""
    notes: Counter[str] = Counter()
    if electrons := BEAMS in events.fields:
        networks = ()  # they were trained on the candidates of proton beams
    algorithm, kinds = (EE_GENKT, (jets.CHS,)) if electrons else (ANTIKT, jets.KINDS)
    elements, targets, npv = Elements.of_events(events), Targets.of_events(events), good_vertices(events)
    made = {PF: pf_candidates.read(events, BRANCHES)}
    found = {one.name: one.predict(elements, targets) for one in reconstructions}
    for one in reconstructions:
        candidates = reconstruction.candidates(elements, found[one.name], one.least)
        made[one.name] = reconstruction.add_puppi_weights(candidates, npv)
        notes.update({f"{one.name}: candidate repaired: {what}": n for what, n in candidates.repaired.items()})
    generated = _generated(events)
    return Study(
        met=mets(made, networks, notes, puppi=not electrons),
        generated=cartesian(ak.to_numpy(events.GenMET.pt), ak.to_numpy(events.GenMET.phi)),
        npv=npv,
        jets={
            (name, kind): jets.pairs(generated, jets.of_candidates(c, kind, algorithm), window)
            for name, c in made.items()
            for kind in kinds
        },
        particles={name: particles.measure(elements, targets, c, found.get(name)) for name, c in made.items()},
        parts={one.name: oracle.by_type(elements, found[one.name], one.least) for one in reconstructions},
        deposits=oracle.deposits(elements, targets),
        shown=[_shown(elements, made, i) for i in range(min(show, len(elements)))],
        notes=notes,
    )


def mets(
    made: Mapping[str, Candidates], networks: Sequence[NetworkEstimator], notes: Counter[str], puppi: bool = True
) -> dict[str, Vector]:
    """(events, 2) pTmiss of each estimator, GeV: all sums, plain and PUPPI; networks on candidates of PF and MLPF."""
    out: dict[str, Vector] = {}
    for name, candidates in made.items():
        none = np.zeros(candidates.offsets[-1], bool)
        out[name] = WeightedSum("pf").met(None, candidates, none, notes)
        if puppi:
            weighted = "puppi" if name == PF else f"{name}_puppi"
            out[weighted] = WeightedSum("puppi").met(None, candidates, none, notes)
        for network in networks if name in (PF, reconstruction.MLPF) else ():
            on = network.name if name == PF else f"{network.name}_{name}"
            out[on] = network.met(None, candidates, none, notes)
    return out


def _generated(events: ak.Array) -> Jets:
    record = events.GenJet
    pt, eta, phi, mass = (
        ak.to_numpy(ak.flatten(record[name])).astype(np.float64) for name in ("pt", "eta", "phi", "mass")
    )
    return Jets(pt, eta, phi, mass, ak.to_numpy(ak.num(record.pt)).astype(np.int64))


def _shown(elements: Elements, made: Mapping[str, Candidates], i: int) -> Shown:
    here = slice(i, i + 1)
    return Shown(elements.events(here), {name: candidates.events(here) for name, candidates in made.items()})


def concatenate(parts: Sequence[Study], notes: Counter[str]) -> Study:
    """What was measured of consecutive events, as one, with more notes."""
    shifts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    first = parts[0]
    return Study(
        met={name: np.concatenate([part.met[name] for part in parts]) for name in first.met},
        generated=np.concatenate([part.generated for part in parts]),
        npv=np.concatenate([part.npv for part in parts]),
        jets={key: _records([part.jets[key] for part in parts], shifts) for key in first.jets},
        particles={name: _particles([part.particles[name] for part in parts], shifts) for name in first.particles},
        parts={name: np.concatenate([part.parts[name] for part in parts]) for name in first.parts},
        deposits=_deposits([part.deposits for part in parts]),
        shown=[one for part in parts for one in part.shown],
        notes=sum((Counter(part.notes) for part in parts), notes),
    )


def _deposits(parts: Sequence[Deposits | None]) -> Deposits | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return Deposits(*(np.concatenate(columns) for columns in zip(*known, strict=True)))


def _particles(parts: Sequence[Measured], shifts: NDArray[np.int64]) -> Measured:
    counts = {
        key: particles.Counts(*(np.concatenate(c) for c in zip(*(part.counts[key] for part in parts), strict=True)))
        for key in parts[0].counts
    }
    ratios = {way: _records([part.ratios[way] for part in parts], shifts) for way in parts[0].ratios}
    confused = [part.confusion for part in parts if part.confusion is not None]
    return Measured(counts, ratios, np.concatenate(confused) if confused else None)


def _records(parts: Sequence[Any], shifts: NDArray[np.int64]) -> Any:
    """Records of flat arrays as one, the numbers of their events shifted."""
    moved = [part._replace(event=part.event + shift) for part, shift in zip(parts, shifts[:-1], strict=True)]
    return type(parts[0])(*(np.concatenate(columns) for columns in zip(*moved, strict=True)))
