"""The measurements on recoil tables and histograms: response, resolution, paired comparisons, the edge of mT.

``measurement`` tabulates response and resolution, from ``moments`` (means and RMS over all events), ``spectra`` (half
widths) and ``responses`` (the response correction, and what it adds to errors). ``comparison`` sets estimators beside
each other on the same events, ``jacobian`` measures mT in W decays.
"""

from .measurement import (
    Filled,
    as_run,
    fill,
    from_table,
    has_boson,
    measure,
    recoil_along,
    recoils,
    tabulate,
    visible,
    without_backgrounds,
)

__all__ = [
    "Filled",
    "as_run",
    "fill",
    "from_table",
    "has_boson",
    "measure",
    "recoil_along",
    "recoils",
    "tabulate",
    "visible",
    "without_backgrounds",
]
