"""Estimators on candidates that a reconstruction makes of particle-flow elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ptmiss.candidates import Candidates
from ptmiss.errors import UnknownName
from ptmiss.estimators.reconstruction import Reconstruction
from ptmiss.significance import Noise
from ptmiss.typing import Array, Vector

from .base import Estimator, Selected
from .shifts import CandidateSum, require_jets


@dataclass(frozen=True)
class OnReconstruction(Estimator):
    """An estimator on candidates that a reconstruction makes of elements, in place of the file's candidates."""

    name: str
    inner: Estimator
    reconstruction: Reconstruction

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that it needs."""
        return self.inner.columns

    @property
    def treatment(self) -> str | None:  # type: ignore[override]
        """The treatment of leptons by the estimator on candidates."""
        return self.inner.treatment

    def require(self, branches: Collection[str], path: str) -> None:
        """Raise ColumnError unless a file with these branches has the elements."""
        self.reconstruction.require(self.columns, branches, self.name, path)
        if isinstance(self.inner, CandidateSum):
            require_jets(self.inner, branches, path)

    def require_era(self, metadata: Mapping[str, Any], simulated: bool) -> None:
        """Raise an error unless the estimator on candidates has all that it needs for a dataset."""
        self.inner.require_era(metadata, simulated)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        return self.inner.met(events, candidates, selected, notes)

    def variations(
        self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
    ) -> dict[str, Vector]:
        """(events, 2) pTmiss in GeV, nominal and varied."""
        return self.inner.variations(events, candidates, selected, notes)

    def vary(self, systematics: Sequence[str], jerc: str = "") -> OnReconstruction:
        """With systematics of the estimator on candidates."""
        return replace(self, inner=self.inner.vary(systematics, jerc))

    @property
    def systematics(self) -> tuple[str, ...]:  # type: ignore[override]
        """The systematics of the estimator on candidates."""
        return self.inner.systematics

    def with_significance(self, noise: Mapping[str, Noise]) -> OnReconstruction:
        """With the covariance of the estimator on candidates, by the numbers of this name."""
        own = {self.inner.name: noise[self.name]} if self.name in noise else {}
        if not own:
            raise UnknownName("estimator with numbers for its significance", self.name, noise)
        return replace(self, inner=self.inner.with_significance(own))

    @property
    def significance(self) -> bool:  # type: ignore[override]
        """Whether the covariance of the estimator on candidates is wanted."""
        return self.inner.significance

    def covariance(self, events: Any, candidates: Candidates, selected: Selected) -> Array:
        """(events, 2, 2) covariance of pTmiss, GeV²."""
        return self.inner.covariance(events, candidates, selected)

    def manifest_entry(self) -> dict[str, Any]:
        """The entries of the estimator on candidates and of the reconstruction, under this estimator's name."""
        return self.inner.manifest_entry() | self.reconstruction.manifest_entry() | {"name": self.name}
