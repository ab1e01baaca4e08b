"""A directory to begin with: a fileset of event files, a selection, and the steps from them to a page of results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ptmiss import results, sample
from ptmiss.events import EventFile, expand, inspect
from ptmiss.files import AnyPath, as_path, write_atomically
from ptmiss.files.userfiles import documented
from ptmiss.selections import Selection, load_selection

from .looks import BOSON, Look, estimators, look
from .steps import CONFIGURATION

FILESET, SELECTION = "fileset.json", "selection.toml"
CHOSEN = (
    "mass",
    "leptons.pt",
    "leptons.eta",
    "leptons.identification",
    "leptons.isolation",
    "leptons.isolation_maximum",
    "photon.pt",
    "photon.eta",
    "photon.identification_minimum",
    "jets.pt",
    "jets.eta",
    "btag.veto",
)
"""The keys of a selection that most people change first."""
SIMULATION = {"default": "dy", "z-ee": "dy", "gamma-jet": "gammajet", "w-mu": "w", "w-e": "w"}
"""Names of a dataset with the boson of a selection."""
HEAD = """\
# From event files to a page of results. `ptmiss make` runs what is missing or out of date, `ptmiss make -n` prints it.
# A section is a verb, and its keys are the verb's options: `ptmiss skim --help` explains [skim]. Two of one verb have
# names, as in [resolution.dy]. Keys above the sections are for every verb that has such an option.

label = ""  # above figures, what the events are and the energy: "CMS-like simulation (13 TeV)"

[skim]  # one row an event: weight, boson, pTmiss by each estimator. limit-files = 1, limit-chunks = 1: a trial of all
fileset = "{fileset}"
selection = "{selection}"
estimators = {estimators}
{weights}output = "out/recoil.parquet"
"""
WEIGHTS = "raw-weights = true  # or luminosity = 60, fb^-1, with cross sections in the fileset\n"
RESOLUTION = """
[resolution.{dataset}]  # response and resolution in bins of qT, vertices and jets
sources = "out/recoil.parquet"
dataset = "{dataset}"
{boson}output = "out/resolution/{dataset}"
"""
CALIBRATE = """
[calibrate]  # simulation corrected to data: a file for correctionlib, with uncertainties, and how well it closes
data = "{data}"
mc = "{mc}"
background = {backgrounds}  # "SOURCE=FACTOR", for their weights
estimators = ["{estimator}"]
closure = true
output = "out/calibration"
"""
REPORT = """
[report]  # all of it on one page
sources = {sources}
output = "out/report.html"
"""


class Begun(NamedTuple):
    """A project that was begun: its estimators, what each dataset is, and the names of its steps."""

    estimators: list[str]
    looks: dict[str, Look]
    steps: list[str]


def begin(directory: AnyPath, files: Sequence[AnyPath] = (), *, force: bool = False) -> Begun:
    """Write a fileset, a selection and a configuration into a directory: what works for these files.

    Args:
        directory: the directory.
        files: event files (paths, globs, URLs), of simulation, of data, or of both; of the embedded sample if none is
            named.
        force: replace a project that is there.

    Returns:
        The estimators that all first files have what it takes for, the channel of each dataset, and the steps.

    Raises:
        FileError: a file is missing or not readable.
        ColumnError: a first file has neither candidates nor a stored MET.
    """
    place = as_path(directory)
    results.check_writable(place, force)
    paths = [str(as_path(path)) for path in files] or [str(sample.events("zmumu"))]
    first = {path: inspect(expand([path])[0]) for path in paths}
    possible = [estimators(file) for file in first.values()]
    chosen = [name for name in possible[0] if all(name in others for others in possible)]
    seen = {kind_of(file): look(file) for file in reversed(first.values())}
    name = name_of(seen["mc"]) if "mc" in seen else ""
    looks = {name if kind == "mc" else kind: seen[kind] for kind in ("mc", "data") if kind in seen}
    text = configuration(chosen, looks, embedded=not files)
    contents = {
        FILESET: json.dumps(fileset(first, name), indent=2) + "\n",
        SELECTION: selection(max(looks.values(), key=lambda each: (each.against == BOSON, each.found)).selection),
        CONFIGURATION: text,
    }
    results.claim(place, contents)
    for file, content in contents.items():
        write_atomically(place / file, content)
    return Begun(chosen, looks, [line.partition("]")[0][1:] for line in text.splitlines() if line.startswith("[")])


def kind_of(file: EventFile) -> str:
    """Data, or simulation if the file does not say."""
    return "data" if file.kind == "data" else "mc"


def name_of(seen: Look) -> str:
    """Name of a dataset of simulation."""
    return SIMULATION[seen.selection] if seen.against in ("boson", "genboson") else "mc"


def configuration(chosen: Sequence[str], looks: Mapping[str, Look], embedded: bool = False) -> str:
    """The steps for these estimators and datasets.

    embedded: the calibration takes tables of the embedded sample, since its few events are too few.
    """
    listed, both = json.dumps(list(chosen)), len(looks) > 1
    parts = [
        HEAD.format(fileset=FILESET, selection=SELECTION, estimators=listed, weights=WEIGHTS if both else ""),
        *(RESOLUTION.format(dataset=name, boson=_boson(each)) for name, each in looks.items() if each.against),
    ]
    sources = ["recoil=out/recoil.parquet"]
    if embedded or (both and all(each.against == BOSON for each in looks.values())):
        preferred = [name for name in ("puppi", "deepmet", "stored.PuppiMET") if name in chosen] or list(chosen)
        parts.append(CALIBRATE.format(estimator=preferred[0], **_tables(looks, embedded)))
        sources.append("calibration=out/calibration")
    return "".join([*parts, REPORT.format(sources=json.dumps(sources))])


def _boson(seen: Look) -> str:
    """What the recoil is measured against, where it is not the selected boson."""
    return "" if seen.against == BOSON else f'boson = "{seen.against}"  # ptmiss resolution --help says what it is\n'


def _tables(looks: Mapping[str, Look], embedded: bool) -> dict[str, str]:
    """Data, simulation and backgrounds of a calibration."""
    if embedded:
        top = f"{sample.recoil('ttbar')}=0.1775"
        return {"data": f"{sample.recoil('data')}", "mc": f"{sample.recoil('zmumu')}", "backgrounds": json.dumps([top])}
    simulated = next(name for name in looks if name != "data")
    return {"data": "out/recoil.parquet:data", "mc": f"out/recoil.parquet:{simulated}", "backgrounds": "[]"}


def selection(base: str = "default") -> str:
    """The keys of a selection that most people change first, as TOML with what they mean."""
    values, known = load_selection(base).model_dump(mode="json"), {key.place: key for key in documented(Selection)}
    lines = [f"# Cuts on events. All keys: ptmiss selection show {base}; a check: ptmiss selection check {SELECTION}"]
    lines += [f'base = "{base}"  # the selection of which the other keys are']
    present = [place for place in CHOSEN if _has(values, place)]
    for section, places in groupby(present, lambda place: place.rpartition(".")[0]):
        lines += ["", f"[{section}]"] if section else []
        own = values[section] if section else values
        lines += [_line(known[place].description, known[place].unit, place, own) for place in places]
    return "\n".join(lines) + "\n"


def _has(values: Mapping[str, object], place: str) -> bool:
    """Whether a key matters: no window of mass without a pair, no lepton beside a photon, no photon without one."""
    leptons, photon = values["leptons"], values["photon"]
    assert isinstance(leptons, Mapping)
    matters = {"mass": 2 in leptons["number"], "leptons": bool(leptons["number"]), "photon": bool(photon)}
    return matters.get(place.partition(".")[0], True)


def _line(description: str, unit: str, place: str, values: Mapping[str, object]) -> str:
    name = place.rpartition(".")[2]
    meaning = ", ".join(filter(None, (description, unit)))
    return f"{name} = {json.dumps(values[name])}  # {meaning}"


def fileset(first: Mapping[str, EventFile], simulated: str = "dy") -> dict[str, object]:
    """A fileset of simulation, of data, or of both, with the keys of metadata that a user is to fill in.

    first: the first file of each path or glob. simulated: name of the dataset of simulation.
    """
    found: dict[str, list[str]] = {}
    for path, file in first.items():
        absolute = path if "://" in path else str(Path(path).absolute())
        found.setdefault("data" if kind_of(file) == "data" else simulated, []).append(absolute)
    about: dict[str, dict[str, object]] = {
        simulated: {"kind": "mc", "role": "signal", "cross_section": None},
        "data": {"kind": "data", "luminosity": None},
    }
    return {name: {"files": found[name], "metadata": about[name]} for name in about if name in found}
