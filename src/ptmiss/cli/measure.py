"""The verbs ``resolution``, ``compare`` and ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words, estimators
from ptmiss.cli.options import FORMATS, PATH, Verb, cli, figure_options, max_events_option, names, number, pairs

CORRECTIONS = ("bin", "plateau", "none")
BOSONS = ("boson", "genboson", "genmet")


@cli.command(
    "resolution",
    cls=Verb,
    short_help="Response and resolution: a table and figures.",
    epilog="""
  ptmiss resolution recoil.parquet --output out/resolution
  ptmiss resolution out/run --dataset data --background ttbar=1 \\
      --output out/data
""",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, help="Directory for table and figures; without it a table is printed.")
@click.option(
    "--correction",
    type=click.Choice(CORRECTIONS),
    default="bin",
    show_default=True,
    help="Divide u by a response: that of each bin of qT, that of qT > 150 GeV, or 1.",
)
@click.option(
    "--boson",
    type=click.Choice(BOSONS),
    default="boson",
    show_default=True,
    help="For a table: measure against the muon pair, the generated boson, or generated pTmiss.",
)
@click.option("--dataset", help="For a run or table with several datasets: the one to measure.")
@click.option(
    "--background",
    "backgrounds",
    callback=pairs,
    multiple=True,
    metavar="NAME=FACTOR",
    help="For several datasets: one to subtract, and a factor for its weights.",
)
@click.option("--rescale", is_flag=True, help="For a run that skipped events: scale what it read up to the whole.")
@click.option("--window", type=float, help="Also the RMS inside ±WINDOW GeV, for comparison with code that truncates.")
@figure_options()
def resolution(
    sources: tuple[Path, ...],
    output: Path | None,
    correction: str,
    boson: str,
    dataset: str | None,
    backgrounds: dict[str, str],
    rescale: bool,
    window: float | None,
    formats: tuple[str, ...],
    label: str,
    force: bool,
) -> None:
    """Response and resolution of a recoil table or of a run: a table with errors, and figures.

    A table is a file of parquet, a folder of such, or several of these."""
    from ptmiss import verbs
    from ptmiss.reports import resolution_report

    factors = {name: number(name, value) for name, value in backgrounds.items()}
    of_run = {"dataset": dataset, "backgrounds": factors, "rescale": rescale}
    source = sources[0] if len(sources) == 1 else sources
    made = verbs.resolution(
        source, output, correction, window=window, formats=formats, label=label, force=force, boson=boson, **of_run
    )
    if made.left_out:
        click.echo(f"events left out: {made.left_out} (pTmiss not finite in every estimator)")
    if output is None:
        resolution_report.show(made.inclusive())
    for figure in made.figures:
        click.echo(figure)


@cli.command(
    "compare",
    cls=Verb,
    short_help="Estimators against each other on the same events.",
    epilog="""
  ptmiss compare recoil.parquet --against pf,puppi --by npv --output table.csv
  ptmiss compare wmunu.parquet --against pf,puppi --mt
""",
)
@click.argument("sources", metavar="TABLE...", nargs=-1, required=True, type=PATH)
@click.option(
    "--against",
    callback=names,
    default="",
    type=Words("A,B,…", estimators, several=True),
    help="Estimators to compare with. [default: those of pf and puppi that are there, or the first]",
)
@click.option(
    "--by",
    callback=names,
    default="",
    type=Words("qt,npv,njets", lambda: ["qt", "npv", "njets"], several=True),
    help="Also in bins of these axes.",
)
@click.option("--above", type=float, default=20.0, show_default=True, help="Only events with qT from here on, GeV.")
@click.option("--below", type=float, default=float("inf"), show_default=True, help="Only events with qT below, GeV.")
@click.option(
    "--boson",
    type=click.Choice(BOSONS),
    default="boson",
    show_default=True,
    help="Measure the recoil against this.",
)
@click.option("--dataset", help="For a table with several datasets: the one to measure.")
@click.option("--unweighted", is_flag=True, help="Count every event once; a sample biased to large qT stays biased.")
@click.option("--mt", is_flag=True, help="W decays: RMS of mT about the generated one, and width of its falling edge.")
@click.option("-o", "--output", type=PATH, help="Write all numbers as CSV.")
@click.option("--figure", type=PATH, help="Draw the bins of qt and npv: a .png, .pdf or .svg file.")
@click.option("--label", default="", help="Text above the figure.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def compare(
    sources: tuple[Path, ...],
    against: list[str],
    by: list[str],
    above: float,
    below: float,
    boson: str,
    dataset: str | None,
    unweighted: bool,
    mt: bool,
    output: Path | None,
    figure: Path | None,
    label: str,
    force: bool,
) -> None:
    """Compare estimators on the events of a recoil TABLE: response-corrected widths, with paired bootstrap errors.

    It is a file of parquet, a folder of such, or several of these."""
    from ptmiss import verbs
    from ptmiss.files import check_file
    from ptmiss.resolutions import comparison, jacobian
    from ptmiss.table import open_table

    if figure is not None:
        check_file(figure, [f".{form}" for form in FORMATS], force, "--figure")
    table = open_table(sources).of(dataset)
    against = against or verbs.references(table)
    weighted = not unweighted
    if mt:
        masses = verbs.compare(table, against, mt=True, weighted=weighted, output=output, force=force)
        jacobian.show(masses, against)
        return
    options: dict[str, Any] = {"weighted": weighted, "boson": boson, "above": above, "below": below}
    found = verbs.compare(table, against, by=by, output=output, force=force, **options)
    if figure is not None:
        comparison.draw(found, figure, label)
    comparison.show(found, against)


@cli.group("evaluate")
def evaluate() -> None:
    """Compare reconstructions with the truth of simulated events."""


@evaluate.command(
    "mlpf",
    cls=Verb,
    short_help="MLPF beside PF, elements and ideal targets.",
    epilog="""
  ptmiss evaluate mlpf ttbar.root qcd.root --weights out/mlpf --output out/eval
""",
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--weights", metavar="FILE", help="Weights file or folder of MLPF; 'none' leaves it out. [default: shipped]"
)
@click.option("-o", "--output", type=PATH, required=True, help="Directory for tables and figures.")
@max_events_option
@click.option(
    "--min-pt", type=click.FloatRange(0), default=0.1, show_default=True, help="Least pT of a candidate, GeV."
)
@click.option("--window", type=float, default=0.2, show_default=True, help="Window in (eta, phi) to match jets.")
@click.option("--replicas", type=click.IntRange(2), default=100, show_default=True, help="Replicas of the bootstrap.")
@click.option("--groups", is_flag=True, help="Also draw MLPF's windows or learned bins and the graph's edges.")
@figure_options("png", "pdf")
def evaluate_mlpf(files: tuple[str, ...], output: Path, force: bool, **options: Any) -> None:
    """Compare MLPF with PF, bare elements, perfect association and ideal targets, on simulated FILES with elements."""
    from ptmiss import evaluation, results
    from ptmiss.events import expand
    from ptmiss.progress import progress_bar, progress_callback

    results.check_writable(output, force)
    with progress_bar() as bar:
        tables = evaluation.evaluate(expand(files), output, progress=progress_callback(bar), **options)
    evaluation.show(tables)
    click.echo(output)


@evaluate.command(
    "vertex",
    cls=Verb,
    short_help="What the lepton's vertex gains in W decays.",
    epilog="""
  ptmiss simulate wmunu --events 8000 --output wmunu.root
  ptmiss evaluate vertex wmunu.root --output out/vertex
""",
)
@click.argument("file")
@click.option(
    "-e",
    "--estimators",
    callback=names,
    default="pf,puppi,track,deepmet",
    show_default=True,
    type=Words("A,B,…", estimators, several=True),
)
@click.option("--weights", callback=pairs, multiple=True, metavar="NAME=FILE", help="Weights file of a network.")
@click.option("-o", "--output", type=PATH, required=True, help="Directory for tables and figure.")
@click.option("--label", default="", help="Text above the figure.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def evaluate_vertex(
    file: str, estimators: list[str], weights: dict[str, str], output: Path, label: str, force: bool
) -> None:
    """Compare the file's vertex with that of the lepton, in a FILE of simulated W decays to muons."""
    from ptmiss import results
    from ptmiss.estimators import make_estimators
    from ptmiss.evaluation import vertex
    from ptmiss.progress import progress_bar, progress_callback

    results.check_writable(output, force)
    with progress_bar() as bar:
        made = vertex.write(file, output, make_estimators(estimators, weights), progress_callback(bar), label)
    for table in made.values():
        click.echo(table.to_string(line_width=80))
