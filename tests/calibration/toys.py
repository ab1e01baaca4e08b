"""Recoil tables and histograms drawn from known sums of Gaussians: what a calibration should find is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import uproot

from ptmiss import table
from ptmiss.binning import CALIBRATION_QT, CALIBRATION_RESIDUAL
from ptmiss.calibration.gaussians import Mixture
from ptmiss.histograms import COMPONENTS, book_calibration
from ptmiss.recoil import azimuth, cartesian, magnitude, met_from_recoil


def law(fractions, means, widths) -> Mixture:
    """One row of Gaussians."""
    return Mixture(*(np.atleast_2d(np.asarray(part, float)) for part in (fractions, means, widths)))


MC = {"par": law([0.7, 0.3], [-2, -4], [10, 19]), "perp": law([0.75, 0.25], [0, 0], [9, 18])}
DATA = {"par": law([0.65, 0.35], [-4, -6], [11.5, 20.7]), "perp": law([0.7, 0.3], [0.5, -0.5], [10.5, 19.95])}
TOP = {"par": law([1], [-30], [50]), "perp": law([1], [0], [50])}
SHIFT = {"data": ((1.0, 0.15), (-0.5, -0.1)), "mc": ((0.0, 0.0), (0.0, 0.0))}
PILEUP = {"data": 22, "mc": 25}
EDGES = np.array(CALIBRATION_RESIDUAL)
QT = np.array(CALIBRATION_QT)

Truth = Callable[[np.ndarray, np.ndarray], Mixture]
"""The law at qT and nJets."""


def draw(of: Mixture, n: int, rng: np.random.Generator):
    """n values of a law of one row."""
    return drawn(Mixture(*(np.broadcast_to(p, (n, p.shape[1])) for p in (of.fractions, of.means, of.widths))), rng)


def drawn(of: Mixture, rng: np.random.Generator):
    """One value of each row of a law."""
    below = np.cumsum(of.fractions, axis=1)
    number = (rng.random((len(below), 1)) > below).sum(axis=1).clip(max=below.shape[1] - 1)
    rows = np.arange(len(number))
    return rng.normal(of.means[rows, number], of.widths[rows, number])


def linear(sample: str) -> Truth:
    """Two Gaussians with parameters that are straight lines in qT and nJets."""
    at, by_qt, by_jets = {
        "mc": ([-2, -6, 9, 17, 0.75], [-0.02, -0.04, 0.025, 0.045, -0.0005], [-1, -1.5, 1.5, 2.5, -0.03]),
        "data": ([-3, -8, 10, 18.5, 0.70], [-0.03, -0.05, 0.028, 0.05, -0.0005], [-1, -1.8, 1.7, 2.5, -0.025]),
    }[sample]

    def truth(qt, jets) -> Mixture:
        p = np.array(at) + np.multiply.outer(qt, by_qt) + np.multiply.outer(jets, by_jets)
        return Mixture(np.stack([p[:, 4], 1 - p[:, 4]], axis=1), p[:, :2], p[:, 2:4])

    return truth


def constant(of: Mixture) -> Truth:
    """The same law everywhere."""
    return lambda qt, _: Mixture(*(np.repeat(part, len(qt), axis=0) for part in (of.fractions, of.means, of.widths)))


def spectrum(n: int, rng: np.random.Generator):
    """qT (GeV) and nJets, 0 to 2, of n events: more jets at high qT."""
    qt = rng.gamma(1.2, 20, n)
    return qt, np.minimum(rng.poisson(0.1 + qt / 80), 2)


def per_cell(events: int, cells: int, rng: np.random.Generator):
    """qT in cells of so many events each, without jets."""
    edges = np.array([0, 4, 8, 12, 16, 20, 26, 34, 44, 56, 71, 85, 110])[: cells + 1]
    low, high = np.repeat(edges[:-1], events), np.repeat(edges[1:], events)
    return rng.uniform(low, high), np.zeros(events * cells, int)


def histogram(qt, jets, residual, weight=1.0) -> hist.Hist:
    """The histogram ``residuals`` of one estimator, puppi, with the same residuals for both components."""
    out = book_calibration(["puppi"])["residuals"]
    for component in COMPONENTS:
        where = {"estimator": "puppi", "component": component, "qt": qt, "njets": jets}
        out.fill(**where, residual=residual, weight=np.broadcast_to(weight, len(qt)))
    return out


def residuals(truth: Truth, qt, jets, rng: np.random.Generator) -> hist.Hist:
    """The histogram of residuals drawn from a law at each event's qT and nJets."""
    return histogram(qt, jets, drawn(truth(qt, jets), rng))


def columns(laws, n: int, sample: str, rng: np.random.Generator, shift=SHIFT):
    """Columns of a recoil table with one estimator, puppi."""
    qt, npv = 5 + rng.exponential(25, n), 1 + rng.poisson(PILEUP[sample], n)
    boson = cartesian(qt, rng.uniform(-np.pi, np.pi, n))
    met = met_from_recoil(qt + draw(laws["par"], n, rng), draw(laws["perp"], n, rng), boson)
    met += np.stack([a + b * npv for a, b in shift[sample]], axis=1)
    nothing = np.full(n, np.nan)
    out = {
        **{name: np.arange(n) for name in ("run", "luminosityBlock", "event")},
        "weight": np.ones(n),
        "npv": npv,
        "njets": rng.poisson(0.3, n),
        "boson_mass": np.full(n, 91.0),
        "lepton_pt": nothing,
        "lepton_phi": nothing,
        **table.polar("boson", boson),
        **table.polar("met_puppi", met),
    }
    return out if sample == "data" else out | table.polar("genmet", 0 * boson) | table.polar("genboson", boson)


def write(path: Path, *parts, provenance=None) -> Path:
    """A table of the columns of one or more samples; the truth only where all have it."""
    names = [name for name in parts[0] if all(name in part for part in parts)]
    with table.writing(path) as writer:
        writer.write(table.rows({name: np.concatenate([part[name] for part in parts]) for name in names}))
        writer.close(provenance or {})
    return path


def write_all(directory: Path, n: int, seed: int = 1, top: int = 0) -> dict[str, Path]:
    """Tables ``data``, ``mc`` and, with top pairs in the data, ``top`` of three times as many."""
    rng = np.random.default_rng(seed)
    recorded = [columns(DATA, n, "data", rng)]
    if top:
        recorded.append(columns(TOP, top, "data", rng))
    out = {"data": write(directory / "data.parquet", *recorded)}
    out["mc"] = write(directory / "mc.parquet", columns(MC, n, "mc", rng))
    if top:
        out["top"] = write(directory / "top.parquet", columns(TOP, 3 * top, "mc", rng))
    return out


def write_events(path: Path, columns, rng: np.random.Generator) -> Path:
    """The same events as a file with muons, whose sum is the boson, and pTmiss as ``PuppiMET``; some fail the cuts."""
    n = len(columns["npv"])
    boson = cartesian(columns["boson_pt"], columns["boson_phi"])
    kick = cartesian(np.full(n, 40.0), rng.uniform(-np.pi, np.pi, n))
    pair = np.stack([boson / 2 + kick, boson / 2 - kick], axis=1)
    pt = magnitude(pair)
    opening = np.sum(pair[:, 0] * pair[:, 1], axis=-1) / pt.prod(axis=1) + 91.0**2 / (2 * pt.prod(axis=1))
    eta = np.arccosh(np.maximum(opening, 1.0))[:, np.newaxis] * [0.5, -0.5]
    muons = {"pt": pt, "eta": eta, "phi": azimuth(pair), "mass": 0 * pt, "pfRelIso04_all": 0 * pt}
    muons = {name: value.astype(np.float32) for name, value in muons.items()}
    muons |= {"charge": np.tile(np.array([1, -1], np.int32), (n, 1)), "looseId": np.ones((n, 2), bool)}
    counts = columns["njets"]
    jets = {"pt": 40.0, "eta": 2.0, "phi": 0.0, "mass": 0.0}
    branches = {
        **{name: columns[name].astype(np.int64) for name in ("run", "luminosityBlock", "event")},
        "PV_npvs": columns["npv"].astype(np.int32),
        "PuppiMET_pt": columns["met_puppi_pt"],
        "PuppiMET_phi": columns["met_puppi_phi"],
        "Muon": ak.zip({name: ak.from_regular(ak.Array(value)) for name, value in muons.items()}),
        "Jet": ak.zip({name: ak.unflatten(np.full(counts.sum(), x, np.float32), counts) for name, x in jets.items()}),
    }
    if "genmet_pt" in columns:
        branches |= {"genWeight": columns["weight"], "GenMET_pt": 0.0 * boson[:, 0], "GenMET_phi": 0.0 * boson[:, 0]}
    with uproot.recreate(path) as file:
        types = {name: value.type if isinstance(value, ak.Array) else value.dtype for name, value in branches.items()}
        file.mktree("Events", types, counter_name=lambda c: f"n{c}", field_name=lambda c, f: f"{c}_{f}")
        file["Events"].extend(branches)
    return path
