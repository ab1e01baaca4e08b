"""Words of a page: heads of tables with units, captions, definitions, and provenance as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ptmiss.plots import label_of

DEFINITIONS = {
    "qT": "transverse momentum of the boson: the lepton pair or photon, or the generated boson of a W",
    "u∥, u⊥": "components of the hadronic recoil u = -(pTmiss + qT), as vectors, along the boson and across it; "
    "u∥ counts positive against the boson, so that a perfect recoil has u∥ = qT and u⊥ = 0",
    "Response": "⟨u∥⟩ / ⟨qT⟩, a ratio of means; 1 where the recoil is measured in full",
    "Correction": "u∥ and u⊥ are divided by the response before widths are taken, or an estimator that measures "
    "too little would look sharp",
    "RMS, half width": "spread of u∥ - qT and of u⊥ about the mean, tails included; half of the interval that holds "
    "the central 68 %",
    "mT half width": "from the peak of the transverse mass of lepton and pTmiss to half its height on the right",
}
CAPTIONS = {
    "response": "Mean of u∥ over mean of qT in each bin: 1 where the recoil is measured in full.",
    "rms_par": "Spread along the boson, about the mean and with all tails; smaller is sharper.",
    "rms_perp": "Spread across the boson, with all tails; smaller is sharper.",
    "half_width_par": "Half of the interval that holds the central 68 % along the boson: the core, without tails.",
    "half_width_perp": "Half of the interval that holds the central 68 % across the boson: the core, without tails.",
    "mt": "Transverse mass of the lepton and pTmiss: the sharper pTmiss, the steeper the edge at the mass of the W.",
    "met": "Magnitude of the missing transverse momentum.",
    "significance": "pTmiss in units of its own error, squared: a chi² of two degrees without true pTmiss.",
}
EXPLAINED = {
    "parts": "Parts of the recoil by kind and vertex, |η| and pT",
    "dependence": "Weight of candidates against each input",
    "importance": "What each input is worth",
    "covariances": "Covariances of the parts of u⊥",
}
RELEVANCE = {
    "sources": "Whose relevance it is",
    "features": "Relevance of the inputs",
    "display": "Elements around the hardest candidates",
}
DRIFTS = "Points: one candidate in 128 of the run. Grey: the training. PSI above 0.1: the input has moved, 0.25: far."
CAPTIONS |= {
    "parts": "What each group of candidates adds to the response, and to the variances of u∥ - r qT and of u⊥. The "
    "parts of an estimator add up to the whole; a negative one cancels others.",
    "dependence": "Lines: candidates in which this input alone is turned. Points: candidates that have it as it is.",
    "importance": "Left: how much wider the response-corrected recoil gets when candidates swap the input. Right: how "
    "far the recoil moves with it, and what integrated gradients attribute to it.",
    "sources": "Gradient times input of one candidate's class or pT, over all elements of its event: shares of "
    "absolute values, means over candidates of different events.",
    "features": "The inputs with the largest shares. Sums over neighbours and blocks are inputs of the own element, so "
    "that a part of what neighbours do stands there.",
    "display": "Those of the drawn candidates. The area is the share of the relevance for the class; hollow: against "
    "it. Cross: the candidate's element.",
    "covariances": "All of them add up to the variance of u⊥. Blue: parts that cancel each other.",
}
GROUPS = {
    "Closure": "Ratios in regions of qT and jets, of events that took no part: 1 after a calibration that is right. "
    "The box is the uncertainty of the correction, the bars are the events'.",
    "Joint map": "Left: how well a classifier tells simulation from data on events that took no part; 0.5: not at all. "
    "Right: correlations of pairs of components; only a joint map can change them.",
    "Before and after": "Simulation scaled to as many events. The band around the ratio is the uncertainty of the "
    "simulation, by source.",
    "Conditions": "Simulation scaled to as many events. Nothing corrects qT: spectra of u∥ before and after follow it.",
    "Corrections": "Lines are the fitted laws, points the events.",
}
"""Captions of the figures of a calibration, by their sub-headings."""
HEADS = {
    "estimator": "Estimator",
    "region": "Region",
    "axis": "Axis",
    "low": "From",
    "high": "To",
    "n_eff": "Effective events, corrected",
    "events": "Events",
    "response": "Response",
    "rms_par": "RMS of u∥ - qT, GeV",
    "rms_perp": "RMS of u⊥, GeV",
    "half_width_par": "Half width of u∥ - qT, GeV",
    "half_width_perp": "Half width of u⊥, GeV",
    "rms": "RMS, GeV",
    "edge": "Width of the edge, GeV",
    "edge_at": "Edge at, GeV",
    "half_width": "Half width, GeV",
    "left_out": "Events left out",
    "chi2": "χ²",
    "ndf": "Degrees of freedom",
    "qt": "qT, GeV",
    "npv": "Vertices",
    "njets": "Jets",
    "mt": "mT, GeV",
    "met": "pTmiss, GeV",
    "met_phi": "Azimuth of pTmiss, rad",
    "u_par": "u∥, GeV",
    "u_perp": "u⊥, GeV",
    "data": "Events, recorded or pseudo-data",
    "mc": "Simulation",
    "simulation": "Simulation",
    "ratio": "Data over simulation",
    "sample": "Sample",
    "component": "Component",
    "quantity": "Quantity",
    "before": "Before",
    "after": "After",
    "when": "Before or after",
    "MC events": "Error of simulated events, relative",
    "statistical": "Error of the fits, relative",
    "smoothing": "Histograms, not Gaussians, relative",
    "Gaussians": "Three Gaussians, not two, relative",
    "nJets": "One law for all jets, relative",
    "background": "Background, relative",
    "systematic": "Systematic error",
    "qt_low": "qT from, GeV",
    "qt_high": "qT to, GeV",
    "median": "Median, GeV",
    "width": "Half width, GeV",
    "median_fit": "Median of the law, GeV",
    "width_fit": "Half width of the law, GeV",
    "mean": "Mean, GeV",
    "n_effective": "Effective events",
    "ndof": "Degrees of freedom",
}
EDGES = {
    "qt": "qT {}, GeV",
    "npv": "Vertices {}",
    "njets": "Jets {}",
    "mt": "mT {}, GeV",
    "met": "pTmiss {}, GeV",
    "met_phi": "φ {}, rad",
    "u_par": "u∥ {}, GeV",
    "u_perp": "u⊥ {}, GeV",
}


def head(name: str, axis: str = "") -> str:
    """A column's head: its own, or its name without underscores; a common error is that of all bins together.

    axis: what ``low`` and ``high`` are the edges of.
    """
    if axis in EDGES and name in ("low", "high"):
        return EDGES[axis].format({"low": "from", "high": "to"}[name])
    if "_vs_" in name:
        width, _, reference = name.partition("_vs_")
        return f"{head(width).partition(',')[0]}, smaller than {label_of(reference)}'s by a share of"
    if name.endswith("_common"):
        return f"{head(name.removesuffix('_common'))}: part of the error common to all bins"
    return HEADS.get(name, name.replace("_", " "))


def readable(value: Any) -> str:
    """Provenance in words: names and values with commas, what is inside of another in brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner(one)}" for key, one in value.items() if one not in (None, "", [], {}))
    if isinstance(value, (list, tuple)):
        return ", ".join(inner(one) for one in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else time(str(value))


def time(text: str) -> str:
    """A time of day of a manifest as it is read, ``2026-11-26 17:57 UTC``; other text as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found:%Y-%m-%d %H:%M %Z}" if found.tzinfo else text


def inner(value: Any) -> str:
    """The same inside of another."""
    return f"({readable(value)})" if isinstance(value, Mapping) else readable(value)
