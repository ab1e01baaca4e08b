"""What is in an event file, measured: candidates, jets and elements, each number with its error.

For simulated files, and for real ones with PFNano's branches where that makes sense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import matplotlib as mpl
import numpy as np
import pandas as pd
import uproot
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ptmiss import elements, plots
from ptmiss.bootstrap import half_width

JET_EDGES = (20, 30, 40, 60, 100, 200, 400, 800)
JET_REGIONS = {"centre": (0, 1.3), "endcap": (1.7, 2.4)}
MIN_JETS = 20
ETA_EDGES = (0, 0.8, 1.479, 2.0, 2.5, 3.0, 3.5, 4.2, 5.2)
TYPES = {
    211: "charged hadron",
    22: "photon",
    130: "neutral hadron",
    1: "HF hadron",
    2: "HF photon",
    13: "muon",
    11: "electron",
}
SPECTRA = {"pt": np.geomspace(0.2, 200, 25), "eta": np.linspace(-5.2, 5.2, 27)}


def composition(path: Path | str, edges: Sequence[float] = (0, np.inf)) -> pd.DataFrame:
    """Candidates of each type in bins of abs(eta): number and sum of pT (GeV) an event with errors, quartiles of pT."""
    events = read(path, [f"PFCands_{name}" for name in ("pt", "eta", "pdgId")])
    eta, rows = np.abs(events.PFCands_eta), []
    for code, title in TYPES.items():
        for low, high in pairwise(edges):
            pt = events.PFCands_pt[(np.abs(events.PFCands_pdgId) == code) & (eta >= low) & (eta < high)]
            quartiles = np.quantile(ak.flatten(pt), [0.25, 0.5, 0.75]) if ak.any(ak.num(pt)) else np.full(3, np.nan)
            of_pt = dict(zip(("pt_25", "pt_50", "pt_75"), quartiles, strict=True))
            numbers = mean("number", ak.num(pt).to_numpy()) | mean("sum_pt", ak.sum(pt, axis=1).to_numpy())
            rows.append({"type": title, "eta_low": low, "eta_high": high, **numbers, **of_pt})
    return pd.DataFrame(rows)


def spectra(path: Path | str) -> pd.DataFrame:
    """Candidates of each type an event, with errors, in bins of pT (GeV) and of eta."""
    events = read(path, [f"PFCands_{name}" for name in ("pt", "eta", "pdgId")])
    n, kind, parts = len(events), np.abs(ak.to_numpy(ak.flatten(events.PFCands_pdgId))), []
    for code, title in TYPES.items():
        for quantity, edges in SPECTRA.items():
            counts, _ = np.histogram(ak.to_numpy(ak.flatten(events[f"PFCands_{quantity}"]))[kind == code], edges)
            bins = {"type": title, "quantity": quantity, "low": edges[:-1], "high": edges[1:]}
            parts.append(pd.DataFrame({**bins, "number": counts / n, "number_error": np.sqrt(counts) / n}))
    return pd.concat(parts, ignore_index=True)


def jet_response(path: Path | str) -> pd.DataFrame:
    """Jet pT over generated pT in bins of the latter (GeV): median, and half width over the median."""
    events = read(path, ["Jet_pt", "Jet_genJetIdx", "GenJet_pt", "GenJet_eta"])
    matched = events.Jet_genJetIdx >= 0
    index = events.Jet_genJetIdx[matched]
    true, eta = (ak.flatten(events[f"GenJet_{name}"][index]).to_numpy() for name in ("pt", "eta"))
    ratio, rows = ak.flatten(events.Jet_pt[matched]).to_numpy() / true, []
    for region, (inner, outer) in JET_REGIONS.items():
        for low, high in pairwise(JET_EDGES):
            values = ratio[(np.abs(eta) > inner) & (np.abs(eta) < outer) & (true >= low) & (true < high)]
            if len(values) >= MIN_JETS:
                where = {"region": region, "pt_low": low, "pt_high": high, "jets": len(values)}
                rows.append(where | quantiles("response", values, relative=True))
    return pd.DataFrame(rows)


def accounting(path: Path | str) -> pd.DataFrame:
    """Targets by element type: elements an event, shares without target and with several particles, pile-up's of pT."""
    names = [f"PFElementTarget_{name}" for name in ("pt", "nParticles", "pileupFraction")]
    events, rows = read(path, ["PFElement_type", *names]), []
    some = ak.num(events.PFElement_type) > 0
    kind, pt, particles, soft = (ak.flatten(events[n][some]).to_numpy() for n in ("PFElement_type", *names))
    for code, title in elements.TYPES.items():
        chosen = kind == code
        shares = {"without_target": particles[chosen] == 0, "several_particles": particles[chosen] > 1}
        row = {"element": title, "number": chosen.sum() / ak.sum(some), **{n: s.mean() for n, s in shares.items()}}
        rows.append(row | {"pileup_share": np.average(soft[chosen], weights=np.maximum(pt[chosen], 1e-9))})
    return pd.DataFrame(rows)


def draw_spectra(found: Mapping[str, pd.DataFrame]) -> Figure:
    """Candidates of each type against pT and eta, several samples in each panel."""
    shown = list(TYPES.values())[:5]
    pt = {"xscale": "log", "yscale": "log", "xlabel": r"$p_\mathrm{T}$ (GeV)"}
    axis: dict[str, dict[str, Any]] = {"pt": pt, "eta": {"xlabel": r"$\eta$"}}
    with mpl.rc_context({**plots.STYLE, "font.size": 17}):
        figure = Figure(figsize=(4.6 * len(shown), 8.5), layout="constrained")
        for row, quantity in zip(figure.subplots(2, len(shown)), SPECTRA, strict=True):
            for axes, title in zip(row, shown, strict=True):
                for colour, (name, table) in zip(("#d55e00", "#000000"), found.items(), strict=False):
                    rows = table[(table.type == title) & (table.quantity == quantity) & (table.number > 0)]
                    centre = (rows.low + rows.high) / 2
                    axes.errorbar(centre, rows.number, rows.number_error, fmt="o", color=colour, label=name)
                axes.set(ylabel="an event and bin" if title == shown[0] else "", **axis[quantity])
                axes.set_title(f"{title}s", fontsize="medium")
                axes.set_ylim(bottom=0 if quantity == "eta" else None)
        figure.axes[0].legend(loc="lower left", fontsize="small")
    return figure


def read(path: Path | str, names: Sequence[str]) -> ak.Array:
    """Branches of all events, (events,) or (events, var) as they are stored."""
    with uproot.open(path) as file:
        return file["Events"].arrays(list(names))


def mean(name: str, values: NDArray) -> dict[str, float]:
    """Mean of values, (n,), and its error, as columns of a table."""
    return {name: float(np.mean(values)), f"{name}_error": float(np.std(values) / np.sqrt(len(values)))}


def quantiles(name: str, values: NDArray, relative: bool = False) -> dict[str, float]:
    """Median and half width of values, (n,), the latter over the median if relative, with errors of a Gaussian."""
    median = float(np.median(values))
    width, error = float(half_width(values)[0]), np.sqrt(np.pi / 2 / len(values))
    centre = {name: median, f"{name}_error": error * width}
    width = width / median if relative else width
    return centre | {"half_width": width, "half_width_error": width / np.sqrt(len(values))}
