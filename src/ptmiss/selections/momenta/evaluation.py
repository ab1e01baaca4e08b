"""The leptons of events with corrected momenta."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.corrections import lookups
from ptmiss.errors import ColumnError, hint
from ptmiss.leptons import SHIFT
from ptmiss.truth import is_data
from ptmiss.typing import Array

from . import electrons, muons
from .base import Momenta
from .random import uniform
from .schema import VARIATIONS, Momentum

ETA = "superclusterEta"
COLUMNS = {"muon": muons.COLUMNS, "electron": electrons.COLUMNS}
OF_EVENTS = ("run", "luminosityBlock", "event")


def corrected(leptons: ak.Array, events: Any, flavour: str, momentum: Momentum) -> ak.Array:
    """Leptons with corrected pT and what it changed: ``shift``, and ``shift_muon_scale_up`` and so on, all in GeV.

    leptons: jagged records of all leptons of a flavour; electrons with superclusterEta.
    """
    found, pt = evaluate(leptons, events, flavour, momentum), ak.values_astype(leptons.pt, np.float64)
    nominal = _jagged(found.nominal, leptons)
    leptons = ak.with_field(ak.with_field(leptons, nominal, "pt"), nominal - pt, SHIFT)
    for name, varied in found.varied.items():
        leptons = ak.with_field(leptons, _jagged(varied - found.nominal, leptons), f"{SHIFT}_{flavour}_{name}")
    return leptons


def evaluate(leptons: ak.Array, events: Any, flavour: str, momentum: Momentum) -> Momenta:
    """pT of all leptons, flat, nominal and varied: formulas go before the file of a group."""
    found, data = _of_file(leptons, events, flavour, momentum, is_data(events)), is_data(events)
    formulas = {name: formula for name, formula in momentum.formulas.items() if name == "pt" or not data}
    columns = {name: _flat(leptons[name]) for formula in formulas.values() for name in formula.names}
    values = {name: _values(name, formula(columns), len(found.nominal)) for name, formula in formulas.items()}
    nominal = values.pop("pt", found.nominal)
    return Momenta(nominal, {**found.varied, **values})


def _of_file(leptons: ak.Array, events: Any, flavour: str, momentum: Momentum, data: bool) -> Momenta:
    if not momentum.file:
        return Momenta(_flat(leptons.pt).astype(np.float64))
    file = lookups.load(momentum.file)
    counts = ak.to_numpy(ak.num(leptons.pt))
    of_event = {name: np.repeat(ak.to_numpy(events[name]), counts) for name in OF_EVENTS}
    columns = {name: of_event[name] if name == "run" else _flat(leptons[name]) for name in COLUMNS[flavour]}
    random = _flat(leptons[momentum.random]) if momentum.random else _random(leptons, of_event)
    if flavour == "muon":
        return muons.correct(file, columns, random, data)
    return electrons.correct(file, momentum, columns, random, data)


def _random(leptons: ak.Array, of_event: dict[str, NDArray]) -> Array:
    """(leptons,) numbers between 0 and 1 that belong to the lepton."""
    return uniform(*of_event.values(), _flat(ak.local_index(leptons.pt)))


def _values(name: str, values: Array, number: int) -> Array:
    values = np.broadcast_to(values, number)
    if bad := np.count_nonzero(~np.isfinite(values)):
        raise ColumnError(f"leptons.momentum.{name}: {bad} of {number} leptons have no value of the formula")
    return values


def _flat(column: ak.Array) -> NDArray[Any]:
    return np.asarray(ak.to_numpy(ak.flatten(column)))


def _jagged(values: Array, leptons: ak.Array) -> ak.Array:
    return ak.unflatten(np.ascontiguousarray(values), ak.num(leptons.pt))


def systematics(flavour: str, momentum: Momentum) -> list[str]:
    """Names of the variations that are there in simulation: ``muon_scale_up`` and so on."""
    if not momentum.file:
        return [f"{flavour}_{name}" for name in VARIATIONS if getattr(momentum, name)]
    old = flavour == "electron" and electrons.run_2(lookups.load(momentum.file))
    own = [name for name in VARIATIONS if not old or name.startswith("scale") or getattr(momentum, name)]
    return [f"{flavour}_{name}" for name in own]


def require(momentum: Momentum, flavour: str, there: Collection[str], path: str) -> None:
    """Raise an error if a file of events lacks a column, or the group's file what is looked up."""
    collection = flavour.capitalize()
    if momentum.file:
        file = lookups.load(momentum.file)
        muons.require(file) if flavour == "muon" else electrons.require(file, momentum)
        for name in (*COLUMNS[flavour], *([momentum.random] if momentum.random else ())):
            _require(collection, name, there, path, momentum.file)
    for key, formula in momentum.formulas.items():
        for name in formula.names:
            _require(collection, name, there, path, f"leptons.momentum.{key}")


def _require(collection: str, name: str, there: Collection[str], path: str, needed: str) -> None:
    """Raise ColumnError unless a file has a column of leptons; the supercluster's eta may be stored by its distance."""
    branch = name if name in OF_EVENTS else f"{collection}_{name}"
    if branch in there or (name == ETA and f"{collection}_deltaEtaSC" in there):
        return
    raise ColumnError(f"{needed} needs branch {branch}, which {path} does not have{hint(branch, there)}")
