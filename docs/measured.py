"""Figures of numbers that took hours of training or simulation, from the tables of their pages.

python docs/measured.py draws docs/deepmet_studies.png and docs/vertex.png.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ptmiss import plots
from ptmiss.evaluation import vertex
from ptmiss.models.deepmet import study_tables

DOCS = Path(__file__).parent
LABEL = "CMS-like simulation (13 TeV)"
SEEDS = {"rms_par": 0.027, "rms_perp": 0.018}  # spread of a gain between seeds, as the page of DeepMET says
NUMBER = re.compile(r"(?P<value>[+-]?[\d.]+) ± (?P<error>[\d.]+)")
NONE_OF = re.compile(r"0 of (\d+)")
ESTIMATORS = {plots.label_of(name): name for name in ("pf", "puppi", "track", "deepmet")}


def rows(page: str, head: str) -> list[dict[str, str]]:
    """The lines of the table whose head begins so, by the names of its columns."""
    text = (DOCS / page).read_text().replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", " to ")
    lines = text[text.index(f"| {head} |") :].partition("\n\n")[0].splitlines()
    names, _, *found = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    return [dict(zip(names, cells, strict=True)) for cells in found]


def number(cell: str) -> tuple[float, float]:
    """A number and its error; none of so many events is 0 ± 1 / n."""
    if none := NONE_OF.fullmatch(cell):
        return 0.0, 100 / int(none[1])
    found = NUMBER.search(cell)
    return (float(found["value"]), float(found["error"])) if found else (np.nan, np.nan)


def studies() -> dict[str, pd.DataFrame]:
    """The studies of DeepMET, each with its base."""
    tables: dict[str, list[dict[str, object]]] = {}
    base, study = {}, ""
    for row in rows("deepmet.md", "study"):
        made = {"variant": row["variant"], "reference": study_tables.BASE}
        made |= {study_tables.RESPONSE: float(row["response, qT > 50"]), f"{study_tables.RESPONSE}_error": 0.0}
        for name, title in study_tables.TITLES.items():
            gain, error = (0.01 * value for value in number(row[f"{title}, %"]))
            made |= {f"{name}_gain": gain, f"{name}_gain_error": error, f"{name}_gain_seeds": SEEDS[name]}
        if row["variant"] == study_tables.BASE:
            base = made
            continue
        study = row["study"] or study
        tables.setdefault(study, [base]).append(made)
    return {name: pd.DataFrame(of_one) for name, of_one in tables.items()}


def wrong() -> pd.DataFrame:
    """How often the default vertex is wrong, for each group of events in bins of the boson's pT."""
    found = []
    for row in rows("vertex.md", "generated boson pT (GeV)"):
        group, *bins = row.items()
        for name, cell in bins:
            if " to " in name:
                low, high = map(float, name.split(" to "))
                value, error = (0.01 * part for part in number(cell))
                found.append({"group": group[1], "low": low, "high": high, "fraction": value, "fraction_error": error})
    return pd.DataFrame(found)


def widths() -> pd.DataFrame:
    """RMS of each estimator from each vertex."""
    columns = {
        ("default wrong, 78 events", "natural"): {"RMS default": "default", "RMS lepton's": "lepton"},
        ("RMS / half width", "forced"): {
            "vertex right": "default",
            "made wrong": "forced",
            "made wrong, lepton's": "recovered",
        },
    }
    found = []
    for (head, sample), ways in columns.items():
        for row in rows("vertex.md", head):
            for column, way in ways.items():
                rms, error = number(row[column])
                about = {"estimator": ESTIMATORS[row[head]], "sample": sample, "way": way}
                found.append({**about, "rms": rms, "rms_error": error})
    return pd.DataFrame(found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        study_tables.draw(studies(), Path(directory) / "studies", LABEL, dpi=60)
        shutil.copy(Path(directory) / "studies.png", DOCS / "deepmet_studies.png")
    plots.save(vertex.figure(wrong(), widths(), LABEL), DOCS / "vertex", ["png"], dpi=60)
