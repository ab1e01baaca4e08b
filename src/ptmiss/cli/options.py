"""The group of all verbs, and options that several of them share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click

from ptmiss.cli.completion import Words, estimators, models
from ptmiss.errors import Interrupted, OptionError, PtmissError
from ptmiss.version import __version__

EXECUTORS = "iterative|futures|dask"
FORMATS = ("png", "pdf", "svg")

NOTHING_KEPT = "nothing was written; the same command begins again"

PATH = click.Path(path_type=Path)
RUN_OPTIONS = (
    "executor",
    "workers",
    "scheduler",
    "chunksize",
    "memory",
    "retries",
    "timeout",
    "redirectors",
    "skip_bad_files",
    "limit_files",
    "limit_chunks",
)  # of ptmiss.runs.options.RunOptions


class Stopped(click.ClickException):
    """Ctrl-C: what is kept and how to go on, with the exit status that shells give to it."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it."""
        click.echo(f"Interrupted: {self.format_message()}", err=True)


def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Keep a switch for the verb's surroundings; the verb itself does not see it."""
    context.meta[str(parameter.name)] = value


SWITCH: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": remember}


class Verb(click.Command):
    """A command whose errors are one line with exit status 1, and whose example keeps its line breaks.

    kept: said after Ctrl-C: what is kept, and how to go on. It may name parameters, as in ``{output}``.
    """

    def __init__(self, *args: Any, kept: str = NOTHING_KEPT, **options: Any):
        super().__init__(*args, **options)
        self.params += [
            click.Option(["-v", "--verbose"], help="Tell every step.", **SWITCH),
            click.Option(["-q", "--quiet"], help="No progress and no notes.", **SWITCH),
        ]
        self.kept = kept

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        listen(ctx.meta["verbose"], ctx.meta["quiet"])
        try:
            return super().invoke(ctx)
        except Interrupted as error:
            raise Stopped(str(error)) from error
        except KeyboardInterrupt as error:
            raise Stopped(self.kept.format(**ctx.params)) from error
        except PtmissError as error:
            raise click.ClickException(str(error)) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the example as it was written."""
        if self.epilog:
            formatter.write(f"\nExample:\n{self.epilog}\n")


class Echo(logging.Handler):
    """Prints the log's lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        prefix = "note: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{prefix}{record.getMessage()}", err=True)


def listen(verbose: bool, quiet: bool) -> None:
    """Print notes, with ``verbose`` every step, with ``quiet`` neither."""
    if verbose and quiet:
        raise click.UsageError("expected --verbose or --quiet, and not both")
    log = logging.getLogger("ptmiss")
    log.handlers = [Echo()]
    log.setLevel(logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING)


def note(text: str) -> None:
    """Print a note, unless the user wants none."""
    logging.getLogger("ptmiss").warning(text)


def quiet() -> bool:
    """Whether the user wants neither progress nor notes."""
    return logging.getLogger("ptmiss").level > logging.WARNING


def plural(number: int, what: str) -> str:
    """``1 chunk``, ``2 chunks``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ptmiss")
def cli() -> None:
    """Missing transverse momentum and hadronic recoil, from PF candidates to resolutions."""


def names(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    """Names separated by commas as a list."""
    return [name.strip() for name in value.split(",") if name.strip()]


def whole_numbers(_context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Numbers separated by commas as a list."""
    try:
        return [int(number) for number in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"expected numbers such as 100,1000, not {value!r}", param=parameter) from error


def each(given: str) -> list[str]:
    """``A=x,y`` as ``A=x`` and ``A=y``, and ``x,y`` as ``x`` and ``y``."""
    estimator, sign, rest = given.rpartition("=")
    return [f"{estimator}{sign}{name.strip()}" for name in rest.split(",") if name.strip()]


def pairs(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Options of the form NAME=VALUE as a dictionary."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"expected NAME=VALUE, not {value!r}", param=parameter)
    return dict(value.split("=", 1) for value in values)


def sources(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int | None]:
    """Event files, FILE or FILE=N for the first N events. A file's own name may have a ``=``."""
    found: dict[str, int | None] = {}
    for value in values:
        path, mark, n = value.rpartition("=")
        if not mark or Path(value).exists() or not (n.isdigit() or Path(path).exists()):
            found[value] = None
        elif n.isdigit() and int(n):
            found[path] = int(n)
        else:
            raise click.ClickException(f"expected FILE, or FILE=N with a number N of events, not {value!r}")
    return found


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, listed in this order."""

    def add(verb: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return add


max_events_option = click.option("--max-events", type=click.IntRange(1), help="Most events to read of each file.")


def force_option(what: str = "results that are there") -> Callable[..., Any]:
    """The switch to replace; what: what there is."""
    return click.option("--force", is_flag=True, help=f"Replace {what}.")


def boson_options(replicas: int) -> Callable[..., Any]:
    """Options of events with a boson, whose numbers have errors by the bootstrap."""
    return together(
        click.option(
            "--selection", default="default", metavar="NAME|FILE", help="What makes the boson, see ptmiss selection."
        ),
        max_events_option,
        click.option(
            "--replicas", type=click.IntRange(2), default=replicas, show_default=True, help="Replicas of the bootstrap."
        ),
    )


def figure_options(*formats: str, what: str = "figures") -> Callable[..., Any]:
    """Options of results with figures; formats: the default."""
    return together(
        click.option(
            "--format",
            "formats",
            type=click.Choice(FORMATS),
            multiple=True,
            default=formats or ("png",),
            show_default=True,
        ),
        click.option("--label", default="", help=f"Text above the {what}."),
        force_option(),
    )


training_events = together(
    click.argument("events", nargs=-1, callback=sources, metavar="[FILE[=N]]..."),
    click.option(
        "--validation",
        multiple=True,
        callback=sources,
        metavar="FILE[=N]",
        help="Events to validate on. [default: a tenth of all]",
    ),
    click.option("-o", "--output", type=PATH, required=True, help="Directory of weights, card, log and checkpoint."),
)
training_options = together(
    click.option("--epochs", type=int),
    click.option("--rate", type=float, help="Highest learning rate."),
    click.option("--patience", type=int, help="Epochs without a better validation loss after which to stop."),
    click.option("--average", type=float, help="Share of their average that the parameters keep in a step; 0: none."),
    click.option("--start-from", type=Words("MODEL", models), help="Weights to begin with."),
    click.option(
        "--tune",
        type=click.IntRange(1),
        metavar="N",
        help="Search in N trainings for better settings of those that are not given (extra tune).",
    ),
    click.option("--seed", type=int),
    click.option("--device", type=Words("cpu|cuda")),
    click.option(
        "--force", is_flag=True, help="Begin again; else a training in the output continues from its checkpoint."
    ),
)


def json_or_text(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise OptionError(f"{name}={value}: expected a number") from error


def estimators_option(*flags: str, help: str) -> Callable[..., Any]:
    """An option that names estimators; help: what they are for."""
    return click.option(
        *flags,
        callback=names,
        default="pf,puppi",
        show_default=True,
        type=Words("A,B,…", estimators, several=True),
        help=help,
    )


def with_estimators(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose estimators and cuts; the verb is called with the estimators."""

    @estimators_option(
        "-e",
        "--estimators",
        help="pf, puppi, track, stored.<Branch>, a network of ptmiss models list or of --weights; on candidates of "
        "MLPF: mlpf, mlpf_puppi, deepmet_mlpf.",
    )
    @click.option("--weights", callback=pairs, multiple=True, metavar="NAME=FILE", help="Weights file of a network.")
    @click.option(
        "--leptons",
        default="exact",
        show_default=True,
        type=Words("exact|as-candidates"),
        help="Selected leptons: added exactly, outside of the network, or weighted like any candidate.",
    )
    @click.option(
        "--selection",
        metavar="NAME|FILE",
        help="What makes an event: a name or a TOML or JSON file, see ptmiss selection. [default: the processor's]",
    )
    @click.option(
        "--vertex",
        default="default",
        show_default=True,
        type=Words("default|lepton"),
        help="Vertex of the candidates: the file's, or in single-muon events the one closest to the muon.",
    )
    @click.option(
        "--systematics",
        multiple=True,
        metavar="[ESTIMATOR=]A,B",
        help="Variations of estimators, filled in the same pass: jes, jer, unclustered, …; see docs/howto/type1.md.",
    )
    @click.option("--jerc", default="", metavar="FILE", help="JSON of jets' energy, for type1.PuppiMET, type1.PFMET.")
    @click.option("--smear", default="", metavar="FILE", help="JSON with JERSmear: jets of simulation are smeared.")
    @click.option(
        "--significance",
        metavar="shipped|FILE",
        help="Covariance and significance of pTmiss too; see docs/howto/significance.md.",
    )
    @wraps(verb)
    def call(estimators: list[str], weights: dict[str, str], leptons: str, **options: Any) -> None:
        from ptmiss.estimators import make_estimators

        files = {name: options.pop(name) for name in ("jerc", "smear", "significance")}
        wanted = [name for given in options.pop("systematics") for name in each(given)]
        verb(estimators=make_estimators(estimators, weights, leptons, systematics=wanted, **files), **options)

    return call


def with_pool(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options of ptmiss.runs.options.RunOptions; the verb is called with them as ``how``."""

    @click.option("--executor", default="iterative", show_default=True, type=Words(EXECUTORS), help="Where to run.")
    @click.option(
        "--workers", type=int, default=2, show_default=True, help="Processes, for futures or a local dask cluster."
    )
    @click.option(
        "--scheduler", metavar="URL|FILE", help="A running dask scheduler, tcp://host:port, or a job queue, queue.toml."
    )
    @click.option("--chunksize", type=int, help="Most events of a chunk. [default: 50000, fewer if they are large]")
    @click.option("--memory", metavar="SIZE", help="Memory of each worker, such as 2GB; chunks are chosen to fit.")
    @click.option("--resume", is_flag=True, help="Continue an earlier run: only missing chunks are processed.")
    @click.option("--skip-bad-files", is_flag=True, help="Leave out what cannot be read; the ledger lists it.")
    @click.option(
        "--retries", type=click.IntRange(0), default=2, show_default=True, help="Attempts after a read error."
    )
    @click.option(
        "--redirector", "redirectors", multiple=True, metavar="URL", help="Another server of remote files, to try next."
    )
    @click.option("--limit-files", type=click.IntRange(1), metavar="N", help="A trial: N files of each dataset.")
    @click.option("--limit-chunks", type=click.IntRange(1), metavar="N", help="A trial: N chunks of each dataset.")
    @click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Most seconds for a chunk.")
    @wraps(verb)
    def call(**options: Any) -> None:
        how = {name: options.pop(name) for name in RUN_OPTIONS}
        verb(how=how, **options)

    return call
