"""Filters of events with noise, beam halo or badly measured muons, which JetMET recommends, by year of data-taking.

NanoAOD has them as ``Flag_<name>``, in data and simulation. They count where a file has them.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

ALL_YEARS = (
    "goodVertices",
    "globalSuperTightHalo2016Filter",
    "EcalDeadCellTriggerPrimitiveFilter",
    "BadPFMuonFilter",
    "BadPFMuonDzFilter",
    "hfNoisyHitsFilter",
    "eeBadScFilter",
)
HCAL = ("HBHENoiseFilter", "HBHENoiseIsoFilter")
CALIBRATION = ("ecalBadCalibFilter",)
FILTERS = {
    "2015": ("goodVertices", "CSCTightHalo2015Filter", "EcalDeadCellTriggerPrimitiveFilter", "eeBadScFilter", *HCAL),
    "2016": ALL_YEARS + HCAL,
    **dict.fromkeys(("2017", "2018"), ALL_YEARS + HCAL + CALIBRATION),
    **dict.fromkeys(("2022", "2023", "2024", "2025"), ALL_YEARS + CALIBRATION),
}
FIRST_RUNS = {
    "2015": 246908,
    "2016": 271036,
    "2017": 294927,
    "2018": 314472,
    "2022": 355100,
    "2023": 366365,
    "2024": 378981,
    "2025": 391658,
}
UNKNOWN = "unknown"
NAMES = tuple(dict.fromkeys(name for names in FILTERS.values() for name in names))
YEAR = re.compile(r"(?<!\d)(?:20)?(15|16|17|18|22|23|24|25)(?!\d)")


def year(era: str | None) -> str:
    """The year that an era is of (``2018A``, ``2022EE``, ``UL16postVFP``, ``Run3Summer23``), or ``unknown``."""
    found = YEAR.search(era or "")
    return f"20{found[1]}" if found else UNKNOWN


def years(runs: NDArray[np.integer]) -> NDArray[np.str_]:
    """(events,) year of each run number; ``unknown`` before the first of all, as in simulation."""
    names = np.array([UNKNOWN, *FIRST_RUNS])
    return names[np.searchsorted(list(FIRST_RUNS.values()), runs, side="right")]


def years_with(name: str) -> list[str]:
    """The years, and ``unknown``, that ask a filter."""
    return [each for each in (UNKNOWN, *FILTERS) if name in of_year(each)]


def of_year(name: str) -> tuple[str, ...]:
    """The filters of a year; of an unknown one those that all years since 2016 share."""
    return FILTERS.get(name, ALL_YEARS)
