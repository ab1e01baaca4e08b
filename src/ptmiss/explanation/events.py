"""Events with a boson, as an explanation needs them: candidates without the boson's, and the boson."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss import selections as select
from ptmiss.candidates import Candidates
from ptmiss.errors import OptionError
from ptmiss.estimators.shifts import CandidateSum
from ptmiss.events import event_weight, expand, inspect, read_chunks
from ptmiss.leptons import leave_out, match
from ptmiss.recoil import across, direction, magnitude, transverse_sum
from ptmiss.segments import event_of, from_counts
from ptmiss.selections import Selection
from ptmiss.typing import Array, Mask, Scalar, Vector

CHUNK = 1000
COLUMNS = ("pt", "eta", "phi", "charge", "pdgId", "fromPV")


@dataclass(frozen=True)
class Sample:
    """Selected events.

    candidates: without those of the boson. boson: (events, 2) its pT, GeV. rest: (events, 2) the boson less its
    candidates, GeV: what the measurement of its leptons or photon adds to the recoil. weight: (events,).
    """

    candidates: Candidates
    boson: Vector
    rest: Vector
    weight: Array

    def __len__(self) -> int:
        return len(self.boson)

    def first(self, n: int) -> Sample:
        """The first events."""
        vectors = (getattr(self, name)[:n] for name in ("boson", "rest", "weight"))
        return Sample(self.candidates.events(slice(0, min(n, len(self)))), *vectors)

    @property
    def qt(self) -> Scalar:
        """(events,) pT of the boson, GeV."""
        return magnitude(self.boson)

    @property
    def axes(self) -> Array:
        """(events, 2, 2) unit vectors along and across the recoil: the first index after the event chooses."""
        along = direction(-self.boson)
        return np.stack([along, across(along)], axis=1)

    @property
    def event(self) -> NDArray[np.intp]:
        """(candidates,) number of each one's event."""
        return event_of(self.candidates.offsets)


def read(
    files: Sequence[str],
    columns: Collection[str],
    selection: Selection,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Sample:
    """The events of files that have a boson of the selection; columns: of candidates, beside COLUMNS.

    limit: most events to read of each file. Raises OptionError if no event has a boson, ColumnError if one of the files
    lacks a column.
    """
    wanted = tuple(dict.fromkeys((*COLUMNS, *columns)))
    sources = [inspect(path) for path in expand(files)]
    for source in sources:
        pf_candidates.require(wanted, source.branches, "explain", source.path)
    parts = [of_events(events, wanted, selection) for events in read_chunks(sources, CHUNK, limit, progress)]
    if not any(len(part) for part in parts):
        raise OptionError(f"no event of {', '.join(files)} has a boson of the selection: an explanation needs a recoil")
    return concatenate(parts)


def of_events(events: object, columns: Collection[str], selection: Selection) -> Sample:
    """Those of a chunk, coffea's NanoEvents, that pass the selection of the boson."""
    objects = select.boson_objects(events, selection)
    jets = select.good_jets(events.Jet, objects, selection)  # type: ignore[attr-defined]
    good = select.boson_cuts(events, objects, jets, selection).all()
    events, objects = events[good], objects[good]  # type: ignore[index]
    candidates = pf_candidates.read(events, columns)
    selected, _ = match(candidates, objects)
    rest, momentum = leave_out(candidates, selected)
    boson = transverse_sum(objects)
    return Sample(rest, boson, boson - momentum, event_weight(events))


def concatenate(parts: Sequence[Sample]) -> Sample:
    """The events of all parts, one after the other."""
    names = parts[0].candidates.columns
    columns = {name: np.concatenate([part.candidates[name] for part in parts]) for name in names}
    counts = list(chain.from_iterable(np.diff(part.candidates.offsets) for part in parts))
    vectors = (np.concatenate([getattr(part, name) for part in parts]) for name in ("boson", "rest", "weight"))
    return Sample(Candidates(columns, from_counts(np.asarray(counts, np.int64))), *vectors)


def counted(estimator: CandidateSum, candidates: Candidates) -> Mask:
    """(candidates,) those that an estimator takes: all, unless a model with padding cuts some off."""
    return estimator.counted(candidates, np.ones(candidates.offsets[-1], bool), Counter())
