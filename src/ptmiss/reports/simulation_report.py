"""How well the simulation does: one page of its recoil, leptons, candidates, jets and elements, each number with its
error.

Recoil and mT are those of ``ptmiss skim`` and ``ptmiss report``; ``contents`` has the tables of files. :func:`validate`
makes the samples first. CMS-like, never CMS: candidates beside those of real events show where it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import uproot
from numpy.typing import NDArray

from ptmiss import results
from ptmiss.estimators import make_estimators
from ptmiss.files import write_atomically
from ptmiss.recoil import cartesian
from ptmiss.reports import html, sections, sources
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.resolutions import has_boson
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim
from ptmiss.simulation import contents, parameters, production
from ptmiss.table import read as read_table

ESTIMATORS = ("stored.MET", "stored.PuppiMET")
LEPTONIC = ("zmumu", "zmumu_boosted", "wmunu")
PROCESSES = (*LEPTONIC, "qcd")
"""What :func:`report` knows how to look at."""
LABEL = "CMS-like simulation (13 TeV)"
PAGE = "validation.html"


def peak(table: Path) -> pd.DataFrame:
    """The muon pairs of a recoil table in the selection's window: median and half width of their mass, GeV."""
    read = read_table(table)
    inside = read["boson_mass"][has_boson(read, "boson")]
    return pd.DataFrame([{"events": len(inside), **contents.quantiles("mass", inside)}])


def differences(directory: Path, n: int, seed: int, workers: int = 1, library: Path | None = None) -> pd.DataFrame:
    """What each difference of the pseudo-data does alone in Z → μμ: changes (GeV) of the mean pTmiss_x, _y and sum Et.

    The collisions are the same in all rows (but for the tune and the pile-up profile), so each event is compared with
    itself.
    """
    rows: list[dict[str, Any]] = []
    nominal: dict[str, NDArray] = {}
    for name, value in {"none": np.nan, **parameters.DATA}.items():
        path = directory / f"difference-{name}.root"
        changes = {} if name == "none" else {name: value}
        production.simulate("zmumu", n, seed, path, overrides=changes, workers=workers, library=library)
        events = contents.read(path, ["MET_pt", "MET_phi", "MET_sumEt"])
        path.unlink()
        x, y = cartesian(events.MET_pt, events.MET_phi).T
        found = {"met_x": x, "met_y": y, "sum_et": ak.to_numpy(events.MET_sumEt)}
        nominal = nominal or found
        changed = [contents.mean(key, found[key] - nominal[key]) for key in found]
        rows.append({"parameter": name, "value": value, **changed[0], **changed[1], **changed[2]})
    return pd.DataFrame(rows)


def is_unfinished(directory: Path) -> bool:
    """Whether a validation began in a directory and has no page yet: the same command goes on."""
    return Path(PAGE) in results.own_files(directory) and not (directory / PAGE).exists()


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
    results.claim(directory, (*(f"{name}.root" for name in PROCESSES), PAGE))
    samples: dict[str, Path | str] = {}
    options: dict[str, Any] = {"workers": workers, "library": library}
    for i, name in enumerate(PROCESSES):
        samples[name] = path = directory / f"{name}.root"
        production.simulate(name, n, seed + i, path, elements=-(-n // 10), progress=progress, **options)
    switched = differences(directory, -(-n // 4), seed, **options)
    return report(directory, samples, reference, [Exhibit("Differences of the pseudo-data, each alone", switched)])


def report(
    directory: Path,
    samples: Mapping[str, Path | str],
    reference: Path | str | None = None,
    more: Sequence[Exhibit] = (),
) -> Path:
    """Write the page of what the samples allow (see :data:`PROCESSES`); returns it.

    reference: a real file whose candidates are shown beside those of ``qcd``; more: exhibits that come last.
    """
    parts = [part for name in LEPTONIC if name in samples for part in leptonic(name, samples[name], directory)]
    for name, path in [*samples.items(), *([("reference", reference)] if reference else [])]:
        parts.append(Section(f"{name}: candidates", "simulation", of_file(path)))
    if reference and "qcd" in samples:
        found = {"CMS-like, dijets": contents.spectra(samples["qcd"]), "reference": contents.spectra(reference)}
        table = pd.concat(found, names=["sample"]).reset_index("sample")
        more = [Exhibit("Spectra of each type of candidate", table, contents.draw_spectra(found)), *more]
    parts.append(Section("Comparisons", "simulation", more, text="CMS-like, never CMS."))
    page = directory / PAGE
    write_atomically(page, html.render("The open simulation, validated", parts))
    return page


def leptonic(name: str, path: Path | str, directory: Path) -> list[Section]:
    """Recoil or mT of a sample, from its recoil table; the dimuon peak."""
    table = directory / f"{name}.parquet"
    skim(fileset.parse({name: [str(path)]}), make_estimators(ESTIMATORS), table)
    found = sections.section(sources.source(f"{name}={table}"), "bin", LABEL)
    if name.startswith("zmumu"):
        found.append(Section(f"{name}: muon pairs", "simulation", [Exhibit("Dimuon peak", peak(table))]))
    return found


def of_file(path: Path | str) -> list[Exhibit]:
    """Candidates, and what else is in a file: jets with generated ones, elements with targets."""
    with uproot.open(path) as file:
        branches = set(file["Events"].keys())
    found = [
        Exhibit("Composition", contents.composition(path)),
        Exhibit("Composition in eta", contents.composition(path, contents.ETA_EDGES)),
    ]
    others: dict[str, tuple[str, Callable[[Any], pd.DataFrame]]] = {
        "Jet_genJetIdx": ("Response of jets", contents.jet_response),
        "PFElementTarget_nParticles": ("Elements and their targets", contents.accounting),
    }
    return found + [Exhibit(title, measure(path)) for branch, (title, measure) in others.items() if branch in branches]
