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
PERIODS = {
    "2016": (("APV|HIPM|preVFP|[B-E]", "2016preVFP"), ("postVFP|[GH]", "2016postVFP")),
    "2022": (("(post)?EE|[E-G]", "2022EE"),),
    "2023": (("(post)?BPix|D", "2023BPix"),),
}
"""Parts of a year with calibrations of their own, by what follows the year in the name of an era."""
YEAR = re.compile(r"(?<!\d)(?:20)?(15|16|17|18|22|23|24|25)(?!\d)")


def year(era: str | None) -> str:
    """The year that an era is of (``2018A``, ``2022EE``, ``UL16postVFP``, ``Run3Summer23``), or ``unknown``."""
    found = YEAR.search(era or "")
    return f"20{found[1]}" if found else UNKNOWN


def period(era: str | None) -> str:
    """The period with calibrations of its own that an era is of: ``2016postVFP``, ``2018``, ``2022EE``, ``2023BPix``.

    Eras of data are known by their letters (``2022F``); an era that says only 2016 is both of its parts, ``2016``.
    """
    whole = year(era)
    said = [found for found in YEAR.finditer(era or "") if f"20{found[1]}" == whole]
    parts = [_part(whole, found.string[found.end() :]) for found in said]
    return next((part for part in parts if part != whole), whole)


def _part(whole: str, rest: str) -> str:
    """The part of a year by what follows it; the whole year if that says nothing."""
    parts = PERIODS.get(whole, ())
    return next((name for start, name in parts if re.match(rf"[ _-]*({start})(?![a-z])", rest, re.IGNORECASE)), whole)


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
