"""What the recoil processors share: their options, and the check of a file before any event is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from coffea.processor import ProcessorABC
from numpy.typing import NDArray

from ptmiss import vertex as vertices
from ptmiss.corrections import NOMINAL, Corrections, load
from ptmiss.errors import ColumnError, UnknownName
from ptmiss.estimators import Estimator
from ptmiss.events import event_weight
from ptmiss.recoil import Vector
from ptmiss.selections import Selection, branches, preset, require_trigger
from ptmiss.truth import is_data


class RecoilProcessor(ProcessorABC):
    """A processor with estimators and a selection.

    estimators: from :func:`ptmiss.estimators.make_estimators`; selection: a Selection or the name of a preset;
    vertex: ``default`` or ``lepton`` (see :mod:`ptmiss.vertex`).
    """

    event_branches: tuple[str, ...] = ("PV_npvs",)

    def __init__(
        self, estimators: Sequence[Estimator], selection: Selection | str = "default", vertex: str = "default"
    ):
        self.estimators = list(estimators)
        self.selection = preset(selection) if isinstance(selection, str) else selection
        self.vertex = vertices.check(vertex)

    @property
    def names(self) -> list[str]:
        """Names of the estimators."""
        return [estimator.name for estimator in self.estimators]

    def require(self, there: Collection[str], path: str, metadata: Mapping[str, Any]) -> None:
        """Raise ColumnError unless a file with these branches has all that the processor needs."""
        for branch in (*self.event_branches, *branches(self.selection)):
            if branch not in there:
                kind = branch.split("_")[0]
                siblings = sorted(b for b in there if b.startswith(f"{kind}_"))
                raise ColumnError(
                    f"processor {type(self).__name__} needs branch {branch}, which {path} does not have; "
                    f"{kind} branches there: {', '.join(siblings[:12]) or 'none'}"
                )
        require_trigger(metadata.get("triggers", ()), there, path)
        for estimator in self.estimators:
            estimator.require(there, path)
        if self.vertex == vertices.LEPTON:
            of_file = [estimator for estimator in self.estimators if estimator.reconstruction is None]
            vertices.require({estimator.name: estimator.columns for estimator in of_file}, there, path)

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do after the chunks are merged."""
        return accumulator


class CorrectedProcessor(RecoilProcessor):
    """A recoil processor that can correct pTmiss and fill its systematic variations in the same pass.

    corrections: a file that ``ptmiss calibrate`` wrote; workers read it by its path.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        selection: Selection | str = "default",
        vertex: str = "default",
        corrections: Path | str | None = None,
    ):
        super().__init__(estimators, selection, vertex)
        self.path = None if corrections is None else str(corrections)
        known = self.corrections.estimators if self.corrections else self.names
        for name in self.names:
            if name not in known:
                raise UnknownName(f"estimator of {self.path}", name, known)

    @property
    def corrections(self) -> Corrections | None:
        """The corrections, read once in each process."""
        return load(self.path) if self.path else None

    def weight(self, events: Any, npv: NDArray) -> NDArray[np.float64]:
        """Event weights: the generator's, and in simulation those of the pile-up."""
        weight = event_weight(events)
        return weight if self.corrections is None or is_data(events) else weight * self.corrections.weight(npv)

    def varied(
        self,
        events: Any,
        estimator: str,
        met: Vector,
        boson: Vector,
        npv: NDArray,
        njets: NDArray,
        visible: Vector | None = None,
    ) -> Iterator[tuple[str, Vector]]:
        """Names of systematics, ``nominal`` first, and (events, 2) pTmiss with each; the recoil is varied in signal.

        visible: what is seen of the boson, see ptmiss.recoil.recoil.
        """
        if self.corrections is None:
            yield NOMINAL, met
            return
        background = events.metadata.get("role") == "background"
        sample = "data" if is_data(events) else "background" if background else "mc"
        names = self.corrections.systematics(estimator) if sample == "mc" else [NOMINAL]
        for name in names:
            yield name, self.corrections.met(estimator, met, boson, npv, njets, sample, name, visible)
