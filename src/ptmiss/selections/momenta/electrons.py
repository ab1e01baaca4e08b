"""Electrons: scale and smearing as CMS's e/gamma group corrects them.

In Run 3 electrons of data are scaled by a compound correction, and simulated ones smeared with a Gaussian. The
uncertainties of both are those of simulation. In Run 2 NanoAOD has all that in its pT, and the group's file has the
uncertainty of the scale alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ptmiss.corrections.lookups import Lookup, LookupFile
from ptmiss.errors import CorrectionError, OptionError
from ptmiss.typing import Array

from .base import Momenta
from .schema import Momentum

COLUMNS = ("pt", "superclusterEta", "r9", "seedGain", "run")
RUN_2 = "ScaleUnc"
SMEARING, IN_PT = "SmearAndSyst", "PTsplit"

Columns = Mapping[str, NDArray]


def require(file: LookupFile, momentum: Momentum) -> None:
    """Raise an error if a file is not the e/gamma group's, or has no such correction or year."""
    if old := run_2(file):
        _with_year(old, momentum)
        return
    _given(_scale(file, momentum), dict.fromkeys(COLUMNS, np.zeros(0)), "scale")
    smearing = _smearing(file, momentum)
    for name in ("smear", "esmear", "escale"):
        _given(smearing, dict.fromkeys(COLUMNS, np.zeros(0)), name)


def correct(file: LookupFile, momentum: Momentum, electrons: Columns, random: Array, data: bool) -> Momenta:
    """pT of electrons (GeV) and its variations, (electrons,) each; data have none.

    electrons: COLUMNS; random: (electrons,) between 0 and 1.
    """
    pt = electrons["pt"].astype(np.float64)
    if old := run_2(file):
        return Momenta(pt) if data else Momenta(pt, _scale_of_run_2(old, momentum, electrons, pt))
    if data:
        lookup = _scale(file, momentum)
        return Momenta(pt * lookup(_given(lookup, electrons, "scale"), clamp=True))
    lookup = _smearing(file, momentum)
    width, of_width, of_scale = (
        lookup(_given(lookup, electrons, name), clamp=True) for name in ("smear", "esmear", "escale")
    )
    normal = ndtri(random)
    smeared = pt * (1 + width * normal)
    return Momenta(
        smeared,
        {
            "scale_up": smeared * (1 + of_scale),
            "scale_down": smeared * (1 - of_scale),
            "resolution_up": pt * (1 + (width + of_width) * normal),
            "resolution_down": pt * (1 + (width - of_width) * normal),
        },
    )


def run_2(file: LookupFile) -> Lookup | None:
    """The uncertainty of the scale in a file of Run 2; None of Run 3."""
    return next((lookup for name, lookup in file.lookups.items() if name.endswith(RUN_2)), None)


def _scale_of_run_2(lookup: Lookup, momentum: Momentum, electrons: Columns, pt: Array) -> dict[str, Array]:
    year = _with_year(lookup, momentum)
    return {
        f"scale_{way}": pt * lookup({**year, **_of_run_2(electrons), "ValType": f"scale{way}"}, clamp=True)
        for way in ("up", "down")
    }


def _of_run_2(electrons: Columns) -> dict[str, NDArray]:
    return {"eta": electrons["superclusterEta"], "gain": electrons["seedGain"]}


def _with_year(lookup: Lookup, momentum: Momentum) -> dict[str, str]:
    if not momentum.year:
        known = ", ".join(map(str, lookup.categories("year")))
        raise OptionError(f"leptons.momentum.year: {lookup.path} needs one of {known}")
    lookup.require({"year": momentum.year})
    return {"year": momentum.year}


def _scale(file: LookupFile, momentum: Momentum) -> Lookup:
    return _one(file, momentum.scale, [n for n, each in file.lookups.items() if each.compound], "scale")


def _smearing(file: LookupFile, momentum: Momentum) -> Lookup:
    found = [name for name in file.lookups if SMEARING in name]
    in_pt = [name for name in found if IN_PT in name]
    return _one(file, momentum.smearing, in_pt or found, "smearing")


def _one(file: LookupFile, name: str, found: Sequence[str], what: str) -> Lookup:
    """The correction with a name, or the only one that was found."""
    if name or len(found) == 1:
        return file[name or found[0]]
    raise CorrectionError(
        f"{file.path} has {', '.join(found) or 'no correction'} for the {what} of electrons: expected its name as "
        f"leptons.momentum.{what}; there: {', '.join(file.lookups)}"
    )


def _given(lookup: Lookup, electrons: Columns, what: str) -> dict[str, Any]:
    """The inputs of a correction by its own names; older files also ask for abs(eta)."""
    eta = electrons["superclusterEta"]
    known = {**electrons, "ScEta": eta, "AbsScEta": np.abs(eta), "syst": what}
    if missing := [name for name in lookup.inputs if name not in known]:
        raise CorrectionError(f"{lookup.name} in {lookup.path} needs {missing[0]} of each electron, which is not known")
    given = {name: known[name] for name in lookup.inputs}
    lookup.require(given)
    return given
