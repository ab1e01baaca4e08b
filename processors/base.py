"""What the recoil processors share: their options, and the check of a file before any event is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from coffea.processor import ProcessorABC

from ptmiss import vertex as vertices
from ptmiss.errors import ColumnError
from ptmiss.estimators import Estimator

from .selections import Selection, branches, preset, require_trigger


class RecoilProcessor(ProcessorABC):
    """A processor with estimators and a selection.

    estimators: from :func:`ptmiss.estimators.build`; selection: a Selection or the name of a preset;
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
            vertices.require({estimator.name: estimator.columns for estimator in self.estimators}, there, path)

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do after the chunks are merged."""
        return accumulator
