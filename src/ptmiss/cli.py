"""The command line: every verb reads its options here and calls one function of the library.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptmiss import __version__
from ptmiss.errors import OptionError, PtmissError

if TYPE_CHECKING:
    from ptmiss.estimators import Estimator
    from ptmiss.executors import Pool
    from ptmiss.fileset import Fileset
    from ptmiss.rundirs import Status

    Opener = Callable[[], AbstractContextManager[Pool]]

EXECUTORS = "iterative|futures|dask"
CORRECTIONS = ("none", "plateau", "bin")
FORMATS = ("png", "pdf", "svg")
BOSONS = ("boson", "genboson", "genmet")

PATH = click.Path(path_type=Path)


class Verb(click.Command):
    """A command whose errors are one line and exit status 1, and whose example keeps its lines."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PtmissError as error:
            raise click.ClickException(str(error)) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the example as it was written."""
        if self.epilog:
            formatter.write(f"\nExample:\n{self.epilog}\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ptmiss")
def cli() -> None:
    """Missing transverse momentum and hadronic recoil, from PF candidates to resolutions."""


def names(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    """A list of names separated by commas."""
    return [name.strip() for name in value.split(",") if name.strip()]


def pairs(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Options of the form NAME=VALUE."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"expected NAME=VALUE, not {value!r}", param=parameter)
    return dict(value.split("=", 1) for value in values)


def with_estimators(verb: Callable[..., None]) -> Callable[..., None]:
    """Options that choose estimators and cuts; the verb gets the estimators ready made."""

    @click.option(
        "--estimators",
        callback=names,
        default="pf,puppi",
        show_default=True,
        metavar="A,B,…",
        help="pf, puppi, track, stored.<Branch>, deepmet, deepmet_response, or a name given to --weights; of MLPF's "
        "candidates mlpf, mlpf_puppi, deepmet_mlpf.",
    )
    @click.option("--weights", callback=pairs, multiple=True, metavar="NAME=FILE", help="Weights file of a network.")
    @click.option(
        "--leptons",
        default="exact",
        show_default=True,
        metavar="exact|as-candidates",
        help="Selected leptons: left out of a network's candidates and put back, or weighted like any candidate.",
    )
    @click.option(
        "--selection",
        default="default",
        show_default=True,
        metavar="NAME",
        help="Cuts on muons and jets: default, or public-code (the measurement's public analysis code).",
    )
    @click.option(
        "--vertex",
        default="default",
        show_default=True,
        metavar="default|lepton",
        help="Candidates as the file's vertex sees them, or in single-muon events the vertex closest to the muon.",
    )
    @wraps(verb)
    def wrapped(estimators: list[str], weights: dict[str, str], leptons: str, **options: Any) -> None:
        from ptmiss.estimators import build

        verb(estimators=build(estimators, weights, leptons), **options)

    return wrapped


def with_pool(verb: Callable[..., None]) -> Callable[..., None]:
    """Options that choose where and how to run; the verb gets what opens the pool, and the options of a run."""

    @click.option("--executor", default="iterative", show_default=True, metavar=EXECUTORS, help="Where to run.")
    @click.option(
        "--workers", type=int, default=2, show_default=True, help="Processes of futures or of a local cluster."
    )
    @click.option(
        "--scheduler", metavar="URL|FILE", help="A running dask scheduler, tcp://host:port, or a job queue, queue.toml."
    )
    @click.option("--chunksize", type=int, help="Events at a time, at most. [default: 50000, fewer if they are large]")
    @click.option("--memory", metavar="SIZE", help="Of each worker, such as 2GB: the chunk size is chosen to fit.")
    @click.option("--resume", is_flag=True, help="Go on with what an earlier run left; redo only what is missing.")
    @click.option("--skip-bad-files", "skip", is_flag=True, help="Leave out what cannot be read, and say so.")
    @click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="After a failure to read.")
    @click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds for each chunk.")
    @wraps(verb)
    def wrapped(
        executor: str,
        workers: int,
        scheduler: str | None,
        chunksize: int | None,
        memory: str | None,
        skip: bool,
        retries: int,
        timeout: float | None,
        **options: Any,
    ) -> None:
        from ptmiss.executors import pool
        from ptmiss.failures import Policy
        from ptmiss.memory import parse

        budget = None if memory is None else parse(memory)
        how = {"chunksize": chunksize, "budget": budget, "policy": Policy(retries, timeout, skip)}
        verb(pool=partial(pool, executor, workers, scheduler, budget), how=how, **options)

    return wrapped


@cli.command(
    "run",
    cls=Verb,
    epilog="""
  ptmiss run zmumu --fileset dy.json --estimators stored.MET,stored.PuppiMET \\
      --executor futures --workers 2 --output out/dy
  ptmiss status out/dy     # from another terminal, or after it was stopped
""",
)
@click.argument("processor")
@click.option("--fileset", "fileset_path", type=PATH, required=True, help="Coffea's fileset JSON.")
@click.option("--output", type=PATH, required=True, help="Directory for the results.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
@click.option("--corrections", type=PATH, help="File of ptmiss calibrate: corrected pTmiss, nominal and varied.")
@click.option(
    "--option", "own", callback=pairs, multiple=True, metavar="NAME=JSON", help="Option of your own processor."
)
@with_estimators
@with_pool
def run(
    processor: str,
    fileset_path: Path,
    output: Path,
    force: bool,
    corrections: Path | None,
    own: Mapping[str, str],
    estimators: list[Estimator],
    selection: str,
    vertex: str,
    pool: Opener,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Run a coffea processor over a fileset: zmumu, wjets, validation, FILE.py or FILE.py:Class."""
    from ptmiss import fileset as filesets
    from ptmiss import results, rundirs, runner
    from ptmiss.estimators import describe
    from ptmiss.provenance import provenance

    rundirs.startable(output, (results.MANIFEST,), resume, force)
    fileset = filesets.read(fileset_path)
    cls = runner.find_processor(processor)
    given = {name: _json(name, value) for name, value in own.items()}
    own_vertex = {} if vertex == "default" else {"vertex": vertex}  # an error where a processor takes none
    options = _processor_options(cls, estimators, selection) | own_vertex | given
    instance = runner.make_processor(cls, options | {"corrections": corrections})
    with pool() as workers, rundirs.opened(output, resume) as directory:
        outputs, details = runner.run(fileset, instance, pool=workers, directory=directory, **how)
        made = provenance(
            processor=processor,
            estimators=[describe(estimator) for estimator in estimators],
            selection=selection,
            vertex=vertex,
            options=given,
            corrections=_described(corrections),
            **details,
        )
        results.save(output, made, outputs)
    for dataset, out in outputs.items():
        _tell_cutflow(dataset, out.get("cutflow"))
        _tell_notes(out.get("notes", {}))
    _tell_work(details)
    click.echo(f"{details['metrics']['entries']} events -> {output}")


@cli.command(
    "status",
    cls=Verb,
    epilog="""
  ptmiss status out/dy
""",
)
@click.argument("directory", type=PATH)
def status(directory: Path) -> None:
    """How far the run in DIRECTORY has come: what is done, missing and failed."""
    from ptmiss import results, rundirs

    found = rundirs.status(directory)
    for name, (events, listed) in found.events.items():
        click.echo(f"{name}: {found.done[name]} of {found.total[name]} chunks, {events} of {listed} events")
    for entry in found.skipped:
        click.echo(entry)
    click.echo(_state(found, (directory / results.MANIFEST).is_file()))


def _state(found: Status, results: bool) -> str:
    """What goes on in a run's directory, in one line."""
    if found.worker:
        return f"running: {found.worker}"
    if found.last.get("event") == "end" and results:
        return "finished" + (
            f", without {len(found.skipped)} parts: --resume tries them again" if found.missing else ""
        )
    reason = f" ({found.last['reason']})" if "reason" in found.last else ""
    return f"stopped{reason}: the same command with --resume goes on"


@cli.command(
    "skim",
    cls=Verb,
    epilog="""
  ptmiss skim nano_*.root --estimators pf,puppi,stored.PuppiMET --output recoil.parquet
""",
)
@click.argument("files", nargs=-1)
@click.option(
    "--fileset", "fileset_path", type=PATH, help="A fileset in place of files: for triggers and certified data."
)
@click.option("--output", type=PATH, required=True, help="The table, a parquet file.")
@with_estimators
@with_pool
def skim(
    files: tuple[str, ...],
    fileset_path: Path | None,
    output: Path,
    estimators: list[Estimator],
    selection: str,
    vertex: str,
    pool: Opener,
    how: Mapping[str, Any],
    resume: bool,
) -> None:
    """Write the recoil table of event FILES (ROOT or parquet; paths, globs, URLs): one row an event."""
    from ptmiss.skim import skim as write

    fileset = _fileset(files, fileset_path)
    with pool() as workers:
        made = write(
            fileset, estimators, output, selection=selection, vertex=vertex, pool=workers, resume=resume, **how
        )
    _tell_notes(made["notes"])
    _tell_ledger(made["datasets"])
    click.echo(f"{made['metrics']['entries']} events -> {output}")


def _fileset(files: tuple[str, ...], path: Path | None) -> Fileset:
    from ptmiss import fileset as filesets

    if bool(files) == bool(path):
        raise OptionError("expected event files, or --fileset, and not both")
    return filesets.read(path) if path else filesets.parse({"events": list(files)})


@cli.command(
    "resolution",
    cls=Verb,
    epilog="""
  ptmiss resolution recoil.parquet --correction bin --output out/resolution
""",
)
@click.argument("source", type=PATH)
@click.option("--output", type=PATH, required=True, help="Directory for table and figures.")
@click.option(
    "--correction",
    type=click.Choice(CORRECTIONS),
    default="plateau",
    show_default=True,
    help="Response that u is divided by: 1, that of qT > 150 GeV, or that of each qT bin.",
)
@click.option(
    "--boson",
    type=click.Choice(BOSONS),
    default="boson",
    show_default=True,
    help="Of a table: the muon pair, the generated boson, or generated pTmiss as the truth.",
)
@click.option("--dataset", help="Of a run with several datasets: the one to measure.")
@click.option(
    "--subtract", callback=pairs, multiple=True, metavar="NAME=FACTOR", help="Of a run: a background to subtract."
)
@click.option("--rescale", is_flag=True, help="Of a run: take what it read for the whole, if it skipped something.")
@click.option("--window", type=float, help="Also the RMS inside ±WINDOW GeV, for comparison with code that truncates.")
@click.option("--format", "formats", type=click.Choice(FORMATS), multiple=True, default=("png",), show_default=True)
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def resolution(
    source: Path,
    output: Path,
    correction: str,
    boson: str,
    dataset: str | None,
    subtract: dict[str, str],
    rescale: bool,
    window: float | None,
    formats: tuple[str, ...],
    label: str,
    force: bool,
) -> None:
    """Response and resolution of a recoil table or of a run: a table with errors, and figures."""
    from ptmiss import report, results

    results.writable(output, force)
    factors = {name: _number(name, value) for name, value in subtract.items()}
    histograms = report.histograms_of(source, boson=boson, dataset=dataset, subtract=factors, rescale=rescale)
    figures = report.resolution(histograms, output, source, correction, window=window, formats=formats, label=label)
    for figure in figures:
        click.echo(figure)


@cli.command(
    "compare",
    cls=Verb,
    epilog="""
  ptmiss compare recoil.parquet --against pf,puppi --by npv --output out/comparison.csv
  ptmiss compare wmunu.parquet --against pf,puppi --mt
""",
)
@click.argument("source", metavar="TABLE", type=PATH)
@click.option("--against", callback=names, default="pf,puppi", show_default=True, help="Estimators to compare with.")
@click.option("--by", callback=names, default="", metavar="qt,npv,njets", help="Also in bins of these axes.")
@click.option("--above", type=float, default=20.0, show_default=True, help="Events with qT above, GeV.")
@click.option("--below", type=float, default=float("inf"), show_default=True, help="Events with qT below, GeV.")
@click.option(
    "--boson",
    type=click.Choice(BOSONS),
    default="boson",
    show_default=True,
    help="What the recoil is measured against.",
)
@click.option("--unweighted", is_flag=True, help="Count every event once: a sample biased to large qT stays so.")
@click.option("--mt", is_flag=True, help="W decays: RMS of mT about the generated one, and width of its falling edge.")
@click.option("--output", type=PATH, help="Write all numbers as CSV.")
@click.option("--figure", type=PATH, help="Draw the bins of qt and npv: a .png, .pdf or .svg file.")
@click.option("--label", default="", help="Text above the figure.")
def compare(
    source: Path,
    against: list[str],
    by: list[str],
    above: float,
    below: float,
    boson: str,
    unweighted: bool,
    mt: bool,
    output: Path | None,
    figure: Path | None,
    label: str,
) -> None:
    """Compare estimators on the events of a recoil TABLE: response-corrected widths, with paired bootstrap errors."""
    from ptmiss import comparison, jacobian, table
    from ptmiss.files import write_atomically

    if mt:
        found = jacobian.of_table(table.read(source), against, weighted=not unweighted)
        if output is not None:
            write_atomically(output, found.to_csv(index=False, float_format="%.6g"))
        jacobian.show(found, against)
        return
    found = comparison.of_table(
        table.read(source),
        against,
        boson=boson,
        above=above,
        below=below,
        edges=comparison.edges(by),
        weighted=not unweighted,
    )
    if output is not None:
        write_atomically(output, found.to_csv(index=False, float_format="%.6g"))
    if figure is not None:
        comparison.draw(found, figure, label)
    comparison.show(found, against)


@cli.group("evaluate")
def evaluate() -> None:
    """Evaluate reconstructions against the truth of simulated events."""


@evaluate.command(
    "mlpf",
    cls=Verb,
    epilog="""
  ptmiss evaluate mlpf test_ttbar.root test_qcd.root --weights out/mlpf --output out/evaluation
""",
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--weights", metavar="FILE", help="Weights file or folder of MLPF; none leaves it out. [default: shipped]"
)
@click.option("--output", type=PATH, required=True, help="Directory for tables and figures.")
@click.option("--max-events", type=click.IntRange(1), help="Of each file.")
@click.option(
    "--min-pt", type=click.FloatRange(0), default=0.1, show_default=True, help="Least pT of a candidate, GeV."
)
@click.option("--window", type=float, default=0.2, show_default=True, help="In which a generated jet looks for one.")
@click.option("--replicas", type=click.IntRange(2), default=100, show_default=True, help="Of the bootstrap.")
@click.option(
    "--format", "formats", type=click.Choice(FORMATS), multiple=True, default=("png", "pdf"), show_default=True
)
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def evaluate_mlpf(files: tuple[str, ...], output: Path, force: bool, **options: Any) -> None:
    """MLPF beside PF, elements as they are and ideal targets, on simulated event FILES with elements and targets."""
    from ptmiss import evaluation, results
    from ptmiss.events import expand
    from ptmiss.executors import progress_bar, shown_by

    results.writable(output, force)
    with progress_bar("events") as bar:
        tables = evaluation.evaluate(expand(files), output, progress=shown_by(bar), **options)
    evaluation.show(tables)
    click.echo(output)


@cli.group()
def train() -> None:
    """Train networks (needs the extra train)."""


def sources(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int | None]:
    """Event files, each with =N for its first N events; a file's own name may have a =."""
    found: dict[str, int | None] = {}
    for value in values:
        path, mark, n = value.rpartition("=")
        if not mark or Path(value).exists() or not (n.isdigit() or Path(path).exists()):
            found[value] = None
        elif n.isdigit() and int(n):
            found[path] = int(n)
        else:
            raise click.ClickException(f"expected FILE or FILE=N with N events, not {value!r}")
    return found


def processes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Files by process, from PROCESS=FILE."""
    for value in values:
        if not all(value.partition("=")):
            raise click.ClickException(f"expected PROCESS=FILE, not {value!r}")
    return {process: path for process, _, path in (value.partition("=") for value in values)}


@train.command(
    "deepmet",
    cls=Verb,
    epilog="""
  ptmiss simulate zmumu -n 20000 --seed 1 --workers 2 --output zmumu.root
  ptmiss simulate ttbar_dilepton -n 10000 --seed 2 --workers 2 --output ttbar.root
  ptmiss train deepmet zmumu.root ttbar.root --epochs 12 --output out/deepmet

Without files it trains on the few embedded events: in a minute, to see how it goes.
""",
)
@click.argument("events", nargs=-1, callback=sources, metavar="[FILE[=N]]...")
@click.option("--validation", multiple=True, callback=sources, metavar="FILE[=N]", help="Else a tenth of the events.")
@click.option("--output", type=PATH, required=True, help="Directory of weights, card, log and checkpoint.")
@click.option("--name", help="What the model calls itself.  [default: deepmet, or linear]")
@click.option("--network", default="cmssw-v1", show_default=True, metavar="cmssw-v1|jme-24-001|…|linear")
@click.option("--epochs", type=int, default=12, show_default=True)
@click.option("--batch", type=int, default=16, show_default=True, help="Events in a batch.")
@click.option("--rate", type=float, default=1.5e-3, show_default=True, help="Highest learning rate.")
@click.option("--schedule", default="cosine", show_default=True, metavar="cosine|cyclic|constant")
@click.option("--patience", type=int, help="Stop after so many epochs without a better validation loss.")
@click.option("--loss", default="squared", show_default=True, metavar="squared|huber|weighted")
@click.option("--balance", type=float, default=0.0, show_default=True, help="Weight C of the response term.")
@click.option("--form", default="unbiased", show_default=True, metavar="unbiased|published", help="Of that term.")
@click.option("--puppi/--no-puppi", default=True, show_default=True, help="PUPPI weights as a feature.")
@click.option("--biases/--no-biases", default=True, show_default=True, help="Bias terms beside the weights.")
@click.option("--remove-leptons/--keep-leptons", default=True, show_default=True, help="Leading leptons, at random.")
@click.option("--start-from", type=str, metavar="MODEL", help="Weights to begin from, in place of PUPPI's.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@click.option("--force", is_flag=True, help="Begin again where a training is; else it goes on from its checkpoint.")
def train_deepmet(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train DeepMET, or the linear baseline, on simulated events with all candidates and truth."""
    from ptmiss.executors import progress_bar, shown_by

    training = _training("ptmiss.models.deepmet.command")
    with progress_bar("batches") as bar:
        log = training.train_files(events, validation, output, name, recipe, force=force, progress=shown_by(bar))
    click.echo(log)


@train.command(
    "mlpf",
    cls=Verb,
    epilog="""
  ptmiss simulate ttbar -n 4000 --seed 1 --pileup 5 --elements -1 --workers 2 --output ttbar.root
  ptmiss simulate qcd -n 500 --seed 2 --pileup 5 --elements -1 --workers 2 --output valid.root
  ptmiss train mlpf ttbar.root --validation valid.root --epochs 10 --output out/mlpf
  ptmiss train mlpf busy.root --validation busy_valid.root --init out/mlpf --rate 5e-4 --output out/mlpf35

Without files it trains on the few embedded events: to see how it goes.
""",
)
@click.argument("events", nargs=-1, callback=sources, metavar="[FILE[=N]]...")
@click.option("--validation", multiple=True, callback=sources, metavar="FILE[=N]", help="Else a tenth of the events.")
@click.option("--output", type=PATH, required=True, help="Directory of weights, card, log and checkpoint.")
@click.option("--name", default="mlpf", show_default=True, help="What the model calls itself.")
@click.option(
    "--preset", default="compact", show_default=True, metavar="compact|exact|lsh|gnn-lsh-2021|cms-v220", help="Network."
)
@click.option("--inputs", metavar="compact|cms|clic", help="Features.  [default: the preset's, as below]")
@click.option("--width", type=int, help="Of what an element carries through the layers.")
@click.option("--layers", type=int, help="How many.")
@click.option("--heads", type=int, help="Of the attention.")
@click.option("--hidden", type=int, help="Width inside of the feed-forward parts.")
@click.option("--window", type=int, help="Elements that see each other, or of a bin.")
@click.option("--attention", metavar="window|exact", help="Exact: all elements of an event see each other.")
@click.option("--epochs", type=int, default=10, show_default=True)
@click.option("--budget", type=int, default=6000, show_default=True, help="Elements in a batch.")
@click.option("--parts", type=int, default=1, show_default=True, help="Epochs that together see every event once.")
@click.option("--rate", type=float, default=2e-3, show_default=True, help="Highest learning rate.")
@click.option("--decay", type=float, default=0.01, show_default=True, help="Of the weights (AdamW).")
@click.option("--warm-up", type=float, default=0.03, show_default=True, help="Share of steps in which the rate rises.")
@click.option("--average", type=float, default=0.998, show_default=True, help="Of the weights over steps; 0 for none.")
@click.option("--patience", type=int, help="Stop after so many epochs without a better validation loss.")
@click.option("--loss", default="ours", show_default=True, metavar="ours|focal|2021|v2.2.0")
@click.option("--without", callback=names, default="", metavar="A,B,…", help="Terms: classes pt energy expected local.")
@click.option("--angles", type=float, default=0.0, show_default=True, help="Weight of the directions' term.")
@click.option("--init", type=str, metavar="MODEL", help="Weights to go on from.")
@click.option("--limit-events", "limit", type=click.IntRange(1), help="Of each file.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
@click.option("--precision", default="float32", show_default=True, metavar="float32|bfloat16")
@click.option("--force", is_flag=True, help="Begin again where a training is; else it goes on from its checkpoint.")
def train_mlpf(
    events: dict[str, int | None],
    validation: dict[str, int | None],
    output: Path,
    name: str,
    limit: int | None,
    force: bool,
    **recipe: Any,
) -> None:
    """Train MLPF on simulated events with particle-flow elements and their truth."""
    from ptmiss.executors import progress_bar, shown_by

    training = _training("ptmiss.models.mlpf.command")
    with progress_bar("batches") as bar:
        log = training.train_files(
            events, validation, output, name, recipe, limit=limit, force=force, progress=shown_by(bar)
        )
    click.echo(log)


@train.command(
    "study",
    cls=Verb,
    epilog="""
  ptmiss train study balance --training zmumu=zmumu.root --training zmumu_boosted=boosted.root \\
    --training ttbar_dilepton=ttbar.root --test other.root --output out/studies
  ptmiss train study all … --events 4000 --epochs 4 --output out/studies

Each study trains the base, the base with two other seeds, and its variants, 36 trainings for all. A training that is in
the output already, of the same configuration and events, is not repeated.
""",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--training", multiple=True, callback=processes, metavar="PROCESS=FILE", help="Events of each process.")
@click.option("--test", "tests", multiple=True, required=True, metavar="FILE", help="Events to compare on, each once.")
@click.option("--output", type=PATH, required=True, help="Directory of tables, figures and trainings.")
@click.option("--events", type=click.IntRange(10), default=4000, show_default=True, help="That the base is trained on.")
@click.option("--epochs", type=int, default=4, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda")
def train_study(
    names: tuple[str, ...],
    training: dict[str, str],
    tests: tuple[str, ...],
    output: Path,
    events: int,
    **recipe: Any,
) -> None:
    """What a choice of the training is worth: NAME is seeds, balance, ttbar, size, network, puppi, leptons, biases,
    better, continued, or all."""
    from ptmiss.executors import progress_bar, shown_by

    studies, command = (_training(f"ptmiss.models.deepmet.{module}") for module in ("studies", "command"))
    wanted = list(studies.STUDIES) if "all" in names else list(names)
    with progress_bar("batches") as bar:
        found = dict(studies.study(wanted, training, tests, output, events, command.checked(recipe), shown_by(bar)))
    for name, table in found.items():
        studies.gains.show(name, table)
    click.echo(f"tables and figures -> {output}")


def _training(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise OptionError("training needs torch, the extra train: pip install 'ptmiss[train]'") from error


@cli.command(
    "calibrate",
    cls=Verb,
    epilog="""
  ptmiss calibrate --data data.parquet --mc dy.parquet --background ttbar.parquet=0.1775 \\
      --estimators pf,puppi --output out/calibration
""",
)
@click.option("--data", required=True, metavar="SOURCE", help="Recoil table, or DIRECTORY[:DATASET] of a run.")
@click.option("--mc", required=True, metavar="SOURCE", help="The same of the simulated signal.")
@click.option(
    "--background",
    "backgrounds",
    multiple=True,
    metavar="SOURCE[=FACTOR]",
    help="Simulated background and what its weights are multiplied by. [default: from metadata]",
)
@click.option(
    "--estimators", callback=names, default="pf,puppi", show_default=True, metavar="A,B,…", help="What to calibrate."
)
@click.option("--output", type=PATH, required=True, help="Directory for corrections, tables and figures.")
@click.option("--minimum", type=float, default=300, show_default=True, help="Effective events of a bin of the fits.")
@click.option(
    "--pileup/--no-pileup", default=True, show_default=True, help="Weigh simulated tables to the data's vertices."
)
@click.option("--closure", is_flag=True, help="Also derive on half of the events and test on the other half.")
@click.option("--era", default="all", show_default=True, help="Key of the files in CMS's layout.")
@click.option("--order", default="any", show_default=True, help="Key of the files in CMS's layout.")
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def calibrate(
    data: str,
    mc: str,
    backgrounds: tuple[str, ...],
    estimators: list[str],
    output: Path,
    minimum: float,
    pileup: bool,
    closure: bool,
    era: str,
    order: str,
    label: str,
    force: bool,
) -> None:
    """Calibrate the recoil of simulation to data: corrections for correctionlib, with uncertainties."""
    from importlib import import_module

    from ptmiss import results

    results.writable(output, force)
    derive = import_module("ptmiss.calibration.report").calibrate
    path = derive(
        data,
        mc,
        backgrounds,
        estimators,
        output,
        minimum=minimum,
        pileup=pileup,
        test=closure,
        era=era,
        order=order,
        label=label,
    )
    click.echo(path)


@cli.group()
def models() -> None:
    """Weights files of networks."""


@models.command(
    "list",
    cls=Verb,
    epilog="""
  ptmiss models list
""",
)
def list_models() -> None:
    """The models that come with the package."""
    from ptmiss.model import load_model, shipped
    from ptmiss.weights import fingerprint

    for name in shipped():
        model = load_model(name)
        click.echo(
            f"{name:20} {model.architecture:10} {model.parameters:6d} parameters  {fingerprint(model.tensors)[:12]}"
        )


@models.command(
    "export-onnx",
    cls=Verb,
    epilog="""
  ptmiss models export-onnx deepmet --output deepmet.onnx
""",
)
@click.argument("model")
@click.option("--output", type=PATH, required=True, help="The ONNX file.")
def export_onnx(model: str, output: Path) -> None:
    """A MODEL (a name, a weights file or its folder) as an ONNX graph of one event (needs the extra onnx)."""
    from importlib import import_module

    from ptmiss.model import load_model

    import_module("ptmiss.models.export").write_onnx(load_model(model), output)
    click.echo(f"{output}: features (n, 8), categories (n, 3) -> met (2,)")


@models.command(
    "card",
    cls=Verb,
    epilog="""
  ptmiss models card out/deepmet --results 'Z → μμ=zmumu.csv' --results 'W → μν=wmunu.csv'
""",
)
@click.argument("directory", type=PATH)
@click.option("--results", callback=pairs, multiple=True, metavar="TITLE=CSV", help="What ptmiss compare wrote.")
def card(directory: Path, results: dict[str, str]) -> None:
    """Put test results into the card of the model in a DIRECTORY."""
    from importlib import import_module

    from ptmiss import comparison

    tables = {title: comparison.read(Path(path)) for title, path in results.items()}
    import_module("ptmiss.models.cards").add_results(directory, tables)
    click.echo(directory / "README.md")


@models.command(
    "import-deepmet",
    cls=Verb,
    epilog="""
  ptmiss models import-deepmet deepmet_resolution.pb --output deepmet.safetensors
""",
)
@click.argument("graph", type=PATH)
@click.option("--output", type=PATH, required=True, help="The weights file.")
@click.option("--padding", type=int, default=4500, show_default=True, help="Slots that CMSSW pads an event to.")
def import_deepmet(graph: Path, output: Path, padding: int) -> None:
    """Weights from a released CMSSW graph (TensorFlow GraphDef), without TensorFlow."""
    from importlib import import_module

    from ptmiss.model import save_model

    model = import_module("ptmiss.models.graphdef").read_deepmet(graph, padding)
    digest = save_model(model, output, provenance=f"imported from {graph.name}")
    click.echo(f"{model.parameters} parameters, SHA-256 {digest[:12]} -> {output}")


@models.command(
    "show",
    cls=Verb,
    epilog="""
  ptmiss models show deepmet.safetensors
""",
)
@click.argument("model")
def show(model: str) -> None:
    """What a MODEL holds: a name, a weights file or its folder."""
    from ptmiss.model import load_model, weights_file
    from ptmiss.weights import read_tensors

    _, metadata = read_tensors(weights_file(model))
    click.echo(f"parameters: {load_model(model).parameters}")
    for key, value in sorted(metadata.items()):
        click.echo(f"{key}: {value}")


@cli.command(
    "simulate",
    cls=Verb,
    epilog="""
  ptmiss simulate zmumu -n 1000 --seed 1 --workers 2 --output zmumu.root
""",
)
@click.argument("process", required=False)
@click.option("-n", "--events", "n", type=int, default=1000, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same file.")
@click.option("--profile", default="mc", show_default=True, metavar="mc|data", help="Detector and beam.")
@click.option("--pileup", type=float, help="Mean number of pile-up collisions. [default: the profile's]")
@click.option(
    "--set", "overrides", callback=pairs, multiple=True, metavar="NAME=VALUE", help="A detector or beam parameter."
)
@click.option("--elements", type=int, default=0, show_default=True, help="First events with PF elements; -1 for all.")
@click.option("--format", "file_format", type=click.Choice(("ttree", "rntuple")), default="ttree", show_default=True)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes.")
@click.option("--output", type=PATH, help="The event file.")
@click.option("--list", "listed", is_flag=True, help="Print the processes, then the branches of a file.")
@click.option(
    "--validate", is_flag=True, help="Simulate samples of several processes and write tables and figures of them."
)
@click.option("--reference", type=PATH, help="Of --validate: a real PFNano file to compare with.")
def simulate(
    process: str | None,
    n: int,
    seed: int,
    profile: str,
    pileup: float | None,
    overrides: dict[str, str],
    elements: int,
    file_format: str,
    workers: int,
    output: Path | None,
    listed: bool,
    validate: bool,
    reference: Path | None,
) -> None:
    """Simulate events of a PROCESS in a CMS-like detector, with pile-up and truth (needs the extra simulation).

    An interrupted job goes on where it stopped when it is started again.
    """
    from ptmiss import simulation
    from ptmiss.executors import progress_bar, shown_by

    if listed:
        for name, what in simulation.PROCESSES.items():
            click.echo(f"{name:20} {what.title}")
        click.echo(f"\n{simulation.describe()}")
        return
    if output is None or (process is None) != validate:
        raise OptionError("expected a process and --output, or --validate and --output (--list prints the processes)")
    values = {name: _number(name, value) for name, value in overrides.items()}
    with progress_bar() as bar:
        told = shown_by(bar)
        if process is None:
            page = simulation.validate(output, n, seed, workers=workers, reference=reference, progress=told)
            click.echo(page)
            return
        made = simulation.simulate(
            process,
            n,
            seed,
            output,
            profile=profile,
            pileup_mean=pileup,
            overrides=values,
            elements=True if elements < 0 else elements,
            workers=workers,
            file_format=file_format,
            progress=told,
        )
    rate = (made.events - made.resumed) / made.seconds
    click.echo(f"{made.events} events ({rate:.1f} a second) -> {made.path}")


@cli.command(
    "demo",
    cls=Verb,
    epilog="""
  ptmiss demo --output out/demo
""",
)
@click.option("--output", type=PATH, default=Path("out/demo"), show_default=True, help="Directory for everything.")
def demo(output: Path) -> None:
    """From PF candidates to resolution figures on a small invented sample."""
    from ptmiss.demo import demo as show_all

    figures = show_all(output)
    click.echo(f"Recoil table: {output / 'recoil.parquet'}")
    click.echo(f"Resolutions:  {figures[0].parent / 'resolution.csv'}")
    click.echo(f"Open:         {figures[0]}")


def _processor_options(cls: type, estimators: Any, selection: str) -> dict[str, Any]:
    """The options of the command line that a processor takes; one of its own may need none of them."""
    import inspect

    taken = inspect.signature(cls).parameters
    return {k: v for k, v in {"estimators": estimators, "selection": selection}.items() if k in taken}


def _described(corrections: Path | None) -> dict[str, str] | None:
    """What a manifest keeps of a correction file."""
    if corrections is None:
        return None
    from ptmiss.corrections import load

    return {"path": str(corrections), "sha256": load(corrections).sha256}


def _json(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise OptionError(f"{name}={value}: expected a number") from error


def _tell_cutflow(dataset: str, cutflow: Mapping[str, Any] | None) -> None:
    if cutflow:
        steps = ", ".join(f"{name} {count}" for name, count in cutflow["events"].items())
        click.echo(f"{dataset}: {steps}")


def _tell_work(details: Mapping[str, Any]) -> None:
    """What a run took, in all and by stage, and what it went without."""
    metrics, chunks, seconds = details["metrics"], details["chunks"], details["seconds"]
    total = sum(seconds.values())
    stages = ", ".join(f"{stage} {time:.1f} s" for stage, time in seconds.items())
    resumed = f", {chunks['resumed']} of them from before" if chunks["resumed"] else ""
    click.echo(
        f"{metrics['chunks']} chunks{resumed}, {metrics['bytesread'] / 1e6:.1f} MB, {total:.1f} s: {stages}; "
        f"{metrics['entries'] / max(total, 1e-9):.3g} events a second"
    )
    if details["changed"]:
        click.echo(f"note: other {', '.join(details['changed'])} than before: nothing of before was used", err=True)
    _tell_ledger(details["datasets"])


def _tell_ledger(datasets: Mapping[str, Any]) -> None:
    """What was skipped, and what was there twice."""
    from ptmiss.ledger import Skipped, told

    for name, dataset in datasets.items():
        for entry in dataset["ledger"]["skipped"]:
            click.echo(f"note: {Skipped(**entry)}", err=True)
        if duplicates := dataset["ledger"]["duplicates"]:
            click.echo(f"note: dataset {name!r}: {told(duplicates)}", err=True)


def _tell_notes(notes: Mapping[str, int]) -> None:
    for what, count in notes.items():
        click.echo(f"note: {what}: {count}", err=True)


def main() -> None:
    """Entry point of ``ptmiss``."""
    cli(prog_name="ptmiss")


def runner() -> None:
    """Entry point of ``runner``: the same as ``ptmiss run``."""
    run(prog_name="runner")
