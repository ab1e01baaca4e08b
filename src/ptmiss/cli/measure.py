"""Verbs that measure: resolution, compare, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.options import FORMATS, PATH, Verb, cli, names, number, pairs

CORRECTIONS = ("none", "plateau", "bin")
BOSONS = ("boson", "genboson", "genmet")


@cli.command(
    "resolution",
    cls=Verb,
    short_help="Response and resolution: a table and figures.",
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
    from ptmiss import results
    from ptmiss.reports import resolution_report

    results.check_writable(output, force)
    factors = {name: number(name, value) for name, value in subtract.items()}
    histograms = resolution_report.histograms_of(
        source, boson=boson, dataset=dataset, subtract=factors, rescale=rescale
    )
    figures = resolution_report.resolution(
        histograms, output, source, correction, window=window, formats=formats, label=label
    )
    for figure in figures:
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
    """Reconstructions against the truth of simulated events."""


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
@click.option("--groups", is_flag=True, help="Also draw MLPF's windows or learned bins and the graph's edges.")
@click.option("--label", default="", help="Text above the figures.")
@click.option("--force", is_flag=True, help="Replace results that are there.")
def evaluate_mlpf(files: tuple[str, ...], output: Path, force: bool, **options: Any) -> None:
    """MLPF beside PF, elements as they are and ideal targets, on simulated event FILES with elements and targets."""
    from ptmiss import evaluation, results
    from ptmiss.events import expand
    from ptmiss.progress import progress_bar, shown_by

    results.check_writable(output, force)
    with progress_bar("events") as bar:
        tables = evaluation.evaluate(expand(files), output, progress=shown_by(bar), **options)
    evaluation.show(tables)
    click.echo(output)
