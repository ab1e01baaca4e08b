"""The embedded sample: CMS-like simulated events and recoil tables that come with the package, and how they are made.

``events(name)`` is a NanoAOD-style file of a few events with all PF candidates, the first of them with PF elements;
``recoil(name)`` is a recoil table of selected events with statistics. Names are those of EVENT_FILES and TABLES, which are
of other events each. ``python -m ptmiss.sample`` makes all of it again (it needs the extras ``simulation`` and ``train``
and half an hour of two cores); the card beside the files says what is in them.
CMS-like simulation, never CMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from ptmiss import table
from ptmiss.errors import UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.progress import progress_bar, shown_by
from ptmiss.provenance import provenance
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim
from ptmiss.simulation.schema import rounded

DIRECTORY = Path(__file__).parent / "data"
ESTIMATORS = ("pf", "puppi", "track", "deepmet", "deepmet_response", "linear")
OF_ELEMENTS = ("pf", "puppi", "deepmet", "mlpf", "mlpf_puppi", "deepmet_mlpf")
EVENTS, WITH_ELEMENTS = 60, 15
MANTISSA = 12  # bits kept of a table's float32 columns: 0.01 %
CHUNK = 5000


@dataclass(frozen=True)
class Sample:
    """Simulated events: what ``ptmiss simulate`` is told, and how many.

    Of a table: what its events have (boson, lepton), and the estimators; those of MLPF need elements.
    """

    process: str
    profile: str
    seed: int
    events: int
    selected: str = "boson"
    estimators: tuple[str, ...] = ESTIMATORS

    @property
    def elements(self) -> bool:
        """Whether the events carry PF elements."""
        return self.estimators == OF_ELEMENTS


EVENT_FILES = {
    "zmumu": Sample("zmumu", "mc", 101, EVENTS),
    "data": Sample("zmumu", "data", 202, EVENTS),
    "ttbar": Sample("ttbar_dilepton", "mc", 404, EVENTS),
    "wmunu": Sample("wmunu", "mc", 505, EVENTS),
}
TABLES = {
    "zmumu": Sample("zmumu_fiducial", "mc", 111, 30_000),
    "data": Sample("zmumu_fiducial", "data", 212, 30_000),
    "ttbar": Sample("ttbar_dimuon", "mc", 414, 2_000),
    "wmunu": Sample("wmunu_fiducial", "mc", 515, 8_000, "lepton"),
    "zmumu_mlpf": Sample("zmumu_fiducial", "mc", 616, 5_000, estimators=OF_ELEMENTS),
}
DATA_TTBAR = Sample("ttbar_dimuon", "data", 313, 355)
"""The top pairs of the pseudo-data: as many as belong to 30 000 of Z → μμ by cross section."""


def events(name: str) -> Path:
    """The event file of an embedded sample."""
    return _path(name, "root")


def recoil(name: str) -> Path:
    """The recoil table of an embedded sample."""
    return _path(name, "parquet")


def _path(name: str, suffix: str) -> Path:
    path = DIRECTORY / f"{name}.{suffix}"
    if not path.is_file():
        raise UnknownName("embedded sample", name, (p.stem for p in DIRECTORY.glob(f"*.{suffix}")))
    return path


def make(directory: Path = DIRECTORY, workers: int = 2, scale: float = 1.0) -> None:
    """Simulate everything and write event files and recoil tables; ``scale`` makes the tables smaller, for a trial."""
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, progress_bar() as bar:
        produce = partial(_simulate, workers=workers, progress=shown_by(bar))
        for name, sample in EVENT_FILES.items():
            produce(replace(sample, events=EVENTS), directory / f"{name}.root", elements=WITH_ELEMENTS)
        parts = {}
        for name, sample in {**TABLES, DATA_TTBAR.process: DATA_TTBAR}.items():
            path = Path(scratch) / f"{name}.root"
            few = replace(sample, events=max(int(scale * sample.events), MANTISSA))
            produce(few, path, elements=sample.elements)
            parts[name] = of_file(path, sample)
            path.unlink()
    parts["data"] = concatenate(parts["data"], parts.pop(DATA_TTBAR.process))
    for name, part in parts.items():
        made = provenance(sample=asdict(TABLES[name]), mantissa=MANTISSA)
        write(part, directory / f"{name}.parquet", made)


def _simulate(sample: Sample, path: Path, **options: Any) -> None:
    from ptmiss.simulation import simulate

    simulate(sample.process, sample.events, seed=sample.seed, profile=sample.profile, output_path=path, **options)


def of_file(path: Path, sample: Sample) -> table.RecoilTable:
    """The recoil table of an event file's events with a selected boson (a muon pair) or lepton (a single muon)."""
    output = path.with_suffix(".parquet")
    skim(fileset.parse({path.stem: [str(path)]}), make_estimators(sample.estimators), output, chunksize=CHUNK)
    found = table.read(output)
    return found.select(np.isfinite(found[f"{sample.selected}_pt"]))


def concatenate(first: table.RecoilTable, second: table.RecoilTable) -> table.RecoilTable:
    """The rows of two tables, in an order that mixes them; both without truth, as data are."""
    truth = [name for name in first.data.column_names if name in table.TRUTH_COLUMNS]
    rows = pa.concat_tables([first.data.drop_columns(truth), second.data.drop_columns(truth)])
    order = np.random.default_rng(0).permutation(rows.num_rows)
    return table.RecoilTable(rows.take(pa.array(order)), first.provenance)


def write(part: table.RecoilTable, path: Path, made: Mapping[str, Any]) -> None:
    """Write a table with its floats rounded, so that it compresses."""
    values = {name: part[name] for name in part.data.column_names}
    columns = {name: rounded(v, MANTISSA) if v.dtype == np.float32 else v for name, v in values.items()}
    with table.writing(path) as writer:
        writer.write(pa.table(columns))
        writer.close(made)


if __name__ == "__main__":
    make()
