"""The verbs of the command line as functions with the same words, for notebooks and scripts.

Paths may be strings. Estimators may be names or objects, an estimator of your own among them. What a verb writes is
written whole or not at all, and says how it was made.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import hist
import pandas as pd

from ptmiss import comparison, jacobian, plots, reports, resolutions, results
from ptmiss import corrections as correction_files
from ptmiss import table as tables
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator, make_estimators
from ptmiss.provenance import provenance
from ptmiss.reports import resolution_report
from ptmiss.results import RunResult
from ptmiss.runs import directory as run_directory
from ptmiss.runs import fileset as filesets
from ptmiss.runs import runner
from ptmiss.runs import skim as skimming
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.options import RunOptions
from ptmiss.table import RecoilTable

Path_ = str | Path
Files = Path_ | Sequence[Path_] | Mapping[str, Any]
Estimators = str | Iterable[str | Estimator]


@dataclass(frozen=True)
class Resolution:
    """Response and resolution of every estimator.

    table: a row for each estimator, region and bin, with errors; see ptmiss.resolutions.tabulate. Widths in GeV.
    """

    table: pd.DataFrame

    def draw(self, directory: Path_, formats: Sequence[str] = ("png",), label: str = "") -> list[Path]:
        """Draw its figures into a directory; returns their paths, the overview first."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        return plots.resolution_figures(self.table, Path(directory), formats, label)

    def inclusive(self) -> pd.DataFrame:
        """Response and widths (GeV) of each estimator against qT, with errors."""
        rows = self.table[(self.table["region"] == "inclusive") & (self.table["axis"] == "qt")]
        return rows.drop(columns=["region", "axis"]).reset_index(drop=True)

    def __repr__(self) -> str:
        return f"Resolution of {', '.join(self.table['estimator'].unique())}\n{self.inclusive()}"

    def _repr_html_(self) -> str:
        return str(self.inclusive().to_html(index=False))


def fileset_of(files: Files, dataset: str = "events") -> Fileset:
    """A fileset of event files, of the content of a fileset's JSON, or of such a file.

    Raises:
        FilesetError: the content has a wrong key or value.
    """
    if isinstance(files, Mapping):
        parsed = all(isinstance(value, filesets.Dataset) for value in files.values())
        return dict(files) if parsed else filesets.parse(files)
    if isinstance(files, str | Path):
        return filesets.read(Path(files)) if str(files).endswith(".json") else fileset_of([files], dataset)
    return filesets.parse({dataset: [str(path) for path in files]})


def estimators_of(estimators: Estimators) -> list[Estimator]:
    """Estimators by name, or as they are."""
    given = estimators.split(",") if isinstance(estimators, str) else list(estimators)
    names = [each for each in given if isinstance(each, str)]
    named = {made.name: made for made in make_estimators(names)} if names or not given else {}
    return [named[each] if isinstance(each, str) else each for each in given]


def skim(
    files: Files,
    output: Path_,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: str = "default",
    vertex: str = "default",
    resume: bool = False,
    **how: Any,
) -> RecoilTable:
    """Write the recoil table of event files, one row an event, and read it.

    Args:
        files: event files (ROOT or parquet; paths, globs, URLs), or a fileset.
        output: the table, a parquet file.
        estimators: names or estimators.
        selection: name of a preset of cuts.
        vertex: whose candidates, ``default`` or ``lepton``.
        resume: go on with what an earlier skim left.
        **how: executor, workers, chunksize, …: see ptmiss.runs.options.RunOptions.

    Returns:
        The table: vectors in GeV, ``(events, 2)``.

    Raises:
        ColumnError: a file lacks what an estimator or the selection needs; before any event is read.
    """
    made = estimators_of(estimators)
    with RunOptions(**how).opened() as opened:
        place = Path(output)
        skimming.skim(fileset_of(files), made, place, selection=selection, vertex=vertex, resume=resume, **opened)
    return tables.read(place)


def run(
    processor: str,
    files: Files,
    output: Path_,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: str = "default",
    vertex: str = "default",
    corrections: Path_ | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    **how: Any,
) -> RunResult:
    """Run a coffea processor over a fileset and keep its histograms.

    Args:
        processor: ``zmumu``, ``wjets``, ``validation``, ``FILE.py`` or ``FILE.py:Class``.
        files: a fileset, or event files.
        output: directory of the results.
        estimators: names or estimators.
        selection: name of a preset of cuts.
        vertex: whose candidates, ``default`` or ``lepton``.
        corrections: a file that ``calibrate`` wrote.
        options: the processor's own.
        resume: go on with what an earlier run left.
        force: replace results that are there.
        **how: executor, workers, chunksize, …: see ptmiss.runs.options.RunOptions.

    Returns:
        Manifest and histograms by dataset.

    Raises:
        ChunkError: a worker failed; what is done is kept.
    """
    place, path = Path(output), None if corrections is None else Path(corrections)
    run_directory.check_startable(place, (results.MANIFEST,), resume, force)
    fileset, made = fileset_of(files), estimators_of(estimators)
    cls = runner.find_processor(processor)
    shared = {"estimators": made, "selection": selection}
    taken = {name: value for name, value in shared.items() if name in inspect.signature(cls).parameters}
    own_vertex = {} if vertex == "default" else {"vertex": vertex}  # an error where a processor takes none
    instance = runner.make_processor(cls, {**taken, **own_vertex, **(options or {}), "corrections": path})
    with RunOptions(**how).opened() as opened, run_directory.open_directory(place, resume) as directory:
        outputs, details = runner.run(fileset, instance, directory=directory, **opened)
        manifest = provenance(
            processor=processor,
            estimators=[estimator.manifest_entry() for estimator in made],
            selection=selection,
            vertex=vertex,
            options=dict(options or {}),
            corrections=path and {"path": str(path), "sha256": correction_files.load(path).sha256},
            **details,
        )
        results.save(place, manifest, outputs)
    return results.load(place)


def resolution(source: Path_ | RecoilTable, correction: str = "plateau", **options: Any) -> Resolution:
    """Response and resolution of a recoil table or of a run.

    Args:
        source: a recoil table, its file, or the directory of a run.
        correction: what u is divided by: ``none``, ``plateau`` (response above 150 GeV) or ``bin`` (of each qT bin).
        **options: boson; of a run also dataset, subtract, rescale; see ptmiss.reports.resolution_report.

    Returns:
        A table with errors, and what draws it.
    """
    if isinstance(source, RecoilTable):
        return Resolution(resolutions.tabulate(resolutions.from_table(source, **options), correction))
    histograms: Mapping[str, hist.Hist] = resolution_report.histograms_of(Path(source), **options)
    return Resolution(resolutions.tabulate(histograms, correction))


def compare(source: Path_ | RecoilTable, against: Sequence[str] = ("pf", "puppi"), **options: Any) -> pd.DataFrame:
    """Estimators of a recoil table against others on the same events, with paired bootstrap errors.

    Args:
        source: a recoil table, or its file.
        against: estimators to compare with.
        **options: boson, above and below (qT, GeV), by (axes), weighted; or ``mt=True`` for mT of W decays.

    Returns:
        A row for each estimator and bin: widths in GeV, gains in %, and their errors.
    """
    read = source if isinstance(source, RecoilTable) else tables.read(Path(source))
    if options.pop("mt", False):
        return jacobian.of_table(read, list(against), **options)
    edges = comparison.edges(list(options.pop("by", ())))
    return comparison.of_table(read, list(against), edges=edges, **options)


def calibrate(
    data: Path_,
    mc: Path_,
    output: Path_,
    estimators: Sequence[str] = ("pf", "puppi"),
    backgrounds: Sequence[str] = (),
    **options: Any,
) -> correction_files.Corrections:
    """Calibrate the recoil of simulation to data, and write corrections for correctionlib.

    Args:
        data: recoil table, or ``DIRECTORY[:DATASET]`` of a run.
        mc: the same of the simulated signal.
        output: directory of corrections, tables and figures; it must be empty unless ``force``.
        estimators: what to calibrate.
        backgrounds: ``SOURCE[=FACTOR]`` each.
        **options: minimum, pileup, test, era, order, label, progress, force.

    Returns:
        The corrections, ready to be applied.
    """
    results.check_writable(Path(output), options.pop("force", False))
    derive = import_module("ptmiss.calibration.report").calibrate
    path = derive(str(data), str(mc), list(backgrounds), list(estimators), Path(output), **options)
    return correction_files.load(path)


def report(sources: Path_ | Sequence[Path_], output: Path_, *, force: bool = False, **options: Any) -> Path:
    """Write one page of HTML of recoil tables, runs, calibrations, evaluations and models.

    Args:
        sources: paths, ``NAME=PATH`` or names of models.
        output: the page, a ``.html`` file.
        force: replace a page that is there.
        **options: title, correction, label, progress.

    Returns:
        The page's path.
    """
    path = Path(output)
    if path.exists() and not force:
        raise OptionError(f"--output {path} is there already (--force replaces it)")
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    return reports.report([str(source) for source in given], path, **options)


def simulate(process: str, n: int, output: Path_, seed: int = 1, **options: Any) -> Path:
    """Simulate events in a CMS-like detector, with pile-up and truth (needs the extra ``simulation``).

    Args:
        process: one of ptmiss.simulation.PROCESSES.
        n: how many events.
        output: the event file.
        seed: the same seed gives the same file.
        **options: profile, pileup_mean, overrides, elements, workers, file_format, progress.

    Returns:
        The event file's path.
    """
    from ptmiss import simulation

    return simulation.simulate(process, n, seed, Path(output), **options).path
