"""A directory to begin with: a fileset of event files, and a Makefile from them to a page of results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ptmiss import candidates, results, sample
from ptmiss.errors import ColumnError
from ptmiss.estimators import make_estimators
from ptmiss.events import EventFile, expand, inspect
from ptmiss.files import AnyPath, as_path, write_atomically

FILESET, MAKEFILE = "fileset.json", "Makefile"
WANTED = ("pf", "puppi", "deepmet", "stored.PuppiMET", "stored.MET", "stored.DeepMETResolutionTune")
STEPS = """\
# From event files to a page of results. `make` runs what is missing or out of date, `make -n` prints it.
# `ptmiss VERB --help` explains a verb. What to write into {fileset}: docs/reference/files.md.

PTMISS := ptmiss
ESTIMATORS := {estimators}
SELECTION := default#        cuts on muons and jets: ptmiss skim --help
LABEL :=#                    text above the figures, such as the experiment and the year

all: out/report.html

# one row an event: weight, muon pair, pTmiss by each estimator. For more processes: --executor futures --workers 4
out/recoil.parquet: {fileset}
\t$(PTMISS) skim --fileset {fileset} --estimators $(ESTIMATORS) --selection $(SELECTION) --force --output $@

# response and resolution in bins of qT, vertices and jets: a table and figures
out/resolution/resolution.csv: out/recoil.parquet
\t$(PTMISS) resolution out/recoil.parquet --label "$(LABEL)" --force --output out/resolution

# everything on a page
out/report.html: out/recoil.parquet out/resolution/resolution.csv
\t$(PTMISS) report recoil=out/recoil.parquet --label "$(LABEL)" --force --output $@

# estimators against each other on the same events, with errors; it needs some hundreds of muon pairs
compare: out/recoil.parquet
\t$(PTMISS) compare out/recoil.parquet --by qt,npv

# with data and simulation as two datasets in {fileset}: simulation corrected to data, for correctionlib.
# skim then needs --luminosity L, resolution --dataset data
# out/calibration/corrections.json.gz: out/recoil.parquet
# \t$(PTMISS) calibrate --data out/recoil.parquet:data --mc out/recoil.parquet:dy --force --output out/calibration

.PHONY: all compare
"""


def begin(directory: AnyPath, files: Sequence[AnyPath] = (), *, force: bool = False) -> list[str]:
    """Write a fileset and a Makefile into a directory.

    Args:
        directory: the directory.
        files: event files (paths, globs, URLs); of the embedded sample if none is named.
        force: replace a project that is there.

    Returns:
        The estimators that the first file has what it takes for.

    Raises:
        FileError: a file is missing or not readable.
        ColumnError: the first file has neither candidates nor a stored MET.
    """
    place = as_path(directory)
    results.check_writable(place, force)
    paths = [str(as_path(path)) for path in files] or [str(sample.events("zmumu"))]
    first = inspect(expand(paths)[0])
    chosen = estimators(first)
    results.claim(place, (FILESET, MAKEFILE))
    write_atomically(place / FILESET, json.dumps(fileset(paths, first), indent=2) + "\n")
    write_atomically(place / MAKEFILE, STEPS.format(fileset=FILESET, estimators=",".join(chosen)))
    return chosen


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


def fileset(paths: Sequence[str], first: EventFile) -> dict[str, object]:
    """A fileset of one dataset, with the keys of metadata that a user is to fill in."""
    absolute = [path if "://" in path else str(Path(path).absolute()) for path in paths]
    kind = first.kind or "mc"
    numbers = {"luminosity": None} if kind == "data" else {"role": "signal", "cross_section": None}
    return {"data" if kind == "data" else "dy": {"files": absolute, "metadata": {"kind": kind, **numbers}}}
