"""Energy scale and resolution of jets, and their uncertainties, from the JSON of CMS's JME group.

A file has corrections ``<tag>_MC_<level>_<jets>`` and ``<tag>_<run>_DATA_<level>_<jets>``, for example
``Summer22_22Sep2023_V3_MC_L1L2L3Res_AK4PFPuppi``. Which of them an era takes is found here by their names. Smearing has
a file of its own, with the correction ``JERSmear``; its random numbers are hashes of the jet and the event's number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss.corrections import lookups
from ptmiss.corrections.lookups import Lookup, LookupFile
from ptmiss.errors import CorrectionError, OptionError, UnknownName
from ptmiss.typing import Array

ALL, OFFSET = "L1L2L3Res", "L1FastJet"
TOTAL = "Total"
JES, REGROUPED = "jes", "jes_regrouped"
RESOLUTION, SCALE_FACTOR, SMEAR = "PtResolution", "ScaleFactor", "JERSmear"
MARKS = {"mc": "MC", "data": "DATA"}
MAX_ETA = 5.19
"""The binnings of the files end at 5.191, and some say -999 beyond; a jet there gets what is valid here."""

NO_PARTNER = -1.0  # GeV, pT of the generated jet of a jet that has none
LEVELS = {ALL, OFFSET, "L2Relative", "L3Absolute", "L2L3Residual", RESOLUTION, SCALE_FACTOR}

Columns = Mapping[str, NDArray[Any]]
"""Inputs by their names in the files, (jets,) each: JetPt (uncorrected, GeV), JetEta, JetPhi, JetA, Rho (GeV), run."""


@dataclass(frozen=True)
class JetEnergy:
    """The corrections of one era, for data or simulation.

    tag: what the names of the corrections begin with; jets: what they end with; smear: a file with JERSmear, if any.
    """

    file: LookupFile
    tag: str
    jets: str
    smear: LookupFile | None = None

    def factor(self, level: str, jets: Columns) -> Array:
        """(jets,) by which uncorrected pT is multiplied; level: ``L1FastJet``, or ``L1L2L3Res`` for all levels."""
        return self._look_up(self.file[f"{self.tag}_{level}_{self.jets}"], jets)

    @cached_property
    def sources(self) -> list[str]:
        """Sources of uncertainty of the energy scale; ``Total`` is all of them."""
        found = re.compile(rf"{re.escape(self.tag)}_(\w+)_{self.jets}")
        names = (match[1] for name in self.file.lookups if (match := found.fullmatch(name)))
        return [name for name in names if name not in LEVELS]

    @property
    def regrouped(self) -> list[str]:
        """The sources in few groups, whose squares add up to that of ``Total``."""
        return [source for source in self.sources if source.startswith("Regrouped_") and not source.endswith(TOTAL)]

    def require(self, systematics: Iterable[str]) -> None:
        """Raise UnknownName if a systematic names a source that is not there."""
        for source in (source_of(name) for name in systematics if is_scale(name)):
            if source not in self.sources:
                raise UnknownName(f"source of {self.tag} in {self.file.path}", source, self.sources)

    def uncertainty(self, source: str, jets: Columns) -> Array:
        """(jets,) relative uncertainty of the energy scale by one source; JetPt is the corrected pT here, GeV."""
        if source not in self.sources:
            raise UnknownName(f"source of {self.tag} in {self.file.path}", source, self.sources)
        return self._look_up(self.file[f"{self.tag}_{source}_{self.jets}"], jets)

    def resolution(self, jets: Columns) -> Array:
        """(jets,) relative resolution of pT in simulation; JetPt is the corrected pT here, GeV."""
        return self._look_up(self._resolution(RESOLUTION), jets)

    def smearing(self, jets: Columns, gen_pt: Array, event: NDArray[np.integer], systematic: str = "nom") -> Array:
        """(jets,) by which the corrected pT of simulated jets is multiplied so that they have the resolution of data.

        Args:
            jets: JetPt is the corrected pT here, GeV.
            gen_pt: (jets,) pT of the generated jet, GeV; NO_PARTNER without one.
            event: (jets,) number of the event.
            systematic: ``nom``, ``up`` or ``down``.
        """
        if self.smear is None:
            raise CorrectionError(f"no file with {SMEAR} was given beside {self.file.path}: jets cannot be smeared")
        scale = self._look_up(self._resolution(SCALE_FACTOR), {**jets, "systematic": systematic})
        given = {"GenPt": gen_pt, "EventID": event, "JER": self.resolution(jets), "JERSF": scale}
        return self._look_up(self.smear[SMEAR], {**jets, **given})

    def _resolution(self, level: str) -> Lookup:
        """The resolution has a tag of its own, of which a file has one."""
        ending = f"_MC_{level}_{self.jets}"
        names = [name for name in self.file.lookups if name.endswith(ending)]
        if len(names) != 1:
            raise CorrectionError(
                f"{self.file.path} has {', '.join(names) or 'nothing'}, expected one *{ending} for the resolution"
            )
        return self.file[names[0]]

    @staticmethod
    def _look_up(lookup: Lookup, jets: Mapping[str, Any]) -> Array:
        missing = [name for name in lookup.inputs if name not in jets]
        if missing:
            raise CorrectionError(f"{lookup.name} in {lookup.path} needs {missing[0]} of each jet, which is not there")
        given = {name: jets[name] for name in lookup.inputs}
        return lookup({**given, "JetEta": np.clip(jets["JetEta"], -MAX_ETA, MAX_ETA)}, clamp=True)


def is_scale(systematic: str) -> bool:
    """Whether a systematic is the energy scale of jets: ``jes``, or ``jes_<Source>``."""
    return systematic == JES or systematic.startswith(f"{JES}_")


def source_of(systematic: str) -> str:
    """The source of uncertainty of ``jes_<Source>``; that of ``jes`` is all of them."""
    return systematic.removeprefix(JES).removeprefix("_") or TOTAL


def require_apart(systematics: Iterable[str]) -> None:
    """Raise OptionError if all sources of the energy scale are named, and one of them once more."""
    scales = sorted({name for name in systematics if is_scale(name)})
    if whole := [name for name in scales if name in (JES, REGROUPED) and len(scales) > 1]:
        other = next(name for name in scales if name != whole[0])
        raise OptionError(f"systematic {whole[0]!r} is all sources: {other!r} beside it would count twice")


def expand(systematics: Iterable[str], path: str) -> list[str]:
    """Systematics, with ``jes_regrouped`` replaced by the groups of sources in a file, for simulation."""
    given = list(systematics)
    require_apart(given)
    groups = [f"{JES}_{source}" for source in load(path, "mc").regrouped] if REGROUPED in given else []
    return list(dict.fromkeys(name for one in given for name in (groups if one == REGROUPED else [one])))


def load(
    path: str | Path, kind: str, era: str | None = None, prefer: str = "AK4PFPuppi", smear: str | Path = ""
) -> JetEnergy:
    """Load the corrections of one era.

    Args:
        path: JSON of jets' energy, plain or gzip.
        kind: ``mc`` or ``data``.
        era: a tag in the file, or a part of one: ``RunCD``; not needed where the file has only one.
        prefer: the kind of jets, if the file has several.
        smear: JSON with ``JERSmear``; needed for smearing alone.

    Returns:
        The corrections, their uncertainties and the resolution.

    Raises:
        FileError: there is no such file.
        CorrectionError: the file has no corrections of jets' energy for this kind.
        OptionError: the file has several eras.
        UnknownName: the file does not have this era.
    """
    if kind not in MARKS:
        raise UnknownName("kind of events", kind, MARKS)
    file = lookups.load(str(path))
    found = re.compile(rf"(\w+_{MARKS[kind]})_{ALL}_(\w+)")
    pairs = [match.groups() for name in file.lookups if (match := found.fullmatch(name))]
    if not pairs:
        raise CorrectionError(f"{path} has no energy correction of jets for {kind}: no *_{MARKS[kind]}_{ALL}_*")
    tag = era_of(str(path), kind, list(dict.fromkeys(tag for tag, _ in pairs)), era)
    kinds = [jets for of, jets in pairs if of == tag]
    chosen = prefer if prefer in kinds else kinds[0]
    return JetEnergy(file, tag, chosen, lookups.load(str(smear)) if smear else None)


def era_of(path: str, kind: str, tags: list[str], era: str | None) -> str:
    """The tag of an era among those of a file."""
    if era is None:
        if len(tags) > 1:
            raise OptionError(f"{path} has several eras for {kind}: expected one of {', '.join(tags)} as era")
        return tags[0]
    fits = [tag for tag in tags if f"_{era}_" in f"_{tag}_"]
    if len(fits) != 1:
        raise UnknownName(f"era of {path} for {kind}", era, tags)
    return fits[0]
