"""The verbs of ``ptmiss models``, for weights files: list, show, card, check, sign, diff, sketch, import and export."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.completion import models as models_of_the_package

from .options import PATH, Verb, boson_options, cli, figure_options, force_option, max_events_option, pairs


@cli.group()
def models() -> None:
    """List, inspect, compare, import and export models."""


@models.command(
    "list",
    cls=Verb,
    short_help="The models that come with the package, with advice.",
    epilog="""
  ptmiss models list
""",
)
def list_models() -> None:
    """List the models that come with the package and those in folders of PTMISS_MODELS, and when to take each."""
    from ptmiss.networks import descriptions, store
    from ptmiss.networks.registry import load_weights, shipped_models

    known = {name: load_weights(name) for name in (*shipped_models(), *store.names())}
    wide = max(map(len, known), default=0)
    kind = max((len(model.architecture) for model in known.values()), default=0)
    click.echo(f"{'model':{wide}}  {'network':{kind}}  parameters, and when to take it")
    for name, model in known.items():
        click.echo(f"{name:{wide}}  {model.architecture:{kind}}  {model.parameters:10}")
        if advice := descriptions.advice(name):
            click.echo(wrap(f"    {advice}"))
    click.echo("\nptmiss models card MODEL prints what was measured with one.")


def wrap(text: str, indent: int = 4) -> str:
    """A text in lines of the terminal's width."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)


@models.command(
    "export-onnx",
    cls=Verb,
    short_help="A model as an ONNX graph of one event.",
    epilog="""
  ptmiss models export-onnx deepmet --output deepmet.onnx
  ptmiss models export-onnx mlpf --output mlpf.onnx
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.option("-o", "--output", type=PATH, required=True, help="The ONNX file.")
@force_option("a file that is there")
def export_onnx(model: str, output: Path, force: bool) -> None:
    """Export a MODEL (a name, a weights file or its folder) as an ONNX graph of one event (needs the extra onnx)."""
    from ptmiss.estimators.reconstruction import MLPF, network
    from ptmiss.files import check_file
    from ptmiss.models.export import write_onnx
    from ptmiss.networks.registry import load_weights, weights_file

    check_file(output, (".onnx",), force)
    chosen = load_weights(model)
    if chosen.architecture == MLPF:
        chosen = network(str(weights_file(model)))
    shapes = write_onnx(chosen, output)
    click.echo(f"{output}: {shapes}")


@models.command(
    "card",
    cls=Verb,
    short_help="Print a model's card, or write test results into one.",
    epilog="""
  ptmiss models card deepmet
  ptmiss models card out/deepmet --results 'Z → μμ=zmumu.csv' \\
      --results 'W → μν=wmunu.csv'
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.option("--results", callback=pairs, multiple=True, metavar="TITLE=CSV", help="A table of ptmiss compare.")
@click.option(
    "--evaluation",
    "evaluations",
    callback=pairs,
    multiple=True,
    metavar="TITLE=DIR",
    help="An output of ptmiss evaluate mlpf.",
)
@click.option("--events", multiple=True, metavar="FILE", help="Events of the tables; the training must not know them.")
def card(model: str, results: dict[str, str], evaluations: dict[str, str], events: tuple[str, ...]) -> None:
    """Print the card of a MODEL, a name or a folder: how it was made, its limits, and what was measured.

    With --results or --evaluation test results are written into the card of a folder. With --events the card also says
    that no training saw them.
    """
    from ptmiss.networks import descriptions

    if not results and not evaluations:
        show_card(descriptions.card(model) or f"{model} has no card")
        return
    from ptmiss.evaluation import summary
    from ptmiss.models import cards
    from ptmiss.resolutions import comparison

    tables = {title: cards.markdown(comparison.read(path)) for title, path in results.items()}
    tables |= {title: summary.markdown(Path(path)) for title, path in evaluations.items()}
    cards.add_results(model, tables, events)
    click.echo(Path(model) / "README.md")


def show_card(text: str) -> None:
    """Print Markdown: as it is, or drawn on a terminal, page by page."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text))


@models.command(
    "import-deepmet",
    cls=Verb,
    short_help="Weights from a released CMSSW graph.",
    epilog="""
  ptmiss models import-deepmet deepmet_resolution.pb \\
      --output deepmet.safetensors
""",
)
@click.argument("graph", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The weights file.")
@click.option("--padding", type=int, default=4500, show_default=True, help="Slots to which CMSSW pads an event.")
@force_option("a file that is there")
def import_deepmet(graph: Path, output: Path, padding: int, force: bool) -> None:
    """Import weights from a released CMSSW graph (TensorFlow GraphDef), without TensorFlow."""
    from ptmiss.files import check_file
    from ptmiss.models.cmssw import read_deepmet
    from ptmiss.networks.registry import save_model

    check_file(output, (".safetensors",), force)
    model = read_deepmet(graph, padding)
    digest = save_model(model, output, provenance=f"imported from {graph.name}")
    click.echo(f"{model.parameters} parameters, SHA-256 {digest[:12]} -> {output}")


@models.command(
    "show",
    cls=Verb,
    short_help="What a weights file says of itself.",
    epilog="""
  ptmiss models show deepmet.safetensors
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
def show(model: str) -> None:
    """Print what a MODEL (a name, a weights file or its folder) says of itself and of its training."""
    from ptmiss.networks import descriptions

    for key, value in descriptions.facts(model).items():
        click.echo(wrap(f"{key}: {value}"))


@models.command(
    "diff",
    cls=Verb,
    short_help="Two models on the same events.",
    epilog="""
  ptmiss models diff deepmet deepmet_v2
  ptmiss models diff deepmet out/mine zmumu.root --output out/diff
""",
)
@click.argument("first", type=Words("FIRST", models_of_the_package))
@click.argument("second", type=Words("SECOND", models_of_the_package))
@click.argument("files", nargs=-1)
@click.option("-o", "--output", type=PATH, help="Directory for tables and a figure.")
@boson_options(replicas=200)
@figure_options(what="figure")
def diff(first: str, second: str, files: tuple[str, ...], output: Path | None, force: bool, **options: Any) -> None:
    """Print what two models say of themselves where it differs, and how far apart they are on the same events.

    FILES have candidates and a boson; without any it is the embedded Z → μμ.
    """
    from ptmiss import results
    from ptmiss.events import expand
    from ptmiss.explanation import differences
    from ptmiss.networks import descriptions
    from ptmiss.progress import progress_bar, progress_callback

    if output is not None:
        results.check_writable(output, force)
    with progress_bar() as bar:
        found = differences.diff(first, second, expand(files), output, progress=progress_callback(bar), **options)
    one, other = (descriptions.facts(model) for model in (first, second))
    for key in dict.fromkeys((*one, *other)):
        if key not in ("name", "file") and one.get(key) != other.get(key):
            click.echo(key)
            for model, told in zip((first, second), (one, other), strict=True):
                click.echo(wrap(f"  {model}: {told.get(key, 'none')}", 6))
    differences.show(found)


@models.command(
    "check",
    cls=Verb,
    short_help="Whether a model's card fits its weights.",
    epilog="""
  ptmiss models check deepmet
  ptmiss models check registry/mine/1.0.0 --signers signers.txt
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.option("--signers", type=PATH, help="File of allowed signers (ssh-keygen), one of whom has to have signed it.")
def check(model: str, signers: Path | None) -> None:
    """Check the card of a MODEL (a name, a weights file or its folder): its keys, and whether it fits the weights.

    A SHA256SUMS in the folder of the weights or above has to have the file's hash.
    """
    from ptmiss.networks import registry, signatures

    found, weights = registry.check(model), registry.weights_file(model)
    signed = signatures.verify(weights, signers)
    click.echo(wrap(f"{found.model_name} {found.version}, {found.license}: {weights}"))
    click.echo(wrap(f"trained on {found.training_data}"))
    click.echo(wrap(signed))


@models.command(
    "sign",
    cls=Verb,
    short_help="Hashes of models in one file, signed.",
    epilog="""
  ptmiss models sign registry --key ~/.ssh/id_ed25519
""",
)
@click.argument("folder", type=PATH)
@click.option("--key", type=PATH, required=True, help="Your private key of OpenSSH, or the public one of an agent's.")
def sign(folder: Path, key: Path) -> None:
    """Write the hashes of all models in a FOLDER to SHA256SUMS in it, and sign that with ssh-keygen."""
    from ptmiss.networks import signatures

    click.echo(signatures.sign(folder, key))


@models.command(
    "sketch",
    cls=Verb,
    short_help="What a model reads, for runs to compare with.",
    epilog="""
  ptmiss models sketch out/mine train_zmumu.root train_ttbar.root
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, help="The JSON file. [default: sketch.json beside the weights]")
@max_events_option
@force_option("a file that is there")
def sketch(model: str, files: tuple[str, ...], **options: Any) -> None:
    """Sketch what a MODEL reads and answers in the FILES of its training, as compact histograms.

    A training does so by itself. Runs compare what they read with the sketch, and warn of drifts.
    """
    from ptmiss.progress import progress_bar, progress_callback
    from ptmiss.runs import monitoring

    with progress_bar() as bar:
        click.echo(monitoring.sketch(model, files, progress=progress_callback(bar), **options))


@models.command(
    "serve-layout",
    cls=Verb,
    short_help="A model repository for Triton.",
    epilog="""
  ptmiss models serve-layout deepmet --output repository
  ptmiss models serve-layout deepmet --layout cms-4500 --output repository
""",
)
@click.argument("model", type=Words("MODEL", models_of_the_package))
@click.option("-o", "--output", type=PATH, required=True, help="The repository, a directory.")
@click.option(
    "--layout",
    type=Words("packed|cms-4500|cms-12500"),
    default="packed",
    show_default=True,
    help="One event of any size a request, or batches of events in CMS's slots.",
)
@click.option("--version", type=click.IntRange(1), default=1, show_default=True, help="Version in the repository.")
@force_option("what is there")
def serve_layout(model: str, output: Path, layout: str, version: int, force: bool) -> None:
    """Write a MODEL as a repository that Triton serves: the ONNX graph and its description (needs the extra onnx)."""
    from ptmiss import results
    from ptmiss.estimators.reconstruction import MLPF, network
    from ptmiss.models import serving
    from ptmiss.networks.registry import load_weights, weights_file

    results.check_writable(output, force)
    chosen = load_weights(model)
    if chosen.architecture == MLPF:
        chosen = network(str(weights_file(model)))
    click.echo(serving.write(chosen, output, layout, version))
