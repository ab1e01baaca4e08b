"""From event files to a recoil table, chunk by chunk: memory is bounded by the chunk, not by the files.

Finished chunks are kept beside the table, in ``<table>.parts``, until it is written. Friend trees of the files are
written from the same chunks, see ptmiss.runs.friends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hist

from ptmiss import corrections as correction_files
from ptmiss import normalisation
from ptmiss.errors import OptionError
from ptmiss.estimators import Estimator
from ptmiss.files import AnyPath, as_path, check_file
from ptmiss.networks.sketches import SKETCHES
from ptmiss.provenance import provenance
from ptmiss.runs import directory as run_directory
from ptmiss.runs import friends
from ptmiss.runs.chunks import Chunk
from ptmiss.runs.failures import Policy
from ptmiss.runs.fileset import Fileset
from ptmiss.runs.inputs import InputFile, describe
from ptmiss.runs.limits import NONE, Limits
from ptmiss.runs.monitoring import MONITORING, monitor
from ptmiss.runs.pools import InProcess, Pool
from ptmiss.runs.runner import Run
from ptmiss.selections import Selection, load_selection
from ptmiss.table import of_dataset, writing

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
    return check_file(path, (".parquet",), replace)


def parts_of(output: Path) -> Path:
    """The directory of the finished chunks of a table."""
    return output.with_name(f"{output.name}.parts")


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

    corrections: a file of a calibration, for columns of corrected pTmiss. friend: a directory for friend trees of the
    files.
    """
    from ptmiss.processors.skim import Skim

    if friend is not None and limits.chunks is not None:
        raise OptionError("--friend has every entry of its file: --limit-files limits it, --limit-chunks does not")
    path = None if corrections is None else as_path(corrections)
    processor = Skim(estimators, load_selection(selection), vertex, path)
    weighting, output = weighting or Weighting(), as_path(output)
    notes: Counter[str] = Counter()
    sketches: dict[str, hist.Hist] = {}
    columns: set[str] = set()
    paths: list[str] = []

    def check(sources: Sequence[InputFile]) -> None:
        weighting.check(fileset, sources)
        paths.extend(source.file.path for source in sources)
        if friend is not None:
            friends.check(processor.names, sources)

    def receive(dataset: str, _number: int, chunk: Chunk | None) -> None:
        if chunk is not None:
            notes.update(chunk.out["notes"])
            if seen := chunk.out.get(SKETCHES):
                sketches[dataset] = sketches[dataset] + seen if dataset in sketches else seen
            columns.update(chunk.out["rows"].column_names)

    with run_directory.open_directory(parts_of(output), resume) as directory:
        run = Run(fileset, processor, directory, pool or InProcess(), chunksize, budget, policy or Policy(), limits)
        details = run.stream(receive, check)
        made = provenance(
            estimators=[estimator.manifest_entry() for estimator in estimators],
            selection=processor.selection.model_dump(mode="json"),
            vertex=vertex,
            corrections=path and correction_files.load(path).record,
            luminosity=weighting.luminosity,
            notes=dict(notes),
            **details,
        )
        for name, seen in sketches.items():
            made["datasets"][name] |= {MONITORING: monitor(seen, estimators)}
        scales = weighting.scales(details["datasets"])
        if friend is not None:
            friends.write(run, paths, as_path(friend), made)
        write(run, scales, output, made, sorted(columns))
    if not any(dataset["ledger"]["skipped"] for dataset in details["datasets"].values()):
        directory.remove()
    return made


def write(run: Run, scales: Mapping[str, float], output: Path, made: dict[str, Any], columns: Sequence[str]) -> None:
    """Write the rows of a finished run, and how they were made, with the factor of each dataset's weights.

    columns: those that any of the rows have.
    """
    for name, scale in scales.items():
        made["datasets"][name]["scale"] = scale
    with writing(output) as table:
        for part in run.stored:
            rows = run.directory.store.read(part.address).out["rows"]
            table.write(of_dataset(rows, part.dataset, list(scales), scales[part.dataset], columns))
        table.close(made)
