"""From event files to a recoil table, chunk by chunk: memory is bounded by the chunk, not by the files.

A table is one file, or a directory with a file for each file of events and ``manifest.json``. Finished chunks are kept
beside it, in ``<table>.parts``, until it is written. Friend trees of the files are written from the same chunks, see
ptmiss.runs.friends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hist

from ptmiss import normalisation, results
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator
from ptmiss.files import AnyPath, as_path, check_file
from ptmiss.files.provenance import provenance
from ptmiss.networks.sketches import SKETCHES
from ptmiss.runs import directory as run_directory
from ptmiss.runs import friends, rows
from ptmiss.runs.chunks import Chunk
from ptmiss.runs.failures import Policy
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.inputs import InputFile, describe
from ptmiss.runs.limits import NONE, Limits
from ptmiss.runs.monitoring import MONITORING, monitor
from ptmiss.runs.pools import InProcess, Pool
from ptmiss.runs.runner import Run
from ptmiss.selections import Selection, load_selection

ONE_PROCESS = (
    "several datasets with simulation need --luminosity L (fb^-1), or --raw-weights to leave weights as they are"
)


@dataclass(frozen=True)
class Weighting:
    """What a table's weights stand for.

    luminosity: that simulation is brought to, fb^-1; None leaves the generator's weights. raw: also those of several
    datasets. rescale: what was read is taken for the whole, if something was skipped.
    """

    luminosity: float | None = None
    raw: bool = False
    rescale: bool = False

    def __post_init__(self) -> None:
        if self.luminosity is not None and not 0 < self.luminosity < float("inf"):
            raise OptionError(f"--luminosity {self.luminosity:g}: expected a positive number, fb^-1")
        if self.luminosity is not None and self.raw:
            raise OptionError("expected --luminosity or --raw-weights, and not both")

    def check(self, fileset: Fileset, sources: Sequence[InputFile]) -> None:
        """Raise OptionError if weights of several processes would be mixed, or a dataset lacks what scaling takes."""
        datasets = describe(fileset, sources)
        if self.luminosity is None and (self.raw or len(datasets) == 1):
            return
        kinds = {name: normalisation.kind_of(name, about) for name, about in datasets.items()}
        for name in (name for name, kind in kinds.items() if kind == "mc"):
            if self.luminosity is None:
                raise OptionError(f"dataset {name!r} is simulation beside others: {ONE_PROCESS}")
            normalisation.cross_section(name, datasets[name])

    def scales(self, datasets: Mapping[str, Any]) -> dict[str, float]:
        """What the weights of each dataset are multiplied by; those of data by 1."""
        if self.luminosity is None:
            return dict.fromkeys(datasets, 1.0)
        scale = partial(normalisation.factor, luminosity=self.luminosity, rescale=self.rescale)
        return {
            name: 1.0 if normalisation.kind_of(name, about) == "data" else scale(name, about)
            for name, about in datasets.items()
        }


def check_startable(output: AnyPath, resume: bool, force: bool, friend: AnyPath | None = None) -> Path:
    """The path of a table, if it, and its friend trees, may be written; OptionError else.

    ``force`` allows to replace what is there.
    """
    path, parts = as_path(output), parts_of(as_path(output))
    run_directory.check_startable(parts, (), resume, force)
    replace = force or (resume and parts.is_dir())
    if friend is not None:
        friends.check_startable(friend, replace)
    if rows.is_directory(path):
        results.check_writable(path, replace)
        return path
    return check_file(path, (".parquet",), replace)


def parts_of(output: Path) -> Path:
    """The directory of the finished chunks of a table."""
    return output.with_name(f"{output.name}.parts")


@dataclass
class Findings:
    """What is known of the rows of all chunks before any is written.

    notes: how often something was remarked. sketches: of networks, by dataset. columns: those that any rows have.
    """

    notes: Counter[str] = field(default_factory=Counter)
    sketches: dict[str, hist.Hist] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def receive(self, dataset: str, _number: int, chunk: Chunk | None) -> None:
        """Add a chunk."""
        if chunk is None:
            return
        self.notes.update(chunk.out["notes"])
        self.columns.update(chunk.out["rows"].column_names)
        if seen := chunk.out.get(SKETCHES):
            self.sketches[dataset] = self.sketches[dataset] + seen if dataset in self.sketches else seen


def skim(
    fileset: Fileset,
    estimators: Sequence[Estimator],
    output: AnyPath,
    *,
    selection: Selection | AnyPath = "default",
    vertex: str = "default",
    corrections: AnyPath | None = None,
    weighting: Weighting | None = None,
    friend: AnyPath | None = None,
    pool: Pool | None = None,
    chunksize: int | None = None,
    budget: int | None = None,
    policy: Policy | None = None,
    limits: Limits = NONE,
    resume: bool = False,
) -> dict[str, Any]:
    """Write the recoil table of all files of a fileset, in their order; return how it was made.

    output: a file, or, without ``.parquet``, a directory. corrections: a file of a calibration, for columns of
    corrected pTmiss. friend: a directory for friend trees of the files.
    """
    from ptmiss.processors.skim import Skim

    if friend is not None and limits.chunks is not None:
        raise OptionError("--friend has every entry of its file: --limit-files limits it, --limit-chunks does not")
    path = None if corrections is None else as_path(corrections)
    processor = Skim(estimators, load_selection(selection), vertex, path)
    check = partial(check_sources, fileset, weighting or Weighting(), None if friend is None else processor.names)
    how = (chunksize, budget, policy or Policy(), limits)
    with run_directory.open_directory(parts_of(as_path(output)), resume) as directory:
        run, findings = Run(fileset, processor, directory, pool or InProcess(), *how), Findings()
        details = run.stream(findings.receive, check)
        made = record(processor, estimators, findings, weighting or Weighting(), details)
        if friend is not None:
            friends.write(run, as_path(friend), made)
        rows.write(run, as_path(output), made, findings.columns)
    if not any(dataset["ledger"]["skipped"] for dataset in details["datasets"].values()):
        directory.remove()
    return made


def check_sources(
    fileset: Fileset, weighting: Weighting, names: Sequence[str] | None, sources: Sequence[InputFile]
) -> None:
    """Raise OptionError if weights cannot be taken together, or friend trees of these estimators not be written."""
    weighting.check(fileset, sources)
    if names is not None:
        friends.check(names, sources)


def record(
    processor: Any,
    estimators: Sequence[Estimator],
    findings: Findings,
    weighting: Weighting,
    details: Mapping[str, Any],
) -> dict[str, Any]:
    """How a table was made, with what its networks have seen and the factor of the weights of each dataset."""
    made = provenance(
        estimators=[estimator.manifest_entry() for estimator in estimators],
        selection=processor.selection.model_dump(mode="json"),
        vertex=processor.vertex,
        corrections=processor.corrections and processor.corrections.record,
        luminosity=weighting.luminosity,
        notes=dict(findings.notes),
        **details,
    )
    for name, seen in findings.sketches.items():
        made["datasets"][name] |= {MONITORING: monitor(seen, estimators)}
    for name, scale in weighting.scales(made["datasets"]).items():
        made["datasets"][name]["scale"] = scale
    return made
