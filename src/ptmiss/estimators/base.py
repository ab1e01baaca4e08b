"""What an estimator is: candidates in, one pTmiss vector per event out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss import candidates as pf_candidates
from ptmiss.candidates import Candidates
from ptmiss.errors import OptionError
from ptmiss.estimators.reconstruction import Reconstruction
from ptmiss.significance import Noise
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

Selected = NDArray[np.bool_]


class Estimator:
    """Base class of all estimators. One of your own has a ``name`` and a method ``met``; the rest has defaults.

    Attributes:
        name: its name on the command line, in tables and in legends.
        columns: the candidate columns that it needs; empty if it needs no candidates.
        treatment: how it treats the selected leptons (see ptmiss.leptons); None if like any candidate.
        reconstruction: makes its candidates; None for those of the file.
        systematics: names of its systematic variations, see ``vary``.
        significance: whether its covariance is wanted, see ``with_significance``.
    """

    name: str
    columns: tuple[str, ...] = ()
    treatment: str | None = None
    reconstruction: Reconstruction | None = None
    systematics: tuple[str, ...] = ()
    significance: bool = False

    def require(self, branches: Collection[str], path: str) -> None:
        """Check a file before any event is read.

        Args:
            branches: names of the file's branches.
            path: the file, for the error's text.

        Raises:
            ColumnError: a candidate column is missing, and nothing in the file gives it.
        """
        if self.columns:
            pf_candidates.require(self.columns, branches, self.name, path)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """The missing transverse momentum of some events.

        Args:
            events: the events, coffea's NanoEvents.
            candidates: flat columns, and offsets of shape (events + 1,).
            selected: (candidates,) mask of those that are the selected leptons.
            notes: counts of unusual events and candidates, to add to.

        Returns:
            pTmiss in GeV, shape (events, 2): x and y components.
        """
        raise NotImplementedError(f"estimator {self.name!r} has no method met")

    def require_era(self, metadata: Mapping[str, Any], simulated: bool) -> None:
        """Raise an error unless there is all that it needs for a dataset with these metadata."""

    def vary(self, systematics: Sequence[str], jerc: str = "") -> Estimator:
        """The same estimator with systematic variations; OptionError if it has none. jerc: JSON of the jets' energy."""
        raise OptionError(
            f"estimator {self.name!r} has no systematics, so none of {', '.join(systematics)}: "
            "name those that have them as ESTIMATOR=SYSTEMATIC"
        )

    def with_significance(self, noise: Mapping[str, Noise]) -> Estimator:
        """The same estimator with a covariance, by the numbers of its name; OptionError if it can have none."""
        raise OptionError(f"estimator {self.name!r} has no significance: sums over candidates and stored METs have one")

    def covariance(self, events: Any, candidates: Candidates, selected: Selected) -> Array:
        """(events, 2, 2) covariance of its pTmiss, GeV², of the arguments of ``met``."""
        raise NotImplementedError(f"estimator {self.name!r} has no method covariance")

    def variations(
        self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]
    ) -> dict[str, Vector]:
        """The (events, 2) pTmiss, GeV, as ``nominal``, and with each systematic ``<name>_up`` and ``<name>_down``."""
        return {NOMINAL: self.met(events, candidates, selected, notes)}

    def manifest_entry(self) -> dict[str, Any]:
        """The estimator in a manifest: its name, and a hash of each file that it reads.

        Finished chunks of a run are used again only if this is the same.
        """
        return {"name": self.name} | ({"systematics": list(self.systematics)} if self.systematics else {})
