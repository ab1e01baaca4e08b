"""Published corrections of pTmiss in correctionlib JSON, applied to arrays of events.

* Recoil corrections of single bosons, in the layout of CMS's H → leptons group: corrections ``Recoil_correction_*`` of
  U = pTmiss + V(visible) - V, along and across the boson, and of H = -(pTmiss + V(visible)).
* XY corrections of CMS's JME group: those of Run 2 (``pt_metphicorr_pfmet_mc``, …) and of Run 3
  (``met_xy_corrections``).

For a wrong name correctionlib gives some number or a long message, so every input is checked here first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import correctionlib
import numpy as np
from numpy.typing import ArrayLike

from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.files import AnyPath, as_path, cached_by_file
from ptmiss.recoil import azimuth, magnitude, met_from_recoil, recoil
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

RECOIL = "Recoil_correction_"
METHODS = ("QuantileMapHist", "QuantileMapFit", "Rescaling")
VARIATIONS = ("RespUp", "RespDown", "ResolUp", "ResolDown")
HALVINGS = 60  # bisections of the interval in which a fitted distribution is inverted
FARTHEST = 2000.0  # GeV, half of that interval
TAIL = 1e-5  # tail of a fitted distribution in which the recoil is rescaled, since rounding prevents an inversion
RUN_2 = {"MET": "pfmet", "PFMET": "pfmet", "PuppiMET": "puppimet"}


@dataclass(frozen=True)
class PublishedRecoil:
    """Recoil corrections of one file, whose path is ``path``; set: correctionlib's evaluators."""

    path: str
    set: correctionlib.CorrectionSet

    @property
    def methods(self) -> list[str]:
        """The methods of correction in this file."""
        return [method for method in METHODS if f"{RECOIL}{method}" in list(self.set)]

    def met(
        self,
        met: Vector,
        boson: Vector,
        njets: ArrayLike,
        order: str,
        *,
        visible: Vector | None = None,
        method: str = METHODS[0],
        systematic: str = NOMINAL,
        era: str | None = None,
    ) -> Vector:
        """Corrected pTmiss of simulated single bosons.

        Args:
            met: (events, 2) pTmiss, GeV.
            boson: (events, 2) transverse momentum of the generated boson with its neutrinos, GeV.
            njets: (events,) number of jets with pT > 30 GeV, or pT > 50 GeV if 2.5 < abs(eta) < 3.
            order: order of the simulation by its name in the file, for example ``NLO``.
            visible: (events, 2) transverse momentum of the visible part of the boson, GeV; all of it if None.
            method: one of ``methods``.
            systematic: ``nominal``, or one of VARIATIONS.
            era: name of the era, if the file has several.

        Returns:
            (events, 2) pTmiss, GeV; an event whose pTmiss or boson is not finite stays as it is.

        Raises:
            UnknownName: the file has no such method, systematic, order or era.
            CorrectionError: the file needs an era, or a number of jets is negative.
        """
        if method not in self.methods:
            raise UnknownName(f"method of {self.path}", method, self.methods)
        if systematic not in (NOMINAL, *VARIATIONS):
            raise UnknownName("systematic", systematic, (NOMINAL, *VARIATIONS))
        good = np.isfinite(met).all(axis=1) & np.isfinite(boson).all(axis=1) & (magnitude(boson) > 0)
        chosen, seen = boson[good], None if visible is None else visible[good]
        where = _Conditions(self, order, _jets(njets, len(met))[good], magnitude(chosen), era)
        u = recoil(chosen, np.asarray(met, float)[good], seen)
        par = u.qt + where.correct(method, "Upara", u.u_par - u.qt)
        perp = where.correct(method, "Uperp", u.u_perp)
        if systematic != NOMINAL:
            par, perp = -where.vary("Hpara", -par, systematic), -where.vary("Hperp", -perp, systematic)
        out = np.array(met, float)
        out[good] = met_from_recoil(par, perp, chosen, seen)
        return out


@dataclass(frozen=True)
class _Conditions:
    """The inputs to a correction other than the recoil; njets and ptll: (events,), GeV."""

    file: PublishedRecoil
    order: str
    njets: Array
    ptll: Array
    era: str | None

    def correct(self, method: str, variable: str, value: Array) -> Array:
        """A corrected component of U, (events,), GeV."""
        if method != "QuantileMapFit":
            return self.evaluate(method, variable, value)
        share = self.evaluate(method, variable, "DY", value)
        inside = (share > TAIL) & (share < 1 - TAIL)
        mapped = invert(lambda x: self.evaluate(method, variable, "Data", x), np.clip(share, TAIL, 1 - TAIL))
        return np.where(inside, mapped, self.evaluate("Rescaling", variable, value))

    def vary(self, variable: str, value: Array, systematic: str) -> Array:
        """A varied component of H, (events,), GeV."""
        return self.evaluate("Uncertainty", variable, value, systematic)

    def evaluate(self, name: str, *rest: Any) -> Array:
        """(events,) values of one of the file's corrections."""
        correction = self.file.set[f"{RECOIL}{name}"]
        needs_era = correction.inputs[0].name == "era"
        if needs_era and self.era is None:
            raise CorrectionError(f"{self.file.path} has several eras: expected era=, that of the simulation")
        first = (self.era,) if needs_era else ()
        try:
            return np.asarray(correction.evaluate(*first, self.order, self.njets, self.ptll, *rest))
        except IndexError as error:
            asked = f"order {self.order!r}" + (f" of era {self.era!r}" if needs_era else "")
            raise CorrectionError(f"{self.file.path} has no {name} for {asked}") from error


def invert(function: Callable[[Array], Array], values: Array) -> Array:
    """(events,) arguments at which a rising function has these values, (events,), by bisection of all at once."""
    low, high = np.full_like(values, -FARTHEST), np.full_like(values, FARTHEST)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = function(middle) < values
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def _jets(njets: ArrayLike, events: int) -> Array:
    counts = np.broadcast_to(np.asarray(njets, float), events)
    if (bad := ~(counts >= 0)).any():
        raise CorrectionError(
            f"{bad.sum()} events have no number of jets: the first is {counts[bad][0]:g}, expected 0 or more"
        )
    return counts


@dataclass(frozen=True)
class PublishedXY:
    """XY corrections of one file of Run 2 or Run 3, whose path is ``path``; set: correctionlib's evaluators."""

    path: str
    set: correctionlib.CorrectionSet

    def met(
        self,
        met: Vector,
        npv: ArrayLike,
        sample: str,
        *,
        kind: str = "PuppiMET",
        run: ArrayLike = 1,
        era: str | None = None,
        variation: str = "nom",
    ) -> Vector:
        """Corrected pTmiss.

        Args:
            met: (events, 2) pTmiss, GeV.
            npv: (events,) number of good primary vertices.
            sample: ``data`` or ``mc``.
            kind: ``PuppiMET``, or ``MET`` (``PFMET``) for PF.
            run: (events,) run numbers of data, for Run 2.
            era: name of the era in a file of Run 3, for example ``2022EE``.
            variation: its name in a file of Run 3: ``nom``, ``pu_up``, …

        Returns:
            (events, 2) pTmiss, GeV; an event whose pTmiss is not finite stays as it is.

        Raises:
            UnknownName: no such sample or kind.
            CorrectionError: a value is outside the file's range.
        """
        if sample not in ("data", "mc"):
            raise UnknownName("sample", sample, ("data", "mc"))
        if kind not in RUN_2:
            raise UnknownName("kind of pTmiss", kind, RUN_2)
        good = np.isfinite(met).all(axis=1)
        chosen = np.asarray(met, float)[good]
        vertices, runs = (np.broadcast_to(np.asarray(x, float), len(met))[good] for x in (npv, run))
        pt, phi = self._polar(magnitude(chosen), azimuth(chosen), vertices, runs, sample, kind, era, variation)
        out = np.array(met, float)
        out[good] = np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=-1)
        return out

    def _polar(
        self, pt: Array, phi: Array, npv: Array, run: Array, sample: str, kind: str, era: str | None, variation: str
    ) -> tuple[Array, ...]:
        """Corrected pt (GeV) and phi, (events,) each, both from the uncorrected values."""
        if "met_xy_corrections" in list(self.set):
            if era is None:
                raise CorrectionError(f"{self.path} has several eras: expected era=, for example 2022EE")
            name = "PuppiMET" if kind == "PuppiMET" else "MET"
            given: Sequence[Any] = (name, era, sample.upper(), variation, pt, phi, npv)
            return tuple(self._evaluate("met_xy_corrections", part, *given) for part in ("pt", "phi"))
        ending = f"metphicorr_{RUN_2[kind]}_{sample}"
        return tuple(self._evaluate(f"{part}_{ending}", pt, phi, npv, run) for part in ("pt", "phi"))

    def _evaluate(self, name: str, *inputs: Any) -> Array:
        try:
            return np.asarray(self.set[name].evaluate(*inputs))
        except (RuntimeError, IndexError) as error:
            raise CorrectionError(f"{self.path}, {name}: {str(error).splitlines()[0]}") from error


@cached_by_file
def load(path: AnyPath) -> PublishedRecoil | PublishedXY:
    """Load published corrections.

    Args:
        path: a file of correctionlib, JSON or compressed JSON.

    Returns:
        Corrections of the recoil or of XY; their method ``met`` corrects pTmiss.

    Raises:
        FileError: there is no such file.
        CorrectionError: the file has neither of the two layouts.
    """
    path = as_path(path)
    if not path.is_file():
        raise FileError(f"no such correction file: {path}")
    try:
        found = correctionlib.CorrectionSet.from_file(str(path))
    except (RuntimeError, IndexError, ValueError) as error:
        raise CorrectionError(f"{path} is not correctionlib JSON: {str(error).splitlines()[0]}") from error
    if any(name.startswith(RECOIL) for name in found):
        return PublishedRecoil(str(path), found)
    if any("met_xy" in name or "metphicorr" in name for name in found):
        return PublishedXY(str(path), found)
    raise CorrectionError(f"{path} has {', '.join(list(found)[:4])}: expected corrections of the recoil or of XY")
