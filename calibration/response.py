"""Response corrections: the plateau's and that of each bin of qT, in data and in simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import hist
import numpy as np
from numpy.typing import NDArray

from ptmiss.binning import Binning
from ptmiss.resolutions import moments
from ptmiss.resolutions.responses import correction

KINDS = ("plateau", "bin")


@dataclass(frozen=True)
class Response:
    """Response of one estimator in one sample, in the stored bins of qT; the last also holds what is above.

    values, errors: (bins,); plateau, plateau_error: of the plateau, NaN where there are no events.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    plateau: float
    plateau_error: float
    binning: Binning

    def correction(self, kind: str) -> NDArray[np.float64]:
        """What to divide u by in each bin: 1 where there is no response (below 10 GeV, or too few events)."""
        value = np.full(len(self.values), self.plateau) if kind == "plateau" else self.values
        return np.where(np.isfinite(value), value, 1.0)

    def rows(self) -> Iterator[tuple[float, float, float, float]]:
        """Edges in qT (GeV), response and error: of each bin, then of the plateau."""
        edges = self.binning.qt_stored
        yield from zip(edges[:-1], edges[1:], self.values, self.errors, strict=True)
        yield *self.binning.plateau, self.plateau, self.plateau_error


def measure(histogram: hist.Hist, estimator: str) -> Response:
    """Response of one estimator from the moments that a run keeps."""
    sums = moments.sums(histogram, estimator)
    plateau, error = moments.response(sums.part(sums.binning.qt_range(*sums.binning.plateau)))
    bins = slice(1, len(sums.binning.qt_stored))
    values, errors = correction(sums, "bin").value[bins], moments.response(sums.along_qt())[1][bins]
    return Response(values, errors, float(plateau), float(error), sums.binning)
