"""A directory to begin with: a fileset of event files, a selection, and a Makefile from them to a page of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from ptmiss import candidates, results, sample
from ptmiss.errors import ColumnError
from ptmiss.estimators import make_estimators
from ptmiss.events import EventFile, expand, inspect
from ptmiss.files import AnyPath, as_path, write_atomically
from ptmiss.files.userfiles import documented
from ptmiss.selections import Selection, load_selection

FILESET, SELECTION, MAKEFILE = "fileset.json", "selection.toml", "Makefile"
WANTED = ("pf", "puppi", "deepmet", "stored.PuppiMET", "stored.MET", "stored.DeepMETResolutionTune")
CHOSEN = (
    "mass",
    "leptons.pt",
    "leptons.eta",
    "leptons.identification",
    "leptons.isolation",
    "leptons.isolation_maximum",
    "jets.pt",
    "jets.eta",
    "btag.veto",
)
"""The keys of a selection that most people change first."""
STEPS = """\
# From event files to a page of results. `make` runs what is missing or out of date, `make -n` prints it.
# `ptmiss VERB --help` explains a verb. The files are in {fileset}, the cuts in {selection}, the rest is here.

PTMISS := ptmiss
ESTIMATORS := {estimators}
DATASETS := {datasets}
LABEL :=#        text above the figures: what the events are, and the energy, as in: CMS-like simulation (13 TeV)
WEIGHTS := {weights}
# what is calibrated: estimators, and recoil tables of data, of simulation, and of backgrounds with their factors
CALIBRATED := {calibrated}
DATA := {data}
MC := {mc}
BACKGROUNDS := {backgrounds}

all: out/report.html

# one row an event: weight, muon pair, pTmiss by each estimator. For more processes: --executor futures --workers 4
out/recoil.parquet: {fileset} {selection}
\t$(PTMISS) skim --fileset {fileset} --estimators $(ESTIMATORS) --selection {selection} $(WEIGHTS) --force --output $@

# response and resolution in bins of qT, vertices and jets: a table and figures
out/resolution/%/resolution.csv: out/recoil.parquet
\t$(PTMISS) resolution $< --dataset $* --label "$(LABEL)" --force --output out/resolution/$*

# simulation corrected to data: a file for correctionlib, with uncertainties, and how well it closes
out/calibration/corrections.json.gz: {fileset} {selection} | out/recoil.parquet
\t$(PTMISS) calibrate --data $(DATA) --mc $(MC) $(addprefix --background ,$(BACKGROUNDS)) \\
\t    --estimators $(CALIBRATED) --closure --label "$(LABEL)" --force --output out/calibration

# everything on a page
out/report.html: out/recoil.parquet $(DATASETS:%=out/resolution/%/resolution.csv) {last}
\t$(PTMISS) report recoil=out/recoil.parquet {page} --label "$(LABEL)" --force --output $@

# estimators against each other on the same events, with errors; it needs some hundreds of muon pairs
compare: out/recoil.parquet
\t$(PTMISS) compare out/recoil.parquet --dataset $(firstword $(DATASETS)) --by qt,npv

# one chunk of each dataset, to try whether all of this works
trial:
\t$(PTMISS) skim --fileset {fileset} --estimators $(ESTIMATORS) --selection {selection} $(WEIGHTS) \\
\t    --limit-files 1 --limit-chunks 1 --force --output out/trial.parquet

.PHONY: all compare trial
"""
CALIBRATION = "out/calibration/corrections.json.gz", "calibration=out/calibration"


def begin(directory: AnyPath, files: Sequence[AnyPath] = (), *, force: bool = False) -> list[str]:
    """Write a fileset, a selection and a Makefile into a directory.

    Args:
        directory: the directory.
        files: event files (paths, globs, URLs), of simulation, of data, or of both; of the embedded sample if none is
            named.
        force: replace a project that is there.

    Returns:
        The estimators that all first files have what it takes for.

    Raises:
        FileError: a file is missing or not readable.
        ColumnError: a first file has neither candidates nor a stored MET.
    """
    place = as_path(directory)
    results.check_writable(place, force)
    paths = [str(as_path(path)) for path in files] or [str(sample.events("zmumu"))]
    first = {path: inspect(expand([path])[0]) for path in paths}
    datasets = fileset(first)
    chosen = [name for name in estimators(first[paths[0]]) if all(name in estimators(file) for file in first.values())]
    results.claim(place, (FILESET, SELECTION, MAKEFILE))
    write_atomically(place / FILESET, json.dumps(datasets, indent=2) + "\n")
    write_atomically(place / SELECTION, selection())
    write_atomically(place / MAKEFILE, makefile(chosen, list(datasets), embedded=not files))
    return chosen


def makefile(chosen: Sequence[str], datasets: Sequence[str], embedded: bool = False) -> str:
    """The steps for these estimators and datasets.

    embedded: the calibration takes tables of the embedded sample, since its few events are too few.
    """
    both = len(datasets) > 1
    tables = {"data": "out/recoil.parquet:data", "mc": "out/recoil.parquet:dy", "backgrounds": ""}
    if embedded:
        tables = {name: str(sample.recoil(of)) for name, of in (("data", "data"), ("mc", "zmumu"))}
        tables["backgrounds"] = f"{sample.recoil('ttbar')}=0.1775"
    last, page = CALIBRATION if both or embedded else ("", "")
    preferred = [name for name in ("puppi", "deepmet", "stored.PuppiMET") if name in chosen] or list(chosen)
    return STEPS.format(
        fileset=FILESET,
        selection=SELECTION,
        estimators=",".join(chosen),
        datasets=" ".join(datasets),
        weights="--raw-weights#  or --luminosity L, fb^-1, with cross sections in the fileset" if both else "",
        calibrated=preferred[0],
        last=last,
        page=page,
        **tables,
    )


def selection() -> str:
    """The keys of the default selection that most people change first, as TOML with what they mean."""
    values, known = load_selection("default").model_dump(mode="json"), {key.place: key for key in documented(Selection)}
    lines = [f"# Cuts on muons and jets. All keys: ptmiss selection show; a check: ptmiss selection check {SELECTION}"]
    for section, places in groupby(CHOSEN, lambda place: place.rpartition(".")[0]):
        lines += ["", f"[{section}]"] if section else []
        own = values[section] if section else values
        lines += [_line(known[place].description, known[place].unit, place, own) for place in places]
    return "\n".join(lines) + "\n"


def _line(description: str, unit: str, place: str, values: Mapping[str, object]) -> str:
    name = place.rpartition(".")[2]
    meaning = ", ".join(filter(None, (description, unit)))
    return f"{name} = {json.dumps(values[name])}  # {meaning}"


def estimators(file: EventFile) -> list[str]:
    """Names of the usual estimators that a file has what it takes for."""
    found = list(_possible(file))
    if not found:
        raise ColumnError(f"{file.path} has neither PF candidates nor a stored MET")
    return found


def _possible(file: EventFile) -> Iterator[str]:
    whole = candidates.collection(file.branches) != candidates.OF_NANOAOD  # the candidates of large jets alone
    for estimator in make_estimators(WANTED):
        try:
            estimator.require(file.branches, file.path)
        except ColumnError:
            continue
        if whole or not estimator.columns:
            yield estimator.name


def fileset(first: Mapping[str, EventFile]) -> dict[str, object]:
    """A fileset of simulation, of data, or of both, with the keys of metadata that a user is to fill in.

    first: the first file of each path or glob.
    """
    found: dict[str, list[str]] = {}
    for path, file in first.items():
        absolute = path if "://" in path else str(Path(path).absolute())
        found.setdefault("data" if file.kind == "data" else "dy", []).append(absolute)
    about: dict[str, dict[str, object]] = {
        "data": {"kind": "data", "luminosity": None},
        "dy": {"kind": "mc", "role": "signal", "cross_section": None},
    }
    return {name: {"files": found[name], "metadata": about[name]} for name in ("dy", "data") if name in found}
