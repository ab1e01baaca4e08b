"""Corrections of pTmiss out of a file that ``ptmiss calibrate`` wrote, on arrays of events.

The file is correctionlib JSON, and its corrections can be evaluated without this package (see docs/calibration.md):
``<estimator>_xy`` (sample, axis, npv), ``<estimator>_u_par`` and ``<estimator>_u_perp`` (qt, njets, u, systematic),
``<estimator>_response`` (sample, kind, qt), and ``npv_weight`` (npv) where simulation was weighted. correctionlib maps
a NaN or a negative qT to some bin without a word, so every input is checked here first.

The maps of a flow are joint: those of an estimator have the context (qt, njets, npv, …) as inputs, and the components
of the estimators before it in the file beside its own.

The order is one: the mean is taken off, then the recoil is mapped. A file of ``<estimator>_xy`` and ``npv_weight``
alone is what a calibration of runs begins with; it maps nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import correctionlib
import correctionlib.schemav2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.files import AnyPath, as_path, cached_by_file, digest
from ptmiss.recoil import Recoil, met_from_recoil, recoil
from ptmiss.systematics import NOMINAL
from ptmiss.typing import Array, Vector

SCHEMA = "ptmiss-calibration-2"
SAMPLES = ("data", "mc")
AXES = ("x", "y")
PILEUP = "npv_weight"
CONTENT = "corrections_sha256"  # in the description
RAPIDITY = "boson_rapidity"


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

    @cached_property
    def maps(self) -> bool:
        """Whether recoils are mapped, and not only the mean of pTmiss taken off."""
        return f"{self.estimators[0]}_u_par" in self._names

    @cached_property
    def _names(self) -> frozenset[str]:
        """Of the corrections; the set itself raises where a name is not there."""
        return frozenset(self.set)

    @property
    def joint(self) -> list[str]:
        """The estimators of a joint map in their order; empty where each has a map of its own."""
        return list(self.metadata.get("joint", {}).get("estimators", []))

    @property
    def context(self) -> list[str]:
        """What the maps depend on besides the recoil."""
        return list(self.metadata.get("joint", {}).get("context", ["qt", "njets"]))

    @property
    def of_rapidity(self) -> bool:
        """Whether the maps depend on the boson's rapidity."""
        return RAPIDITY in self.context

    def needed(self, estimator: str) -> list[str]:
        """The estimators whose pTmiss the map of this one depends on, itself the last."""
        self._require(estimator)
        return self.joint[: self.joint.index(estimator) + 1] if self.joint else [estimator]

    @property
    def record(self) -> dict[str, Any]:
        """What the manifest of a run keeps of the corrections that it applied."""
        applied = {name: self.metadata[name] for name in ("xy", "pileup")}
        return {"path": self.path, "sha256": self.sha256, "maps": self.maps, **applied}

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
        nJets not an integer from 0, and of a joint map: that takes more than one component.
        """
        if self.joint:
            raise CorrectionError(f"{self.path} has a joint map of {', '.join(self.joint)}: expected met, with others")
        self._require_systematic(estimator, systematic)
        given = self._inputs({"qt": qt, "njets": njets, "u": u})
        return np.asarray(self.set[f"{estimator}_u_{component}"].evaluate(*given.values(), systematic))

    def _joint(
        self,
        estimator: str,
        recoils: Mapping[str, Recoil],
        context: Mapping[str, ArrayLike],
        systematic: str,
    ) -> tuple[Array, Array]:
        """Both corrected components of an estimator, GeV, of the recoils of those that it needs, itself the last."""
        self._require_systematic(estimator, systematic)
        values = [part for u in recoils.values() for part in (u.u_par, u.u_perp)]
        names = [f"{name}_u_{component}" for name in recoils for component in ("par", "perp")]
        given = self._inputs(
            {**{name: context[name] for name in self.context}, **dict(zip(names, values, strict=True))}
        )
        inputs = list(given.values())
        par = self.set[f"{estimator}_u_par"].evaluate(*inputs[:-1], systematic)
        return np.asarray(par), np.asarray(self.set[f"{estimator}_u_perp"].evaluate(*inputs, systematic))

    def _require_systematic(self, estimator: str, systematic: str) -> None:
        if systematic not in self.systematics(estimator):
            raise UnknownName(f"systematic of {self.path}", systematic, self.systematics(estimator))

    def _inputs(self, given: Mapping[str, ArrayLike]) -> dict[str, NDArray]:
        """What a map is evaluated with, checked."""
        values: dict[str, NDArray] = {name: np.asarray(array, float) for name, array in given.items()}
        for name, array in values.items():
            if name == "njets":
                self._check(name, array, (array >= 0) & (array == np.floor(array)), "an integer from 0")
            elif name in ("qt", "npv"):
                self._check(name, array, np.isfinite(array) & (array >= 0), "a number from 0")
            else:
                self._check(name, array, np.isfinite(array), "a number")
        if "njets" in values:
            values["njets"] = np.minimum(values["njets"], np.iinfo(np.int32).max).astype(np.int64)
        return values

    def shift(self, estimator: str, npv: ArrayLike, sample: str) -> Vector:
        """(events, 2) mean pTmiss of ``data`` or ``mc`` against nPV, GeV, which the XY correction subtracts."""
        self._require(estimator)
        if sample not in SAMPLES:
            raise UnknownName("sample", sample, SAMPLES)
        npv = np.asarray(npv, float)
        self._check("npv", npv, np.isfinite(npv) & (npv >= 0), "a number from 0")
        correction = self.set[f"{estimator}_xy"]
        return np.stack([correction.evaluate(sample, axis, npv) for axis in AXES], axis=-1)

    def response(self, estimator: str, qt: ArrayLike, sample: str, kind: str = "plateau") -> Array:
        """The response to divide u by, in the shape of qT (GeV): of the ``plateau``, or of each ``bin`` of qT."""
        self._require(estimator)
        qt = np.asarray(qt, float)
        self._check("qt", qt, np.isfinite(qt) & (qt >= 0), "a number from 0")
        return np.asarray(self.set[f"{estimator}_response"].evaluate(sample, kind, qt))

    def weight(self, npv: ArrayLike) -> Array:
        """(events,) weights of simulated events by their number of vertices; 1 where the calibration did without."""
        npv = np.asarray(npv, float)
        if PILEUP not in self._names:
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
        others: Mapping[str, Vector] | None = None,
        rapidity: ArrayLike | None = None,
    ) -> Vector:
        """(events, 2) corrected pTmiss, GeV.

        The mean is taken off first. Then of ``mc`` the recoil against the boson is mapped, with what is ``visible`` of
        the boson (see ptmiss.recoil); not of ``data``, nor of a simulated ``background``, nor of an event without a
        boson (NaN). An event whose pTmiss is not finite stays as it is.

        others: (events, 2) pTmiss by estimator, GeV, as it came; a joint map needs that of the estimators ``needed``,
        and, if ``context`` names it, the boson's rapidity (events,). Where that is not finite there is no boson.
        """
        out = self.centred(estimator, met, npv, "data" if sample == "data" else "mc")
        if sample != "mc" or not self.maps:
            return out
        seen = boson if visible is None else visible
        mets = self._all(estimator, out, npv, others or {})
        known = np.isfinite(sum(mets.values()) + boson + seen).all(axis=1)
        context = {"npv": npv, "njets": njets, **self._rapidity(rapidity)}
        known &= np.isfinite(np.asarray(context.get(RAPIDITY, 0.0)))
        boson, seen = boson[known], seen[known]
        recoils = {name: recoil(boson, each[known], seen) for name, each in mets.items()}
        u = recoils[estimator]
        if self.joint:
            given = {"qt": u.qt, **{name: np.asarray(values)[known] for name, values in context.items()}}
            par, perp = self._joint(estimator, recoils, given, systematic)
        else:
            par = self.u(estimator, "par", u.qt, np.asarray(njets)[known], u.u_par, systematic)
            perp = self.u(estimator, "perp", u.qt, np.asarray(njets)[known], u.u_perp, systematic)
        out[known] = met_from_recoil(par, perp, boson, seen)
        return out

    def _rapidity(self, rapidity: ArrayLike | None) -> dict[str, ArrayLike]:
        """The boson's rapidity if the maps depend on it; CorrectionError if it is not given then."""
        if not self.of_rapidity:
            return {}
        if rapidity is None:
            raise CorrectionError(f"{self.path} maps by the boson's rapidity too: expected rapidity (events,)")
        return {RAPIDITY: rapidity}

    def _all(self, estimator: str, met: Vector, npv: ArrayLike, others: Mapping[str, Vector]) -> dict[str, Vector]:
        """The simulated pTmiss less its mean of the estimators that are needed, this one the last."""
        before = self.needed(estimator)[:-1]
        missing = [name for name in before if name not in others]
        if missing:
            raise CorrectionError(
                f"{self.path} maps {estimator} together with {', '.join(before)}: "
                f"pTmiss of {', '.join(missing)} is needed"
            )
        return {**{name: self.centred(name, others[name], npv, "mc") for name in before}, estimator: met}

    def centred(self, estimator: str, met: Vector, npv: ArrayLike, sample: str) -> Vector:
        """(events, 2) pTmiss less its mean in ``data`` or ``mc``, GeV; what is not finite stays as it is."""
        out, finite = np.array(met, float), np.isfinite(met).all(axis=1)
        out[finite] -= self.shift(estimator, np.asarray(npv)[finite], sample)
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
def load(path: AnyPath) -> Corrections:
    """The corrections of a file, read once in each process while it stays as it is.

    Args:
        path: a file that ``calibrate`` wrote, correctionlib JSON, plain or gzip.

    Returns:
        The corrections, ready to be applied to arrays.

    Raises:
        FileError: there is no such file.
        CorrectionError: it is no correction file, of another schema, or changed after it was written.
    """
    path = as_path(path)
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
    if metadata.get(CONTENT, own := content_digest(content)) != own:
        raise CorrectionError(f"{path} was changed after it was written: its corrections have another SHA-256")
    try:
        evaluators = correctionlib.CorrectionSet.from_string(text)
    except (RuntimeError, IndexError, ValueError) as error:
        raise CorrectionError(f"{path}: {str(error).splitlines()[0]}") from error
    return Corrections(str(path), digest(raw), metadata, evaluators)


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the corrections of a set, whatever its JSON looks like."""
    return digest(json.dumps(content.get("corrections"), sort_keys=True).encode())


def _metadata(path: Path, description: Any) -> dict[str, Any]:
    """What ``ptmiss calibrate`` writes into the last line of the description of the set."""
    try:
        metadata = json.loads(description.splitlines()[-1])
        found = metadata["schema"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorrectionError(f"{path} holds corrections, but not of ptmiss calibrate: no {SCHEMA} in it") from error
    if found != SCHEMA:
        raise CorrectionError(f"{path} has corrections of schema {found}, expected {SCHEMA}")
    return metadata
