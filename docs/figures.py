"""Figures of the first page and of docs/figures.md, from the embedded sample: ``python docs/figures.py``."""

from __future__ import annotations

from pathlib import Path

import hist
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ptmiss import histograms, plots, recoil, resolutions, sample, table
from ptmiss.histograms import stacks

HERE = Path(__file__).parent
LABEL = "CMS-like simulation (13 TeV)"
ESTIMATORS = ("pf", "puppi", "deepmet", "deepmet_local")
TOP = 0.1775  # luminosity of the pseudo-data over that of the top pairs
NAMED = {"zmumu": "Z → μμ", "ttbar": "top pairs"}


def overview() -> Figure:
    """Response and widths of the first page."""
    read = table.read(sample.recoil("zmumu")).only(ESTIMATORS)
    found = resolutions.tabulate(resolutions.from_table(read), "bin")
    return plots.panels(found[found["region"] == "inclusive"], plots.OVERVIEW, LABEL)


def spectrum() -> Figure:
    """mT of W decays by three estimators, beside the generated one."""
    read = table.read(sample.recoil("wmunu"))
    read = read.select(np.isfinite(read["lepton_pt"]) & np.isfinite(read["genmet_pt"]))
    vectors = {name: read.met(name) for name in ESTIMATORS[:3]} | {plots.GENERATED: read.vector("genmet")}
    filled = histograms.book_mt(list(vectors))["mt"]
    for name, met in vectors.items():
        mass = recoil.transverse_mass(read.vector("lepton"), met)
        filled.fill("nominal", name, mass, weight=read["weight"])
    coarse = filled[{"systematic": "nominal", "mt": slice(None, None, hist.rebin(2))}]
    return plots.spectrum(plots.spectrum_rows(coarse), str(filled.axes["mt"].label), LABEL)


def stack() -> Figure:
    """pTmiss by DeepMET in pseudo-data over simulation, before any calibration."""
    counts = {name: pair_met(name) for name in ("data", "zmumu", "ttbar")}
    edges = histograms.book_met(["deepmet"])["met"].axes["met"].edges[::2]
    seen = np.histogram(counts["data"], edges)[0]
    top = TOP * np.histogram(counts["ttbar"], edges)[0]
    signal = np.histogram(counts["zmumu"], edges)[0].astype(float)
    scale = (seen.sum() - top.sum()) / signal.sum()
    error = np.sqrt(scale**2 * signal + TOP * top)
    parts = {NAMED["ttbar"]: top, NAMED["zmumu"]: scale * signal}
    rows = stacks.tabulate(edges, (seen, np.sqrt(seen)), parts, (top + scale * signal, error), {})
    title = r"$p_\mathrm{T}^\mathrm{miss}$ (GeV)"
    return stacks.figure(pd.DataFrame({"estimator": "deepmet", **rows}), title, None, LABEL, "pseudo-data")


def pair_met(name: str) -> np.ndarray:
    """pTmiss (GeV) by DeepMET in the events of an embedded table with a pair in the window."""
    read = table.read(sample.recoil(name))
    return recoil.magnitude(read.select(resolutions.has_boson(read, "boson")).met("deepmet"))


FIGURES = {"demo": overview, "figure_spectrum": spectrum, "figure_stack": stack}
DPI = {"demo": 60}

if __name__ == "__main__":
    for name, draw in FIGURES.items():
        plots.save(draw(), HERE / name, ["png"], DPI.get(name, 50))
