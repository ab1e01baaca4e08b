"""Histograms of the recoil: exact moments for means and RMS, spectra beside them for quantiles and pictures.

* ``booking``: the histograms, empty, and their moments; ``filling``: with events; ``scaling``: by a factor, subtracted
* ``cells``: the compiled sums behind the filling
* ``stacks``: data over the sum of simulations, as a table and a figure
"""

from .booking import (
    BIN_MINIMUM,
    COMPONENTS,
    MET_AXES,
    MET_MOMENTS,
    MOMENTS,
    OBSERVABLES,
    RESIDUAL,
    VERTICES,
    Moment,
    axes,
    book_calibration,
    book_met,
    book_mt,
    book_recoil,
    book_significance,
)
from .filling import fill_met, fill_met_xy, fill_recoil, fill_residuals, fill_variations
from .scaling import scale, subtract

__all__ = [
    "BIN_MINIMUM",
    "COMPONENTS",
    "MET_AXES",
    "MET_MOMENTS",
    "MOMENTS",
    "OBSERVABLES",
    "RESIDUAL",
    "VERTICES",
    "Moment",
    "axes",
    "book_calibration",
    "book_met",
    "book_mt",
    "book_recoil",
    "book_significance",
    "fill_met",
    "fill_met_xy",
    "fill_recoil",
    "fill_residuals",
    "fill_variations",
    "scale",
    "subtract",
]
