"""Verbs that make events, and the tour: simulate, demo."""

from __future__ import annotations

from pathlib import Path

import click

from ptmiss.cli.options import PATH, Verb, cli, number, pairs
from ptmiss.errors import OptionError


@cli.command(
    "simulate",
    cls=Verb,
    short_help="Events in a CMS-like detector, with pile-up and truth.",
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
    from ptmiss.progress import progress_bar, shown_by

    if listed:
        for name, what in simulation.PROCESSES.items():
            click.echo(f"{name:20} {what.title}")
        click.echo(f"\n{simulation.describe()}")
        return
    if output is None or (process is None) != validate:
        raise OptionError("expected a process and --output, or --validate and --output (--list prints the processes)")
    values = {name: number(name, value) for name, value in overrides.items()}
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
    short_help="From PF candidates to a page of results, on the sample.",
    epilog="""
  ptmiss demo --output out/demo
""",
)
@click.option("--output", type=PATH, default=Path("out/demo"), show_default=True, help="Directory for everything.")
def demo(output: Path) -> None:
    """From PF candidates to resolutions, a calibration and a page of it all, on the embedded sample, in two minutes."""
    from ptmiss.demo import demo as show_all

    shown = show_all(output, lambda step: click.echo(f"… {step}", err=True))
    click.echo(f"Recoil table: {shown.table}")
    click.echo(f"Resolutions:  {shown.figures[0].parent / 'resolution.csv'}, {shown.figures[0]}")
    click.echo(f"Open:         {shown.page}")
