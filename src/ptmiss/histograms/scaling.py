"""Histograms of moments multiplied by a factor, and subtracted."""

from __future__ import annotations

import hist
import numpy as np

from .booking import MOMENTS


def scale(histogram: hist.Hist, factor: float) -> hist.Hist:
    """A histogram with every weight multiplied by a factor: moments in w² by its square."""
    if "moment" not in histogram.axes.name:
        return histogram * factor
    return _by_moment(histogram, factor, factor**2)


def subtract(histogram: hist.Hist, background: hist.Hist) -> hist.Hist:
    """Data less background: sums of weights subtract, sums of squared weights add."""
    if "moment" not in histogram.axes.name:
        return histogram + background * -1.0
    return histogram + _by_moment(background, -1.0, 1.0)


def _by_moment(histogram: hist.Hist, of_weights: float, of_squares: float) -> hist.Hist:
    """The moments in w and those in w2, each multiplied by a factor of its own."""
    factors = [of_squares if moment.weight == 2 else of_weights for moment in MOMENTS]
    axis = histogram.axes.name.index("moment")
    out = histogram.copy()
    out.view(flow=True)[...] *= np.expand_dims(factors, [i for i in range(histogram.ndim) if i != axis])
    return out
