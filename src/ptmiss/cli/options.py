"""The group of verbs, and the options that several of them share."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ptmiss.errors import OptionError, PtmissError
from ptmiss.version import __version__

EXECUTORS = "iterative|futures|dask"
FORMATS = ("png", "pdf", "svg")

PATH = click.Path(path_type=Path)
RUN_OPTIONS = (
    "executor",
    "workers",
    "scheduler",
    "chunksize",
    "memory",
    "retries",
    "timeout",
    "skip_bad_files",
)  # of ptmiss.runs.options.RunOptions


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
        from ptmiss.estimators import make_estimators

        verb(estimators=make_estimators(estimators, weights, leptons), **options)

    return wrapped


def with_pool(verb: Callable[..., None]) -> Callable[..., None]:
    """Options that choose where and how to run; the verb gets them as ``how``, for ptmiss.runs.options.RunOptions."""

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
    @click.option("--skip-bad-files", is_flag=True, help="Leave out what cannot be read, and say so.")
    @click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="After a failure to read.")
    @click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds for each chunk.")
    @wraps(verb)
    def wrapped(**options: Any) -> None:
        how = {name: options.pop(name) for name in RUN_OPTIONS}
        verb(how=how, **options)

    return wrapped
