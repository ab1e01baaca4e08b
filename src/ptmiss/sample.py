"""The embedded sample: CMS-like simulated events and recoil tables that come with the package, and how they are made.

``events(name)`` is a NanoAOD-style file of a few events with all PF candidates, the first of them with PF elements;
``table(name)`` is a recoil table with statistics. Names are those of SAMPLES. ``python -m ptmiss.sample`` makes all of it
again (it needs the extra ``simulation`` and twenty minutes of two cores); the card beside the files says what is in them.
CMS-like simulation, never CMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ptmiss import fileset, table
from ptmiss.errors import UnknownName
from ptmiss.estimators import build
from ptmiss.executors import progress_bar, shown_by
from ptmiss.provenance import provenance
from ptmiss.skim import skim

DIRECTORY = Path(__file__).parent / "data"
ESTIMATORS = ("pf", "puppi", "track")
EVENTS, WITH_ELEMENTS = 60, 15
MANTISSA = 12  # bits kept of a table's float32 columns: 0.01 %
CHUNK = 5000


@dataclass(frozen=True)
class Sample:
    """One of the embedded samples.

    process, profile, seed: what ``ptmiss simulate`` is told; rows: events in the table; shown: whether a file of events
    is kept too.
    """

    process: str
    profile: str
    seed: int
    rows: int
    shown: bool = True


SAMPLES = {
    "zmumu": Sample("zmumu", "mc", 101, 30_000),
    "data": Sample("zmumu", "data", 202, 30_000),
    "data_ttbar": Sample("ttbar_dilepton", "data", 303, 1_340, shown=False),
    "ttbar": Sample("ttbar_dilepton", "mc", 404, 4_000),
    "wmunu": Sample("wmunu", "mc", 505, 10_000),
}
"""``data_ttbar`` is the top-pair part of the pseudo-data: as many events as belong to 30 000 of Z → μμ by cross section
(it is in the table ``data``)."""


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
    """Simulate everything and write event files and recoil tables; ``scale`` makes it smaller, for a trial."""
    from ptmiss.simulation import simulate

    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, progress_bar() as bar:
        parts: dict[str, table.RecoilTable] = {}
        for name, sample in SAMPLES.items():
            whole, n = Path(scratch) / f"{name}.root", max(int(scale * sample.rows), EVENTS)
            produce = partial(simulate, sample.process, seed=sample.seed, profile=sample.profile, workers=workers)
            produce(n, output_path=whole, progress=shown_by(bar))
            if sample.shown:
                produce(EVENTS, output_path=directory / f"{name}.root", elements=WITH_ELEMENTS)
            skim(fileset.parse({name: [str(whole)]}), build(ESTIMATORS), whole.with_suffix(".parquet"), chunksize=CHUNK)
            parts[name] = table.read(whole.with_suffix(".parquet"))
            whole.unlink()
    parts["data"] = joined(parts["data"], parts.pop("data_ttbar"))
    for name, part in parts.items():
        made = provenance(sample=asdict(SAMPLES[name]), estimators=list(ESTIMATORS), mantissa=MANTISSA)
        write(part, directory / f"{name}.parquet", made)


def joined(first: table.RecoilTable, second: table.RecoilTable) -> table.RecoilTable:
    """The rows of two tables, in an order that mixes them; both without truth, as data are."""
    truth = [name for name in first.data.column_names if name in table.TRUTH_COLUMNS]
    rows = pa.concat_tables([first.data.drop_columns(truth), second.data.drop_columns(truth)])
    order = np.random.default_rng(0).permutation(rows.num_rows)
    return table.RecoilTable(rows.take(pa.array(order)), first.provenance)


def write(part: table.RecoilTable, path: Path, made: Mapping[str, Any]) -> None:
    """Write a table with its floats rounded, so that it compresses."""
    columns = {
        name: rounded(part[name]) if part[name].dtype == np.float32 else part[name] for name in part.data.column_names
    }
    with table.writing(path) as writer:
        writer.write(pa.table(columns))
        writer.close(made)


def rounded(values: NDArray[np.float32], bits: int = MANTISSA) -> NDArray[np.float32]:
    """Float32 values rounded to so many bits of mantissa."""
    dropped = 23 - bits
    raw = np.ascontiguousarray(values).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1) + ((raw >> np.uint32(dropped)) & np.uint32(1))
    out = ((raw + half) >> np.uint32(dropped)) << np.uint32(dropped)
    return np.where(np.isfinite(values), out.view(np.float32), values)


if __name__ == "__main__":
    make()
