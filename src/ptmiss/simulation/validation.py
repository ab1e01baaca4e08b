"""How well the simulation does: tables measured on its files, each number with its error, and a report of them.

Every function takes a file (simulated, or real with PFNano's branches where that makes sense) and gives a data frame;
:func:`report` writes them all, as CSV, figures and one page; :func:`validate` makes the samples first. CMS-like, never CMS: the comparison with real events shows
where it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import uproot
from numpy.typing import NDArray

from ptmiss.files import replacing, write_atomically
from ptmiss.recoil import cartesian, magnitude, recoil, transverse_mass
from ptmiss.simulation import parameters, production

QT_EDGES = (0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 350)
NPV_EDGES = (0, 5, 10, 15, 20, 25, 30, 35, 45)
JET_EDGES = (20, 30, 40, 60, 100, 200, 400, 800)
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
Z_WINDOW = (80.0, 100.0)
PROCESSES = ("zmumu", "zmumu_boosted", "wmunu", "qcd")
"""What :func:`report` knows how to look at."""


def composition(path: Path | str, by_eta: bool = False) -> pd.DataFrame:
    """Candidates of each type: number and sum of pT (GeV) an event with errors, and quartiles of pT."""
    events = _read(path, [f"PFCands_{name}" for name in ("pt", "eta", "pdgId")])
    edges = ETA_EDGES if by_eta else (0, np.inf)
    rows = []
    for code, title in TYPES.items():
        for low, high in pairwise(edges):
            eta = np.abs(events.PFCands_eta)
            pt = events.PFCands_pt[(np.abs(events.PFCands_pdgId) == code) & (eta >= low) & (eta < high)]
            number, total = ak.num(pt).to_numpy(), ak.sum(pt, axis=1).to_numpy()
            quartiles = np.quantile(ak.flatten(pt), [0.25, 0.5, 0.75]) if number.any() else np.full(3, np.nan)
            rows.append([title, low, high, *_mean(number), *_mean(total), *quartiles])
    names = [
        "type",
        "eta_low",
        "eta_high",
        "number",
        "number_error",
        "sum_pt",
        "sum_pt_error",
        "pt_25",
        "pt_50",
        "pt_75",
    ]
    return pd.DataFrame(rows, columns=names)


def spectra(path: Path | str) -> pd.DataFrame:
    """Candidates of each type an event, with errors, in bins of pT (GeV) and of eta."""
    events = _read(path, [f"PFCands_{name}" for name in ("pt", "eta", "pdgId")])
    n, kind = len(events), np.abs(ak.to_numpy(ak.flatten(events.PFCands_pdgId)))
    rows = []
    for code, title in TYPES.items():
        for quantity, edges in SPECTRA.items():
            values = ak.to_numpy(ak.flatten(events[f"PFCands_{quantity}"]))[kind == code]
            counts, _ = np.histogram(values, edges)
            for (low, high), count in zip(pairwise(edges), counts, strict=True):
                rows.append([title, quantity, low, high, count / n, np.sqrt(count) / n])
    return pd.DataFrame(rows, columns=["type", "quantity", "low", "high", "number", "number_error"])


def dimuons(path: Path | str) -> pd.DataFrame:
    """Selected Z -> mu mu events: qt, mass, npv, weight, and the recoil's u_par, u_perp (GeV) of PF and PUPPI."""
    names = ["pt", "eta", "phi", "mass", "charge", "pfRelIso04_all", "looseId"]
    mets = [f"{met}_{part}" for met in ("MET", "PuppiMET") for part in ("pt", "phi")]
    events = _read(path, [*(f"Muon_{name}" for name in names), *mets, "PV_npvsGood", "genWeight"])
    muons = ak.zip({name: events[f"Muon_{name}"] for name in names}, with_name="Momentum4D")
    good = muons[(muons.pt > 25) & (np.abs(muons.eta) < 2.4) & muons.looseId & (muons.pfRelIso04_all < 0.15)]
    pair = ak.to_numpy((ak.num(good) == 2) & (ak.sum(good.charge, axis=1) == 0))
    first, second = good[pair][:, 0], good[pair][:, 1]
    boson = cartesian(first.pt, first.phi) + cartesian(second.pt, second.phi)
    frame = pd.DataFrame({"mass": _mass(first, second)})
    frame["qt"], frame["npv"] = magnitude(boson), ak.to_numpy(events.PV_npvsGood[pair])
    frame["weight"] = ak.to_numpy(events.genWeight[pair])
    for name, met in (("pf", "MET"), ("puppi", "PuppiMET")):
        found = recoil(boson, cartesian(events[f"{met}_pt"][pair], events[f"{met}_phi"][pair]))
        frame[f"{name}_par"], frame[f"{name}_perp"] = found.u_par, found.u_perp
    return frame


def recoil_table(frame: pd.DataFrame, axis: str, edges: Sequence[float]) -> pd.DataFrame:
    """Response, and resolution corrected for the bin's response (GeV), in bins of ``qt`` or ``npv``, unweighted.

    ``frame`` is that of :func:`dimuons`; events outside the mass window are left out. The 68 % columns are half the distance
    between the 16 % and 84 % quantiles.
    """
    selected = frame[frame.mass.between(*Z_WINDOW)]
    rows = []
    for low, high in pairwise(edges):
        part = selected[(selected[axis] >= low) & (selected[axis] < high)]
        if len(part) < 10:
            continue
        for name in ("pf", "puppi"):
            par, perp, qt = part[f"{name}_par"], part[f"{name}_perp"], part.qt
            response = par.mean() / qt.mean()
            error = (par - response * qt).std() / np.sqrt(len(part)) / qt.mean()
            residuals = (par / response - qt, perp / response) if axis == "qt" else (par - qt, perp)
            rms = [value for residual in residuals for value in _rms(residual)]
            rows.append(
                [name, low, high, len(part), response, error, *rms, *(_width(residual) for residual in residuals)]
            )
    names = [
        "response",
        "response_error",
        "rms_par",
        "rms_par_error",
        "rms_perp",
        "rms_perp_error",
        "w68_par",
        "w68_perp",
    ]
    return pd.DataFrame(rows, columns=["estimator", f"{axis}_low", f"{axis}_high", "events", *names])


def peak(frame: pd.DataFrame) -> pd.DataFrame:
    """The dimuon peak between 80 and 100 GeV: median and half 68 % width (GeV) with errors."""
    mass = frame.mass[frame.mass.between(*Z_WINDOW)]
    width, n = _width(mass), len(mass)
    row = [n, mass.median(), 1.25 * width / np.sqrt(n), width, width / np.sqrt(n)]
    return pd.DataFrame([row], columns=["events", "median", "median_error", "width", "width_error"])


def jet_response(path: Path | str) -> pd.DataFrame:
    """Jet pT over generated pT in bins of the latter (GeV): median and half 68 % width over median, centre and endcap."""
    events = _read(path, ["Jet_pt", "Jet_genJetIdx", "GenJet_pt", "GenJet_eta"])
    matched = events.Jet_genJetIdx >= 0
    index = events.Jet_genJetIdx[matched]
    true, eta = ak.flatten(events.GenJet_pt[index]).to_numpy(), ak.flatten(events.GenJet_eta[index]).to_numpy()
    ratio = ak.flatten(events.Jet_pt[matched]).to_numpy() / true
    rows = []
    for name, inside in (("centre", np.abs(eta) < 1.3), ("endcap", (np.abs(eta) > 1.7) & (np.abs(eta) < 2.4))):
        for low, high in pairwise(JET_EDGES):
            values = ratio[inside & (true >= low) & (true < high)]
            if len(values) >= 20:
                median, width = np.median(values), _width(values)
                error = 1.25 * width / np.sqrt(len(values))
                rows.append(
                    [name, low, high, len(values), median, error, width / median, width / median / np.sqrt(len(values))]
                )
    names = ["region", "pt_low", "pt_high", "jets", "response", "response_error", "resolution", "resolution_error"]
    return pd.DataFrame(rows, columns=names)


def single_muon(path: Path | str) -> pd.DataFrame:
    """W -> mu nu: median mT and pTmiss - generated (GeV, one component) with errors, for PF and PUPPI."""
    mets = [f"{met}_{part}" for met in ("MET", "PuppiMET", "GenMET") for part in ("pt", "phi")]
    events = _read(path, ["Muon_pt", "Muon_eta", "Muon_phi", "Muon_pfRelIso04_all", *mets])
    good = (events.Muon_pt > 25) & (np.abs(events.Muon_eta) < 2.4) & (events.Muon_pfRelIso04_all < 0.15)
    one = ak.to_numpy(ak.sum(good, axis=1) == 1)
    muon = cartesian(*(ak.to_numpy(ak.flatten(events[name][one][good[one]])) for name in ("Muon_pt", "Muon_phi")))
    true = cartesian(events.GenMET_pt[one], events.GenMET_phi[one])
    rows = []
    for name, met in (("gen", "GenMET"), ("pf", "MET"), ("puppi", "PuppiMET")):
        vector = cartesian(events[f"{met}_pt"][one], events[f"{met}_phi"][one])
        mt = transverse_mass(muon, vector)
        rows.append(
            [name, int(one.sum()), np.median(mt), 1.25 * _width(mt) / np.sqrt(one.sum()), *_rms((vector - true)[:, 0])]
        )
    return pd.DataFrame(
        rows, columns=["estimator", "events", "mt_median", "mt_error", "residual_x", "residual_x_error"]
    )


def accounting(path: Path | str) -> pd.DataFrame:
    """Targets by element type: elements an event, the shares without target and with several particles, pile-up's share of pT."""
    events = _read(
        path, ["PFElement_type", *(f"PFElementTarget_{name}" for name in ("pt", "nParticles", "pileupFraction"))]
    )
    some = ak.num(events.PFElement_type) > 0
    flat = {name: ak.flatten(events[name][some]).to_numpy() for name in events.fields}
    rows = []
    for code, title in ((1, "track"), (4, "ECAL"), (5, "HCAL"), (8, "HF em"), (9, "HF had")):
        chosen = flat["PFElement_type"] == code
        particles, pt = flat["PFElementTarget_nParticles"][chosen], flat["PFElementTarget_pt"][chosen]
        soft = np.average(flat["PFElementTarget_pileupFraction"][chosen], weights=np.maximum(pt, 1e-9))
        rows.append([title, chosen.sum() / ak.sum(some), np.mean(particles == 0), np.mean(particles > 1), soft])
    return pd.DataFrame(rows, columns=["element", "number", "without_target", "several_particles", "pileup_share"])


def differences(directory: Path, n: int, seed: int, workers: int = 1, library: Path | None = None) -> pd.DataFrame:
    """What each difference of the pseudo-data does alone in Z -> mu mu: the change (GeV) of the mean pTmiss_x, _y and sum Et.

    The collisions are the same in all rows (but for the pile-up profile), so each event is compared with itself. The last
    columns are the RMS of pTmiss_x and its error.
    """
    rows = []
    nominal: dict[str, NDArray] = {}
    for name, value in {"none": np.nan, **parameters.DATA}.items():
        path = directory / f"difference-{name}.root"
        changes = {} if name == "none" else {name: value}
        production.simulate("zmumu", n, seed, path, overrides=changes, workers=workers, library=library)
        found = _sums(path)
        path.unlink()
        nominal = nominal or found
        changed = [number for key in found for number in _mean(found[key] - nominal[key])]
        rows.append([name, value, *changed, *_rms(found["met_x"])])
    names = ("met_x", "met_y", "sum_et", "rms_x")
    return pd.DataFrame(
        rows, columns=["parameter", "value", *(f"{name}{end}" for name in names for end in ("", "_error"))]
    )


def _sums(path: Path) -> dict[str, NDArray]:
    events = _read(path, ["MET_pt", "MET_phi", "MET_sumEt"])
    met = cartesian(events.MET_pt, events.MET_phi)
    return {"met_x": met[:, 0], "met_y": met[:, 1], "sum_et": ak.to_numpy(events.MET_sumEt)}


def validate(
    directory: Path | str,
    n: int,
    seed: int,
    *,
    workers: int = 1,
    reference: Path | str | None = None,
    library: Path | None = None,
    progress: production.Progress | None = None,
) -> Path:
    """Simulate ``n`` events of each process that the report looks at, and report on them; returns the page.

    A tenth of the events carry elements and targets. The differences of the pseudo-data are switched on one by one in a
    quarter of the events.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    samples = {}
    for i, name in enumerate(PROCESSES):
        samples[name] = directory / f"{name}.root"
        production.simulate(
            name, n, seed + i, samples[name], elements=-(-n // 10), workers=workers, library=library, progress=progress
        )
    switched = {"differences of the pseudo-data": differences(directory, -(-n // 4), seed, workers, library)}
    return report(directory, samples, reference, switched)


def report(
    directory: Path | str,
    samples: Mapping[str, Path | str],
    reference: Path | str | None = None,
    more: Mapping[str, pd.DataFrame] | None = None,
) -> Path:
    """Write all tables and figures that the samples allow (see :data:`PROCESSES`); returns the page.

    ``reference`` is a real file whose candidates are shown beside the ones of ``qcd``; ``more`` tables come last.
    """
    directory = Path(directory)
    tables: dict[str, pd.DataFrame] = {}
    for name in ("zmumu", "zmumu_boosted"):
        if name in samples:
            frame = dimuons(samples[name])
            tables[f"{name} recoil against qT"] = recoil_table(frame, "qt", QT_EDGES)
            tables[f"{name} recoil against nPV"] = recoil_table(frame, "npv", NPV_EDGES)
            tables[f"{name} dimuon peak"] = peak(frame)
    optional: dict[str, Callable[[Any], pd.DataFrame]] = {"wmunu": single_muon, "qcd": jet_response}
    for name, measure in optional.items():
        if name in samples:
            tables[f"{name} {measure.__name__.replace('_', ' ')}"] = measure(samples[name])
    for name, path in [*samples.items(), *([("reference", reference)] if reference else [])]:
        tables[f"{name} composition"] = composition(path)
        tables[f"{name} composition in eta"] = composition(path, by_eta=True)
        if "PFElement_type" in _branches(path):
            tables[f"{name} accounting"] = accounting(path)
    if reference and "qcd" in samples:
        found = {"CMS-like, dijets": spectra(samples["qcd"]), "reference": spectra(reference)}
        _draw_spectra(found, directory / "spectra.png")
        tables["spectra"] = pd.concat(found, names=["sample"]).reset_index("sample")
    return _page(directory, {**tables, **(more or {})})


def _page(directory: Path, tables: Mapping[str, pd.DataFrame]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["# The open simulation, validated", "", "CMS-like, never CMS.", ""]
    for title, table in tables.items():
        stem = title.lower().replace(" ", "-")
        write_atomically(directory / f"{stem}.csv", table.to_csv(index=False))
        lines += [f"## {title}", ""]
        if "recoil" in title:
            _draw(table, directory / f"{stem}.png")
            lines += [f"![{title}]({stem}.png)", ""]
        if title == "spectra":
            lines += ["![Spectra of each type of candidate](spectra.png)", "", "The numbers are in `spectra.csv`.", ""]
            continue
        lines += ["```", table.to_string(index=False, float_format="{:.3g}".format), "```", ""]
    write_atomically(directory / "validation.md", "\n".join(lines))
    return directory / "validation.md"


def _draw(table: pd.DataFrame, path: Path) -> None:
    """Response and the two resolutions side by side, in the package's style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from ptmiss import plots

    low, high = table.columns[1:3]
    with mpl.rc_context(plots.STYLE), replacing(path) as partial:
        figure = Figure(figsize=(27, 8), layout="constrained")
        for axes, quantity in zip(figure.subplots(1, 3), ("response", "rms_par", "rms_perp"), strict=True):
            for estimator in ("pf", "puppi"):
                rows = table[table.estimator == estimator]
                style = {"fmt": "o", "color": plots.COLOURS[estimator], "label": plots.label_of(estimator)}
                centre, half = (rows[low] + rows[high]) / 2, (rows[high] - rows[low]) / 2
                axes.errorbar(centre, rows[quantity], rows[f"{quantity}_error"], half, **style)
            axes.set(xlabel=plots.AXES[low.removesuffix("_low")], ylabel=plots.QUANTITIES[quantity])
        axes.legend()
        figure.savefig(partial, format="png", dpi=50)


def _draw_spectra(found: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Candidates of each type against pT and eta, several samples in each panel."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from ptmiss import plots

    shown = list(TYPES.values())[:5]
    with mpl.rc_context({**plots.STYLE, "font.size": 16}), replacing(path) as partial:
        figure = Figure(figsize=(6 * len(shown), 11), layout="constrained")
        for row, quantity in zip(figure.subplots(2, len(shown)), SPECTRA, strict=True):
            for axes, title in zip(row, shown, strict=True):
                for colour, (name, table) in zip(("#d55e00", "#000000"), found.items(), strict=False):
                    rows = table[(table.type == title) & (table.quantity == quantity) & (table.number > 0)]
                    centre = (rows.low + rows.high) / 2
                    axes.errorbar(centre, rows.number, rows.number_error, fmt="o", color=colour, label=name)
                axes.set(yscale="log", ylabel=f"{title}s an event and bin")
                axes.set(
                    **(
                        {"xscale": "log", "xlabel": r"$p_\mathrm{T}$ (GeV)"}
                        if quantity == "pt"
                        else {"xlabel": r"$\eta$"}
                    )
                )
        figure.axes[0].legend(loc="lower left")
        figure.savefig(partial, format="png", dpi=50)


def _read(path: Path | str, names: Sequence[str]) -> ak.Array:
    with uproot.open(path) as file:
        return file["Events"].arrays(list(names))


def _branches(path: Path | str) -> list[str]:
    with uproot.open(path) as file:
        return list(file["Events"].keys())


def _mass(first: ak.Array, second: ak.Array) -> NDArray[np.float64]:
    """Invariant mass (GeV) of two light particles."""
    cosines = np.cosh(first.eta - second.eta) - np.cos(first.phi - second.phi)
    return ak.to_numpy(np.sqrt(2 * first.pt * second.pt * cosines)).astype(np.float64)


def _mean(values: NDArray) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


def _rms(values: NDArray | pd.Series) -> tuple[float, float]:
    return float(np.std(values)), float(np.std(values) / np.sqrt(2 * len(values)))


def _width(values: NDArray | pd.Series) -> float:
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2
