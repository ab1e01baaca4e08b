"""The verbs ``simulate`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words, processes
from ptmiss.cli.options import PATH, Verb, cli, number, pairs, quiet
from ptmiss.errors import OptionError


@cli.command(
    "simulate",
    cls=Verb,
    kept="finished blocks are kept in {output}.parts; the same command continues",
    short_help="Events in a CMS-like detector, with pile-up and truth.",
    epilog="""
  ptmiss simulate zmumu -n 1000 --seed 1 --workers 2 --output zmumu.root
  ptmiss simulate zee -n 1000 --set material=1 --elements -1 --output zee.root
""",
)
@click.argument("process", required=False, type=Words("[PROCESS]", processes))
@click.option("-n", "--events", "n", type=int, default=1000, show_default=True, help="Number of events.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same file.")
@click.option(
    "--profile", default="mc", show_default=True, type=Words("mc|data"), help="Profile of detector, beam and tune."
)
@click.option("--pileup", type=float, help="Mean number of pile-up collisions. [default: the profile's]")
@click.option(
    "--set",
    "overrides",
    callback=pairs,
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of detector, beam, tune or matter.",
)
@click.option("--elements", type=int, default=0, show_default=True, help="Number of events with PF elements; -1: all.")
@click.option("--shower-weights", is_flag=True, help="Weights of a varied shower, PSWeight; other events than without.")
@click.option("--format", "file_format", type=click.Choice(("ttree", "rntuple")), default="ttree", show_default=True)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes.")
@click.option("-o", "--output", type=PATH, help="The event file.")
@click.option("--force", is_flag=True, help="Replace a file, or a directory of --validate, that is there.")
@click.option("--list", "listed", is_flag=True, help="Print the processes and the branches of a file.")
@click.option(
    "--validate", is_flag=True, help="Simulate samples of several processes, and write tables and figures of them."
)
@click.option("--reference", type=PATH, help="For --validate: a real PFNano file to compare with.")
def simulate(
    process: str | None,
    n: int,
    seed: int,
    profile: str,
    pileup: float | None,
    overrides: dict[str, str],
    elements: int,
    shower_weights: bool,
    file_format: str,
    workers: int,
    output: Path | None,
    force: bool,
    listed: bool,
    validate: bool,
    reference: Path | None,
) -> None:
    """Simulate events of a PROCESS in a CMS-like detector, with pile-up and truth (needs the extra simulation).

    The same command continues an interrupted job.
    """
    from ptmiss import simulation
    from ptmiss.files import check_file
    from ptmiss.progress import progress_bar, progress_callback

    if listed:
        for name, what in simulation.PROCESSES.items():
            click.echo(f"{name:20} {what.title}")
        click.echo(f"\n{simulation.describe()}")
        return
    if output is None or (process is None) != validate:
        raise OptionError("expected --output, and either a process or --validate (--list prints the processes)")
    if process is None:
        validation(output, force, n, seed, workers=workers, reference=reference)
        return
    check_file(output, (".root",), force)
    options: dict[str, Any] = {
        "profile": profile,
        "pileup_mean": pileup,
        "workers": workers,
        "file_format": file_format,
    }
    options |= {"elements": True if elements < 0 else elements, "shower_weights": shower_weights}
    values = {name: number(name, value) for name, value in overrides.items()}
    with progress_bar() as bar:
        made = simulation.simulate(
            process, n, seed, output, overrides=values, progress=progress_callback(bar), **options
        )
    rate = (made.events - made.resumed) / made.seconds
    click.echo(f"{made.events} events ({rate:.1f} per second) -> {made.path}")


def validation(output: Path, force: bool, n: int, seed: int, **options: Any) -> None:
    """Simulate n events of each process, and write the page that compares them with references."""
    from ptmiss import results
    from ptmiss.progress import progress_bar, progress_callback
    from ptmiss.reports import simulation_report

    results.check_writable(output, force or simulation_report.is_unfinished(output))
    with progress_bar() as bar:
        page = simulation_report.validate(output, n, seed, progress=progress_callback(bar), **options)
    click.echo(page)


@cli.command(
    "demo",
    cls=Verb,
    kept="finished parts are in {output}; the same command begins again",
    short_help="From PF candidates to a page of results, on the sample.",
    epilog="""
  ptmiss demo --output out/demo
""",
)
@click.option(
    "-o", "--output", type=PATH, default=Path("out/demo"), show_default=True, help="Directory for everything."
)
@click.option("--force", is_flag=True, help="Replace a demo that is there.")
def demo(output: Path, force: bool) -> None:
    """Run the tour: from PF candidates to resolutions, a calibration and a page, on the embedded sample.

    It takes two minutes.
    """
    from ptmiss import results
    from ptmiss.cli.demo import demo as show_all

    results.check_writable(output, force)
    shown = show_all(output, lambda step: None if quiet() else click.echo(f"… {step}", err=True))
    click.echo(f"Recoil table: {shown.table}")
    click.echo(f"Resolutions:  {shown.figures[0].parent / 'resolution.csv'}, {shown.figures[0]}")
    click.echo(f"Open:         {shown.page}")
