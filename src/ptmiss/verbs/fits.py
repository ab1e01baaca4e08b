"""Corrections derived and converted, and templates for fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ptmiss import corrections as correction_files
from ptmiss import results
from ptmiss.corrections import published
from ptmiss.errors import OptionError
from ptmiss.files import AnyPath, as_path, check_file
from ptmiss.fitting import inputs as fit_inputs
from ptmiss.fitting.templates import Region

CORRECTIONS = (".json", ".gz")  # endings of files of corrections


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
        **options: minimum, pileup, test, era, order, label, progress (see ptmiss.progress); workers: processes that fit
            Gaussians and draw; flow: options of that method, see ptmiss.calibration.flow.derivation.Options.

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


def templates(
    source: AnyPath | Sequence[AnyPath],
    observable: str,
    output: AnyPath,
    estimators: Sequence[str] = (),
    *,
    force: bool = False,
    **options: Any,
) -> list[Region]:
    """Write histograms of a run or of a recoil table for fits in Combine and pyhf.

    Args:
        source: directory of a run, or a recoil table with datasets: its file, folder or glob, or several of these. Its
            rows are read some at a time.
        observable: ``mt``, ``met``, ``met_phi``, ``u_par`` or ``u_perp``.
        output: directory of the ROOT file, the cards and the workspaces.
        estimators: whose pTmiss; of all that are there if none is named.
        force: replace templates that are there.
        **options: channel, signal, luminosity, norms, minimum, label; see ptmiss.fitting.inputs.write.

    Returns:
        A region for each estimator: events of each process, nominal and varied, in bins.

    Raises:
        FileError: there is no such run or table.
        UnknownName: the source lacks the observable, an estimator or a process.
        OptionError: templates are there already, or a table's events are of several channels and none is chosen.
    """
    results.check_writable(output, force)
    return fit_inputs.write(source, observable, output, estimators, **options)


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
