"""Corrections of pTmiss out of a file that ``ptmiss calibrate`` wrote, on arrays of events.

The file is correctionlib JSON, and its corrections can be evaluated without this package (see docs/calibration.md):
``<estimator>_xy`` (sample, axis, npv), ``<estimator>_u_par`` and ``<estimator>_u_perp`` (qt, njets, u, systematic),
``<estimator>_response`` (sample, kind, qt), and ``npv_weight`` (npv) where simulation was weighted. correctionlib maps a
NaN or a negative qT to some bin without a word, so every input is checked here first.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import correctionlib
import correctionlib.schemav2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.files import cached_by_file
from ptmiss.recoil import Vector, met_from_recoil, recoil

SCHEMA = "ptmiss-calibration-1"
NOMINAL = "nominal"
SAMPLES = ("data", "mc")
AXES = ("x", "y")
PILEUP = "npv_weight"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Corrections:
    """The corrections of one file.

    path: of the file; sha256: of its content; metadata: how it was made; set: correctionlib's evaluators.
    """

    path: str
    sha256: str
    metadata: dict[str, Any]
    set: correctionlib.CorrectionSet

    @cached_property
    def estimators(self) -> list[str]:
        """Estimators that can be corrected."""
        return list(self.metadata["estimators"])

    def systematics(self, estimator: str) -> list[str]:
        """Variations of an estimator's recoil, ``nominal`` first."""
        self._require(estimator)
        return list(self.metadata["systematics"])

    def u(
        self,
        estimator: str,
        component: str,
        qt: ArrayLike,
        njets: ArrayLike,
        u: ArrayLike,
        systematic: str = NOMINAL,
    ) -> Array:
        """Corrected component ``par`` or ``perp`` of the recoil of simulation, GeV; arrays of shape (events,).

        The last bin goes on above its range of qT. CorrectionError where qT is not a number from 0, u not a number, or
        nJets not an integer from 0.
        """
        if systematic not in self.systematics(estimator):
            raise UnknownName(f"systematic of {self.path}", systematic, self.systematics(estimator))
        qt, u, njets = (np.asarray(values, float) for values in (qt, u, njets))
        self._check("qt", qt, np.isfinite(qt) & (qt >= 0), "a number from 0")
        self._check("u", u, np.isfinite(u), "a number")
        self._check("njets", njets, (njets >= 0) & (njets == np.floor(njets)), "an integer from 0")
        counts = np.minimum(njets, np.iinfo(np.int32).max).astype(np.int64)
        return np.asarray(self.set[f"{estimator}_u_{component}"].evaluate(qt, counts, u, systematic))

    def shift(self, estimator: str, npv: ArrayLike, sample: str) -> Vector:
        """(events, 2) mean pTmiss of ``data`` or ``mc`` at a number of vertices, GeV: what the XY correction takes off."""
        self._require(estimator)
        if sample not in SAMPLES:
            raise UnknownName("sample", sample, SAMPLES)
        npv = np.asarray(npv, float)
        self._check("npv", npv, np.isfinite(npv) & (npv >= 0), "a number from 0")
        correction = self.set[f"{estimator}_xy"]
        return np.stack([correction.evaluate(sample, axis, npv) for axis in AXES], axis=-1)

    def response(self, estimator: str, qt: ArrayLike, sample: str, kind: str = "plateau") -> Array:
        """The response to divide u by: of the ``plateau``, or of each ``bin`` of qT."""
        self._require(estimator)
        qt = np.asarray(qt, float)
        self._check("qt", qt, np.isfinite(qt) & (qt >= 0), "a number from 0")
        return np.asarray(self.set[f"{estimator}_response"].evaluate(sample, kind, qt))

    def weight(self, npv: ArrayLike) -> Array:
        """Weights of simulated events by their number of vertices; 1 where the calibration did without."""
        npv = np.asarray(npv, float)
        if PILEUP not in self.set:
            return np.ones_like(npv)
        self._check("npv", npv, np.isfinite(npv) & (npv >= 0), "a number from 0")
        return np.asarray(self.set[PILEUP].evaluate(npv))

    def met(
        self,
        estimator: str,
        met: Vector,
        boson: Vector,
        npv: ArrayLike,
        njets: ArrayLike,
        sample: str = "mc",
        systematic: str = NOMINAL,
        visible: Vector | None = None,
    ) -> Vector:
        """(events, 2) corrected pTmiss, GeV; an event whose pTmiss or boson is not finite stays as it is.

        Of ``mc`` the mean is taken off and the recoil against the boson is mapped, in the order in which they were
        derived, with what is ``visible`` of the boson (see ptmiss.recoil); of ``data``, and of a simulated
        ``background`` that has no such boson, only the mean is taken off.
        """
        mapped = sample == "mc"
        good = np.isfinite(met).all(axis=1) & (np.isfinite(boson).all(axis=1) | (not mapped))
        out, npv, njets = np.array(met, float), np.asarray(npv)[good], np.asarray(njets)[good]
        shift = self.shift(estimator, npv, "data" if sample == "data" else "mc")
        if not mapped:
            out[good] -= shift
            return out
        before, after = (shift, 0.0) if self.metadata["xy_first"] else (0.0, shift)
        seen = None if visible is None else visible[good]
        u = recoil(boson[good], out[good] - before, seen)
        par = self.u(estimator, "par", u.qt, njets, u.u_par, systematic)
        perp = self.u(estimator, "perp", u.qt, njets, u.u_perp, systematic)
        out[good] = met_from_recoil(par, perp, boson[good], seen) - after
        return out

    def _require(self, estimator: str) -> None:
        if estimator not in self.estimators:
            raise UnknownName(f"estimator of {self.path}", estimator, self.estimators)

    def _check(self, name: str, values: Array, good: NDArray[np.bool_], expected: str) -> None:
        if not np.all(good):
            first = int(np.argmin(np.atleast_1d(good)))
            value = np.atleast_1d(values)[first]
            count = np.count_nonzero(~np.atleast_1d(good))
            raise CorrectionError(
                f"{count} of {values.size} values of {name} cannot be corrected: "
                f"the first, of event {first}, is {value:g}, expected {expected}"
            )


@cached_by_file
def load(path: Path | str) -> Corrections:
    """The corrections of a file, read once in each process while it stays as it is."""
    path = Path(path)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        content = json.loads(text)
        version = content["schema_version"]
    except FileNotFoundError as error:
        raise FileError(f"no such correction file: {path}") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CorrectionError(f"{path} is not a correction file: expected correctionlib JSON, plain or gzip") from error
    if version != correctionlib.schemav2.VERSION:
        raise CorrectionError(f"{path} has correctionlib schema {version}, expected {correctionlib.schemav2.VERSION}")
    metadata = _metadata(path, content.get("description"))
    try:
        evaluators = correctionlib.CorrectionSet.from_string(text)
    except (RuntimeError, IndexError, ValueError) as error:
        raise CorrectionError(f"{path}: {str(error).splitlines()[0]}") from error
    return Corrections(str(path), hashlib.sha256(raw).hexdigest(), metadata, evaluators)


def _metadata(path: Path, description: Any) -> dict[str, Any]:
    """What ``ptmiss calibrate`` writes into the description of the set."""
    try:
        metadata = json.loads(description)
        found = metadata["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorrectionError(f"{path} holds corrections, but not of ptmiss calibrate: no {SCHEMA} in it") from error
    if found != SCHEMA:
        raise CorrectionError(f"{path} has corrections of schema {found}, expected {SCHEMA}")
    return metadata
