"""The embedded sample's production: which simulated events are in it, and how they are made again.

EVENT_FILES and TABLES have the names. ``python -m ptmiss.data.production [NAME…]`` needs the extras ``simulation`` and
``train`` and, for all of them, half an hour on two cores. Nearly all of it is simulation: ``--keep DIRECTORY`` keeps
the events of the tables, so that the next time, with other estimators say, they are only skimmed. README.md beside this
file is the sample's card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import awkward as ak
import click
import numpy as np
import pyarrow as pa

from ptmiss import significance, table
from ptmiss.errors import UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.estimators.noise import fit_noise
from ptmiss.estimators.shifts import CandidateSum
from ptmiss.events import inspect
from ptmiss.files.provenance import provenance
from ptmiss.progress import progress_bar, progress_callback
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim
from ptmiss.sample import DIRECTORY
from ptmiss.selections import boson_cuts, boson_objects, good_jets, load_selection
from ptmiss.significance import SHIPPED
from ptmiss.simulation.schema import round_mantissa
from ptmiss.table import columns

ESTIMATORS = ("pf", "puppi", "track", "deepmet", "deepmet_response", "deepmet_local", "linear")
OF_ELEMENTS = (
    *("pf", "puppi", "deepmet", "deepmet_local"),
    *("mlpf", "mlpf_puppi", "deepmet_mlpf", "deepmet_particles_mlpf", "deepmet_particles_response_mlpf"),
    *("deepmet_latent_mlpf", "deepmet_latent_response_mlpf"),
)
EVENTS, WITH_ELEMENTS, FEW_EVENTS, FEWEST_EVENTS = 60, 15, 40, 20
PHOTON_PT = 25.0  # GeV, so that a photon has the range of a Z
MANTISSA = 12  # bits kept of a table's float32 columns: 0.01 %
CHUNK = 5000


@dataclass(frozen=True)
class Sample:
    """Simulated events: the options of ``ptmiss simulate``.

    selected: of a table, what its events have, a ``boson`` or a ``lepton``. estimators: of a table; those of MLPF need
    elements. elements: of an event file, the number of its first events with PF elements. selection: of a table, a
    preset; that of a photon has it above PHOTON_PT.
    """

    process: str
    profile: str
    seed: int
    events: int
    selected: str = "boson"
    estimators: tuple[str, ...] = ESTIMATORS
    elements: int = 0
    shower_weights: bool = False
    selection: str = "default"


EVENT_FILES = {
    "zmumu": Sample("zmumu", "mc", 101, EVENTS, elements=WITH_ELEMENTS),
    "data": Sample("zmumu", "data", 202, EVENTS, elements=WITH_ELEMENTS),
    "ttbar": Sample("ttbar_dilepton", "mc", 404, EVENTS, elements=WITH_ELEMENTS),
    "wmunu": Sample("wmunu", "mc", 505, EVENTS, elements=WITH_ELEMENTS),
    "zee": Sample("zee_fiducial", "mc", 707, FEW_EVENTS, shower_weights=True),
    "gammajet": Sample("gammajet_fiducial", "mc", 808, FEW_EVENTS, shower_weights=True),
    "ztautau": Sample("ztautau_dimuon", "mc", 909, FEWEST_EVENTS),
}
TABLES = {
    "zmumu": Sample("zmumu_fiducial", "mc", 111, 30_000),
    "data": Sample("zmumu_fiducial", "data", 212, 30_000),
    "ttbar": Sample("ttbar_dimuon", "mc", 414, 2_000),
    "wmunu": Sample("wmunu_fiducial", "mc", 515, 8_000, "lepton"),
    "zee": Sample("zee_fiducial", "mc", 717, 8_000, shower_weights=True, selection="z-ee"),
    "gammajet": Sample("gammajet_fiducial", "mc", 818, 9_000, shower_weights=True, selection="gamma-jet"),
    "zmumu_mlpf": Sample("zmumu_fiducial", "mc", 616, 5_000, estimators=OF_ELEMENTS, elements=5_000),
}
DATA_TTBAR = Sample("ttbar_dimuon", "data", 313, 355)
"""The top pairs of the pseudo-data: as many as the cross sections give for 30 000 events of Z → μμ."""

NOISE = Sample("zmumu_fiducial", "mc", 5201, 3_000)
"""The first half of its Z → μμ gives the numbers of the significance; docs/significance.py shows the other half."""

NAMES = tuple(dict.fromkeys((*EVENT_FILES, *TABLES, SHIPPED.stem)))


def make(
    names: Sequence[str] = NAMES,
    directory: Path = DIRECTORY,
    workers: int = 2,
    scale: float = 1.0,
    keep: Path | None = None,
    only: str | None = None,
) -> None:
    """Simulate samples of these names and write their event files and recoil tables.

    ``scale`` makes the tables smaller, for a trial. keep: a directory for the events of the tables; those that are
    there are not simulated again, whatever simulated them. only: ``events`` or ``tables``, both if it is None.
    """
    for name in names:
        if name not in NAMES:
            raise UnknownName("embedded sample", name, NAMES)
    for path in filter(None, (directory, keep)):
        path.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() if keep is None else nullcontext(keep) as scratch, progress_bar() as bar:
        produce = partial(_simulate, workers=workers, progress=progress_callback(bar))
        for name in names:
            if name in EVENT_FILES and only != "tables":
                produce(EVENT_FILES[name], directory / f"{name}.root")
            if name in TABLES and only != "events":
                parts = [_table(of, Path(scratch), scale, produce, keep is not None) for of in _parts(name)]
                made = provenance(sample=asdict(TABLES[name]), mantissa=MANTISSA)
                write(concatenate(*parts) if len(parts) > 1 else parts[0], directory / f"{name}.parquet", made)
            if name == SHIPPED.stem:
                produce(NOISE, Path(scratch) / "noise.root")
                write_noise(Path(scratch) / "noise.root", directory / SHIPPED.name)


def _parts(name: str) -> list[Sample]:
    """What a table's events are simulated as."""
    return [TABLES[name], DATA_TTBAR] if name == "data" else [TABLES[name]]


def _table(
    sample: Sample, scratch: Path, scale: float, produce: Callable[..., None], keep: bool = False
) -> table.RecoilTable:
    """The recoil table of events that are simulated, unless they are there, and kept or not."""
    events = max(int(scale * sample.events), MANTISSA)
    path = scratch / f"{sample.process}-{sample.profile}-{sample.seed}-{events}.root"
    if not path.is_file():
        produce(replace(sample, events=events), path)
    found = of_file(path, sample)
    if not keep:
        path.unlink()
    return found


def _simulate(sample: Sample, path: Path, **options: Any) -> None:
    from ptmiss.simulation import simulate

    chosen = {name: getattr(sample, name) for name in ("seed", "profile", "elements", "shower_weights")}
    simulate(sample.process, sample.events, output_path=path, **chosen, **options)


def of_file(path: Path, sample: Sample) -> table.RecoilTable:
    """The recoil table of an event file's events with a selected boson (a lepton pair, a photon) or lepton."""
    output, chosen = path.with_suffix(".parquet"), load_selection(sample.selection)
    if chosen.photon:
        chosen = chosen.model_copy(update={"photon": chosen.photon.model_copy(update={"pt": PHOTON_PT})})
    files = fileset.parse({path.stem: [str(path)]})
    skim(files, make_estimators(sample.estimators), output, selection=chosen, chunksize=CHUNK)
    found = table.read(output)
    found = replace(found, data=found.data.drop_columns([columns.DATASET]))
    return found.select(np.isfinite(found[f"{sample.selected}_pt"]))


def concatenate(first: table.RecoilTable, second: table.RecoilTable) -> table.RecoilTable:
    """The rows of two tables in random order, without truth, as in data: the runs of the second after the first's."""
    truth = [name for name in first.data.column_names if name in columns.TRUTH_COLUMNS]
    after = first["run"].max() - second["run"].min() + 1
    runs = pa.array(second["run"] + after.astype(np.uint32))
    later = second.data.set_column(second.data.column_names.index("run"), "run", runs)
    rows = pa.concat_tables([first.data.drop_columns(truth), later.drop_columns(truth)])
    order = np.random.default_rng(0).permutation(rows.num_rows)
    return table.RecoilTable(rows.take(pa.array(order)), first.provenance)


def write(part: table.RecoilTable, path: Path, made: Mapping[str, Any]) -> None:
    """Write a table with its floats rounded, so that it compresses."""
    values = {name: part[name] for name in part.data.column_names}
    rounded = {name: round_mantissa(v, MANTISSA) if v.dtype == np.float32 else v for name, v in values.items()}
    with table.writing(path) as writer:
        writer.write(pa.table(rounded))
        writer.close(made)


def write_noise(events_path: Path, path: Path) -> None:
    """Write the numbers of the covariance of every estimator of the tables, from an event file of Z → μμ."""
    events, leptons = halves(events_path)[0]
    noise = fit_noise([e for e in make_estimators(ESTIMATORS) if isinstance(e, CandidateSum)], events, leptons)
    significance.write(path, noise, sample=asdict(NOISE), events=len(events))


def halves(events_path: Path) -> list[tuple[Any, ak.Array]]:
    """The first and the second half of the Z → μμ events of a file, and their muons."""
    source, chosen = inspect(str(events_path)).events(), load_selection("default")
    muons = boson_objects(source, chosen)
    keep = boson_cuts(source, muons, good_jets(source.Jet, muons, chosen), chosen).all()
    source, muons = source[keep], muons[keep]
    middle = len(source) // 2
    return [(source[:middle], muons[:middle]), (source[middle:], muons[middle:])]


@click.command()
@click.argument("names", nargs=-1, metavar=f"[{'|'.join(NAMES)}]...")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the tables' events here, and take those that are.")
@click.option("--only", type=click.Choice(["events", "tables"]), help="Event files alone, or recoil tables alone.")
def main(names: tuple[str, ...], workers: int, keep: Path | None, only: str | None) -> None:
    """Make the embedded sample again, or some of it."""
    make(names or NAMES, workers=workers, keep=keep, only=only)


if __name__ == "__main__":
    main()
