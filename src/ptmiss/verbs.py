"""The verbs of the command line as functions with the same words, for notebooks and scripts.

Paths may be strings. Estimators may be names or objects, an estimator of your own among them. What a verb writes is
written whole or not at all, and says how it was made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from coffea.processor import ProcessorABC

from ptmiss import corrections as correction_files
from ptmiss import plots, reports, resolutions, results
from ptmiss.corrections import published
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator, make_estimators
from ptmiss.estimators.reconstruction import MLPF
from ptmiss.files import AnyPath, as_path, check_file, write_atomically
from ptmiss.files.provenance import provenance
from ptmiss.fitting import inputs as fit_inputs
from ptmiss.fitting.templates import Region
from ptmiss.networks.registry import load_weights
from ptmiss.networks.sketches import SKETCHES
from ptmiss.reports import resolution_report
from ptmiss.resolutions import comparison, jacobian
from ptmiss.results import RunResult
from ptmiss.runs import directory as run_directory
from ptmiss.runs import fileset as filesets
from ptmiss.runs import runner
from ptmiss.runs import skim as skimming
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.monitoring import MONITORING, monitor
from ptmiss.runs.options import RunOptions
from ptmiss.selections import Selection, load_selection, selection_of
from ptmiss.table import RecoilTable, StoredTable, open_table
from ptmiss.table import read as read_table
from ptmiss.table.columns import Table

if TYPE_CHECKING:
    from ptmiss.explanation.profiles import Profile
    from ptmiss.explanation.relevance import Relevance
    from ptmiss.explanation.report import Explanation

Files = AnyPath | Sequence[AnyPath] | Mapping[str, Any]
Estimators = str | Iterable[str | Estimator]
CORRECTIONS = (".json", ".gz")  # endings of files of corrections


@dataclass(frozen=True)
class Resolution:
    """Response and resolution of every estimator.

    table: a row for each estimator, region and bin, with errors; see ptmiss.resolutions.tabulate. Widths in GeV.
    figures: their paths, where they were written, the overview first. left_out: events of a table that count for no
    estimator, since one of them has no finite pTmiss; a run has them in its notes.
    """

    table: pd.DataFrame
    figures: Sequence[Path] = ()
    left_out: int = 0

    def draw(self, directory: AnyPath, formats: Sequence[str] = ("png",), label: str = "") -> list[Path]:
        """Draw its figures into a directory; returns their paths, the overview first."""
        place = as_path(directory)
        place.mkdir(parents=True, exist_ok=True)
        return plots.resolution_figures(self.table, place, formats, label)

    def inclusive(self) -> pd.DataFrame:
        """Response and widths (GeV) of each estimator against qT, with errors."""
        rows = self.table[(self.table["region"] == "inclusive") & (self.table["axis"] == "qt")]
        return rows.drop(columns=["region", "axis"]).reset_index(drop=True)

    def __repr__(self) -> str:
        return resolution_report.text(self.inclusive())

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
    if isinstance(files, Iterable) and not isinstance(files, str):
        return filesets.parse({dataset: [str(as_path(path)) for path in files]})
    path = str(as_path(files))
    return filesets.read(path) if path.endswith(".json") else fileset_of([path], dataset)


def estimators_of(estimators: Estimators) -> list[Estimator]:
    """Estimators by name, or as they are."""
    given = estimators.split(",") if isinstance(estimators, str) else list(estimators)
    names = [each for each in given if isinstance(each, str)]
    named = {made.name: made for made in make_estimators(names)} if names or not given else {}
    return [named[each] if isinstance(each, str) else each for each in given]


def skim(
    files: Files,
    output: AnyPath,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: Selection | AnyPath = "default",
    vertex: str = "default",
    corrections: AnyPath | None = None,
    luminosity: float | None = None,
    raw_weights: bool = False,
    rescale: bool = False,
    friend: AnyPath | None = None,
    resume: bool = False,
    force: bool = False,
    **how: Any,
) -> RecoilTable | StoredTable:
    """Write the recoil table of event files, one row an event, and read it.

    A directory is not read into memory, but opened, as by ``open_table``.

    Args:
        files: event files (ROOT or parquet; paths, globs, URLs), or a fileset.
        output: the table, a parquet file; or a directory, without an ending, for one file for each file of events.
        estimators: names or estimators.
        selection: a Selection, the name of a preset, or a file.
        vertex: whose candidates, ``default`` or ``lepton``.
        corrections: a file that ``calibrate`` wrote, for columns of corrected pTmiss beside the others.
        luminosity: scale the weights of simulation to it, fb^-1.
        raw_weights: leave weights as they are, also of several datasets.
        rescale: take what was read for the whole, if something was skipped.
        friend: a directory for friend trees, ROOT files with pTmiss of every event of each file.
        resume: go on with what an earlier skim left.
        force: replace a table that is there, or what an earlier skim left.
        **how: executor, workers, chunksize, …: see ptmiss.runs.options.RunOptions.

    Returns:
        The table: vectors in GeV, ``(events, 2)``.

    Raises:
        ColumnError: a file lacks what an estimator or the selection needs; before any event is read.
    """
    made, place = estimators_of(estimators), skimming.check_startable(output, resume, force, friend)
    weighting = skimming.Weighting(luminosity, raw_weights, rescale)
    chosen: dict[str, Any] = {"selection": selection, "vertex": vertex, "weighting": weighting, "friend": friend}
    with RunOptions(**how).open() as opened:
        skimming.skim(fileset_of(files), made, place, corrections=corrections, resume=resume, **chosen, **opened)
    return open_table(place) if place.is_dir() else read_table(place)


def run(
    processor: str,
    files: Files,
    output: AnyPath,
    estimators: Estimators = ("pf", "puppi"),
    *,
    selection: Selection | AnyPath | None = None,
    vertex: str = "default",
    corrections: AnyPath | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    **how: Any,
) -> RunResult:
    """Run a coffea processor over a fileset and keep its histograms.

    Args:
        processor: ``zmumu``, ``zee``, ``gammajet``, ``wmunu``, ``wenu``, ``validation``,
             ``FILE.py`` or ``FILE.py:Class``.
        files: a fileset, or event files.
        output: directory of the results.
        estimators: names or estimators.
        selection: a Selection, the name of a preset, or a file; None for that of the processor.
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
    place, path = as_path(output), None if corrections is None else as_path(corrections)
    run_directory.check_startable(place, (results.MANIFEST,), resume, force)
    fileset, made = fileset_of(files), estimators_of(estimators)
    asked = {} if selection is None else {"selection": load_selection(selection)}
    chosen = {"estimators": made, **asked, "vertex": vertex, "corrections": path, **(options or {})}
    instance = _processor(processor, chosen)
    with RunOptions(**how).open() as opened, run_directory.open_directory(place, resume) as directory:
        outputs, details = runner.run(fileset, instance, directory=directory, **opened)
        for out in outputs.values():
            if seen := out.pop(SKETCHES, None):
                out[MONITORING] = monitor(seen, made)
        manifest = provenance(
            processor=processor,
            estimators=[estimator.manifest_entry() for estimator in made],
            selection=_selection(instance),
            vertex=vertex,
            options=dict(options or {}),
            corrections=path and correction_files.load(path).record,
            **details,
        )
        return results.save(place, manifest, outputs)


def _selection(processor: ProcessorABC) -> dict[str, Any] | None:
    """The selection of a processor, every key of it; None if it has none."""
    selection = getattr(processor, "selection", None)
    return selection.model_dump(mode="json") if isinstance(selection, Selection) else None


def _processor(name: str, chosen: Mapping[str, Any]) -> ProcessorABC:
    """A processor with what was chosen for it; estimators, selection and the default vertex are for those that ask."""
    cls = runner.find_processor(name)
    asked = inspect.signature(cls).parameters
    optional = {"estimators", "selection"} | ({"vertex"} if chosen["vertex"] == "default" else set())
    return runner.make_processor(
        cls, {key: value for key, value in chosen.items() if key in asked or key not in optional}
    )


def resolution(
    source: AnyPath | Sequence[AnyPath] | Table,
    output: AnyPath | None = None,
    correction: str = "bin",
    *,
    window: float | None = None,
    formats: Sequence[str] = ("png",),
    label: str = "",
    force: bool = False,
    **options: Any,
) -> Resolution:
    """Response and resolution of a recoil table or of a run.

    Args:
        source: a recoil table, its file, a folder, glob or list of files, or the directory of a run. Files are read
            some rows at a time: memory does not grow with them.
        output: directory for table and figures; None writes nothing.
        correction: what u is divided by: the response of each ``bin`` of qT, that of the ``plateau`` (qT > 150 GeV), or
            ``none``.
        window: also the RMS inside so many GeV, for comparison with code that truncates.
        formats: of the figures.
        label: above the figures.
        force: replace results that are there.
        **options: boson, dataset, backgrounds, rescale; see ptmiss.reports.resolution_report.fill.

    Returns:
        A table with errors, and what draws it.

    Raises:
        FileError: there is no such table or run.
        OptionError: no event has the boson, several datasets and none chosen, or results are there already.
    """
    if output is not None:
        results.check_writable(output, force)
    histograms, left_out = resolution_report.fill(resolution_report.source_of(source), **options)
    table = resolutions.tabulate(histograms, correction, window)
    if output is None:
        return Resolution(table, left_out=left_out)
    name = "a recoil table" if isinstance(source, Table) else str(source)
    details = {"source": name, "correction": correction, "window": window, "left_out": left_out}
    return Resolution(table, resolution_report.write(table, as_path(output), formats, label, **details), left_out)


def compare(
    source: AnyPath | Sequence[AnyPath] | Table,
    against: Sequence[str] | None = None,
    *,
    mt: bool = False,
    by: Sequence[str] = (),
    dataset: str | None = None,
    output: AnyPath | None = None,
    force: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Estimators of a recoil table against others on the same events, with paired bootstrap errors.

    Args:
        source: a recoil table, its file, or a folder, glob or list of files.
        against: estimators to compare with; None for those of pf and puppi that are there, or the first of the table.
        mt: of W decays, mT in place of the recoil.
        by: axes whose bins are compared too, ``qt``, ``npv``, ``njets``.
        dataset: of a table of several, the one to compare on.
        output: a CSV file to write.
        force: replace a file that is there.
        **options: weighted; without mt also boson, above and below (qT, GeV).

    Returns:
        A row for each estimator and bin: widths in GeV, gains as fractions, and their errors.

    Raises:
        FileError: there is no such table.
        UnknownName: the table lacks an estimator or an axis.
        OptionError: no event has the boson, or the file is there already.
    """
    if output is not None:
        check_file(output, (".csv",), force)
    read = (source if isinstance(source, Table) else open_table(source)).of(dataset)
    against = references(read) if against is None else against
    if mt:
        found = jacobian.of_table(read, list(against), **options)
    else:
        found = comparison.of_table(
            read, list(against), edges=comparison.edges(list(by), selection_of(read.provenance).binning), **options
        )
    if output is not None:
        write_atomically(output, found.to_csv(index=False, float_format="%.6g"))
    return found


def references(table: Table) -> list[str]:
    """The estimators of a table that others are compared with, unless some are named."""
    return [name for name in ("pf", "puppi") if name in table.estimators] or table.estimators[:1]


def calibrate(
    data: AnyPath,
    mc: AnyPath,
    output: AnyPath,
    estimators: Sequence[str] = ("pf", "puppi"),
    backgrounds: Sequence[str] = (),
    *,
    method: str = "gaussians",
    force: bool = False,
    resume: bool = False,
    **options: Any,
) -> correction_files.Corrections:
    """Calibrate the recoil of simulation to data, and write corrections for correctionlib.

    Args:
        data: recoil table, or ``DIRECTORY[:DATASET]`` of a run.
        mc: the same of the simulated signal.
        output: directory of corrections, tables and figures; it must be empty unless ``force``.
        estimators: what to calibrate.
        backgrounds: ``SOURCE[=FACTOR]`` each.
        method: ``gaussians``, a map for each component of each estimator, or ``flow``, one for all of them at once
            (needs the extra ``flow``).
        force: replace results that are there.
        resume: go on with the flows that a calibration which was stopped left in ``output``.
        **options: minimum, pileup, test, era, order, label, progress (see ptmiss.progress); flow: options of that
            method, see ptmiss.calibration.flow.derivation.Options.

    Returns:
        The corrections, ready to be applied. Of runs without corrections they are XY lines and pile-up weights alone
        (``maps`` is False): run again with them, and calibrate those runs.

    Raises:
        FileError: a table or run does not exist.
        UnknownName: a source lacks an estimator.
        OptionError: data and simulation are swapped or the same, or results are there already.
    """
    from ptmiss.calibration.report import TRAINING
    from ptmiss.calibration.report import calibrate as derive

    if not (resume and (as_path(output) / TRAINING).is_dir()):
        results.check_writable(output, force)
    options |= {"method": method}
    path = derive(str(as_path(data)), str(as_path(mc)), list(backgrounds), list(estimators), output, **options)
    return correction_files.load(path)


def convert(
    files: AnyPath | Sequence[AnyPath],
    output: AnyPath,
    systematics: AnyPath | None = None,
    *,
    order: str = "any",
    detector: str | None = None,
    max_events: int | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> published.PublishedRecoil | list[Path]:
    """Convert files of others: open full simulation to event files, recoil corrections to correctionlib JSON.

    Args:
        files: EDM4hep files (ROOT), or parquet and ArrayRecord files of the public MLPF; paths and globs. For a .json
            output, the ROOT file of CMS's HTT group with histograms of data and simulation.
        output: an event file (.root) for one file, or a directory for any number, with a manifest; .parquet or
            .array_record for an event file with elements; .json or .gz for corrections.
        systematics: of corrections, the group's ROOT file of their uncertainties.
        order: of corrections, their key in the file.
        detector: ``clic`` or ``cld``; EDM4hep files do not say which field bends their tracks.
        max_events: most events of each file.
        force: replace what is there.
        progress: called with what is done, how many files, and of how many.

    Returns:
        The paths of what was written; or the corrections, ready to be applied.

    Raises:
        FileError: a file is missing or cannot be read, or an event does not pass a gate; nothing is written.
        ColumnError: a file lacks a collection.
        CorrectionError: a file has not the group's histograms.
    """
    given = list(files) if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    if as_path(output).suffix in CORRECTIONS:
        return _convert_corrections(given, output, systematics, order, force)
    if systematics is not None:
        raise OptionError(f"--systematics is of corrections, and --output {output} is none (.json or .gz)")
    from ptmiss.conversion.convert import convert as convert_files

    paths = [str(as_path(path)) for path in given]
    return convert_files(paths, output, detector=detector, max_events=max_events, force=force, progress=progress)


def _convert_corrections(
    given: Sequence[AnyPath], output: AnyPath, systematics: AnyPath | None, order: str, force: bool
) -> published.PublishedRecoil:
    from ptmiss.calibration import conversion

    if len(given) != 1:
        raise OptionError(f"--output {output} is of one file of corrections, not of {len(given)}")
    check_file(output, list(CORRECTIONS), force)
    made = published.load(conversion.convert(given[0], output, systematics, order))
    assert isinstance(made, published.PublishedRecoil)
    return made


def explain(
    model: AnyPath,
    files: AnyPath | Sequence[AnyPath],
    output: AnyPath | None = None,
    against: Sequence[str] = ("pf", "puppi"),
    *,
    force: bool = False,
    **options: Any,
) -> Explanation | Relevance:
    """Explain a network: its recoil in parts, its weights against the inputs, and what each input is worth.

    Of an MLPF: which elements, and which of their inputs, made its candidates.

    Args:
        model: a network's name, weights file or folder.
        files: event files with candidates and a boson; for an MLPF with elements.
        output: directory of tables and figures; None writes nothing.
        against: estimators whose recoil is taken apart beside it.
        force: replace results that are there.
        **options: selection, max_events, replicas, seed, label, formats, progress; see ptmiss.explanation.report. An
            MLPF has no use for against, selection and replicas.

    Returns:
        Tables with errors, and their figures.

    Raises:
        OptionError: no event has a boson, or an estimator is no sum over candidates.
        ColumnError: a file lacks a column of the candidates.
    """
    from ptmiss import explanation
    from ptmiss.explanation import relevance

    if output is not None:
        results.check_writable(output, force)
    given = list(files) if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    paths = [str(as_path(path)) for path in given]
    if load_weights(model).architecture == MLPF:
        own = {name: value for name, value in options.items() if name not in ("selection", "replicas")}
        return relevance.explain(model, paths, output, **own)
    return explanation.explain(model, paths, output, against, **options)


def profile(model: AnyPath, output: AnyPath | None = None, *, force: bool = False, **options: Any) -> Profile:
    """Profile a network: time, operations and memory of each layer.

    Args:
        model: a network's name, weights file or folder.
        output: directory of table and figure; None writes nothing.
        force: replace results that are there.
        **options: sizes, threads, repeats, formats, label; see ptmiss.explanation.profiles.profile.

    Returns:
        A row for each layer, number of candidates or elements, and number of threads.

    Raises:
        UnknownName: no model has this name.
        OptionError: results are there already.
    """
    from ptmiss.explanation import profiles

    if output is not None:
        results.check_writable(output, force)
    return profiles.profile(model, output, **options)


def report(sources: AnyPath | Sequence[AnyPath], output: AnyPath, *, force: bool = False, **options: Any) -> Path:
    """Write one page of HTML of recoil tables, runs, calibrations, evaluations, explanations and models.

    Args:
        sources: paths, ``NAME=PATH`` or names of models.
        output: the page, a ``.html`` file.
        force: replace a page that is there.
        **options: title, correction, label, published (``QUANTITY=FILE`` each), progress.

    Returns:
        The page's path.

    Raises:
        FileError: a source does not exist.
        OptionError: the page is there already, or is no ``.html`` file.
    """
    path = check_file(output, (".html",), force)
    given = list(sources) if isinstance(sources, Sequence) and not isinstance(sources, str) else [sources]
    return reports.report([str(as_path(source)) for source in given], path, **options)


def templates(
    run: AnyPath,
    observable: str,
    output: AnyPath,
    estimators: Sequence[str] = (),
    *,
    force: bool = False,
    **options: Any,
) -> list[Region]:
    """Write the histograms of a run for fits in Combine and pyhf.

    Args:
        run: directory of a run.
        observable: ``mt``, ``met``, ``met_phi``, ``u_par`` or ``u_perp``.
        output: directory of the ROOT file, the cards and the workspaces.
        estimators: whose pTmiss; of all in the run if none is named.
        force: replace templates that are there.
        **options: signal, luminosity, norms, minimum, label; see ptmiss.fitting.inputs.write.

    Returns:
        A region for each estimator: events of each process, nominal and varied, in bins.

    Raises:
        FileError: there is no such run.
        UnknownName: the run lacks the observable, an estimator or a process.
        OptionError: templates are there already.
    """
    results.check_writable(output, force)
    return fit_inputs.write(run, observable, output, estimators, **options)


def simulate(process: str, n: int, output: AnyPath, seed: int = 1, *, force: bool = False, **options: Any) -> Path:
    """Simulate events in a CMS-like detector, with pile-up and truth (needs the extra ``simulation``).

    Args:
        process: one of ptmiss.simulation.PROCESSES.
        n: how many events.
        output: the event file.
        seed: the same seed gives the same file.
        force: replace a file that is there.
        **options: profile, pileup_mean, overrides, elements, shower_weights, workers, file_format,
            progress.

    Returns:
        The event file's path.

    Raises:
        UnknownName: no process has this name.
        OptionError: the file is there already, or is no ``.root`` file.
    """
    from ptmiss import simulation

    return simulation.simulate(process, n, seed, check_file(output, (".root",), force), **options).path
