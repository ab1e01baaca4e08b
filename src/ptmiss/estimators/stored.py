"""METs that a file stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import awkward as ak

from ptmiss import significance
from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, OptionError
from ptmiss.recoil import cartesian
from ptmiss.scales import SIGNS
from ptmiss.significance import Noise
from ptmiss.systematics import NOMINAL
from ptmiss.truth import is_data
from ptmiss.typing import Array, Vector

from . import objects
from .base import Estimator, Selected

STORED = "stored."
BRANCHES = {"jes": "JES", "jer": "JER", "unclustered": "Unclustered"}
WAYS = ("Up", "Down")
SAME = (("MET", "PFMET"), ("RawMET", "RawPFMET"), ("TkMET", "TrkMET"))
"""Names of one MET: up to NanoAOD v12, and since v15."""


@dataclass(frozen=True)
class Stored(Estimator):
    """A MET that the file stores: ``stored.PuppiMET``, or a variation of it, ``stored.PuppiMET_ptJESUp``.

    ``stored.PFMET`` is ``MET`` in files that call it so, and the reverse; a note says it.
    """

    name: str
    systematics: tuple[str, ...] = ()
    significance: bool = False

    @property
    def branch(self) -> str:
        """Name of the collection."""
        return self.name.removeprefix(STORED).partition("_pt")[0]

    @property
    def variation(self) -> str:
        """What follows ``pt`` and ``phi`` in the names of its branches: nothing, or for example ``JESUp``."""
        return self.name.removeprefix(STORED).partition("_pt")[2]

    def _collection(self, there: Collection[str], suffix: str = "") -> str:
        """The name of this MET in a file: its own, or another of the same MET if only that one is there."""
        others = next((names for names in SAME if self.branch in names), ())
        return next((name for name in (self.branch, *others) if f"{name}{suffix}" in there), self.branch)

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless the file has the MET's pt and phi."""
        objects.require(self.systematics, branches, self.name, path)
        collection = self._collection(branches, "_pt")
        if self.significance:
            significance.require(collection, branches, path)
        for branch in (f"{collection}_{part}{variation}" for variation in self._all for part in ("pt", "phi")):
            if branch not in branches:
                raise ColumnError(
                    f"estimator {self.name!r} needs branch {branch}, which {path} does not have; "
                    f"METs there: {', '.join(self._there(branches)) or 'none'}"
                )

    @property
    def _all(self) -> list[str]:
        """The variations that are read."""
        own = [name for name in self.systematics if name not in objects.COLLECTIONS]
        return [self.variation, *(f"{BRANCHES.get(name, name)}{way}" for name in own for way in WAYS)]

    def _there(self, branches: Collection[str]) -> list[str]:
        """What could follow ``stored.``: the METs of a file, or the variations of this one if one of them is wanted."""
        wanted = f"{self._collection(branches, '_pt')}_pt" if self.variation or self.systematics else ""
        own = sorted(branch.removesuffix("_pt") for branch in branches if wanted and branch.startswith(wanted))
        return own or sorted(branch.removesuffix("_pt") for branch in branches if branch.endswith("MET_pt"))

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        collection = self._collection(events.fields)
        if collection != self.branch:
            notes[f"{self.name}: event of a file that calls it {collection}"] += len(events)
        return self._read(events, self.variation)

    def vary(self, systematics: Sequence[str], jerc: str = "") -> Stored:
        """With variations that the file stores, ``jes``, ``jer``, ``unclustered`` or others, and of its objects."""
        if self.variation:
            raise OptionError(f"estimator {self.name!r} is a variation itself: expected {STORED}{self.branch}")
        return replace(self, systematics=tuple(dict.fromkeys(systematics)))

    def with_significance(self, noise: Mapping[str, Noise]) -> Stored:
        """With the covariance that the file stores of it."""
        return replace(self, significance=True)

    def covariance(self, events: Any, candidates: Candidates, selected: Selected) -> Array:
        """(events, 2, 2) covariance of pTmiss as the file stores it, GeV²."""
        return significance.stored(events, self._collection(events.fields)).covariance

    def manifest_entry(self) -> dict[str, Any]:
        """Its name and systematics, and whether its covariance is read."""
        return super().manifest_entry() | ({"significance": True} if self.significance else {})

    def variations(
        self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
    ) -> dict[str, Vector]:
        """(events, 2) pTmiss in GeV, nominal and varied; data are not varied."""
        met = {NOMINAL: self.met(events, candidates, selected, notes)}
        for name in () if is_data(events) else self.systematics:
            if name in objects.COLLECTIONS:
                shift = objects.shift(events, name)
                met |= {f"{name}_{way}": met[NOMINAL] + sign * shift for way, sign in SIGNS.items()}
            else:
                met |= {f"{name}_{way.lower()}": self._read(events, f"{BRANCHES.get(name, name)}{way}") for way in WAYS}
        return met

    def _read(self, events: Any, variation: str) -> Vector:
        met = events[self._collection(events.fields)]
        return cartesian(*(ak.to_numpy(met[f"{part}{variation}"]) for part in ("pt", "phi")))
