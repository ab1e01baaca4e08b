"""Recoil tables drawn from known sums of Gaussians: what a calibration should find is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptmiss import table
from ptmiss.calibration.gaussians import Counts, Mixture, mixture
from ptmiss.histograms import CALIBRATION_RESIDUAL
from ptmiss.recoil import cartesian, met_from_recoil

MC = {"par": mixture([-2.0, -4.0, 10.0, 1.9, 0.7]), "perp": mixture([0.0, 0.0, 9.0, 2.0, 0.75])}
DATA = {"par": mixture([-4.0, -6.0, 11.5, 1.8, 0.65]), "perp": mixture([0.5, -0.5, 10.5, 1.9, 0.7])}
TOP = {"par": mixture([-30.0, 50.0]), "perp": mixture([0.0, 50.0])}
SHIFT = {"data": ((1.0, 0.15), (-0.5, -0.1)), "mc": ((0.0, 0.0), (0.0, 0.0))}
PILEUP = {"data": 22, "mc": 25}
EDGES = np.array(CALIBRATION_RESIDUAL)


def draw(law: Mixture, n: int, rng: np.random.Generator):
    """n values of a law."""
    number = rng.choice(len(law.fractions), n, p=law.fractions)
    return rng.normal(law.means[number], law.widths[number])


def counts(law: Mixture, n: int, rng: np.random.Generator, background: int = 0, simulated: int = 10) -> Counts:
    """A histogram of n values, with a background that simulation knows with so many times the events."""
    values = np.histogram(draw(law, n, rng), EDGES)[0].astype(float)
    if not background:
        return Counts(values, values.copy(), EDGES)
    values += np.histogram(draw(TOP["par"], rng.poisson(background), rng), EDGES)[0]
    known = np.histogram(draw(TOP["par"], rng.poisson(background * simulated), rng), EDGES)[0]
    return Counts(values, values.copy(), EDGES, Counts(known / simulated, known / simulated**2, EDGES))


def columns(laws, n: int, sample: str, rng: np.random.Generator):
    """Columns of a recoil table with one estimator, puppi."""
    qt, npv = 5 + rng.exponential(25, n), 1 + rng.poisson(PILEUP[sample], n)
    boson = cartesian(qt, rng.uniform(-np.pi, np.pi, n))
    met = met_from_recoil(qt + draw(laws["par"], n, rng), draw(laws["perp"], n, rng), boson)
    met += np.stack([a + b * npv for a, b in SHIFT[sample]], axis=1)
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
