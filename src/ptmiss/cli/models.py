"""Verbs for weights files: list, show, card, import and export."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from .options import PATH, Verb, cli, pairs


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
    from ptmiss.networks.registry import load_weights, shipped
    from ptmiss.networks.weights import fingerprint

    for name in shipped():
        model = load_weights(name)
        click.echo(
            f"{name:20} {model.architecture:10} {model.parameters:6d} parameters  {fingerprint(model.tensors)[:12]}"
        )


@models.command(
    "export-onnx",
    cls=Verb,
    short_help="A model as an ONNX graph of one event.",
    epilog="""
  ptmiss models export-onnx deepmet --output deepmet.onnx
  ptmiss models export-onnx mlpf --output mlpf.onnx
""",
)
@click.argument("model")
@click.option("--output", type=PATH, required=True, help="The ONNX file.")
def export_onnx(model: str, output: Path) -> None:
    """A MODEL (a name, a weights file or its folder) as an ONNX graph of one event (needs the extra onnx)."""
    from ptmiss.networks.registry import load_weights, weights_file
    from ptmiss.reconstruction import MLPF, network

    chosen = load_weights(model)
    if chosen.architecture == MLPF:
        chosen = network(str(weights_file(model)))
    told = import_module("ptmiss.models.export").write_onnx(chosen, output)
    click.echo(f"{output}: {told}")


@models.command(
    "card",
    cls=Verb,
    epilog="""
  ptmiss models card out/deepmet --results 'Z → μμ=zmumu.csv' --results 'W → μν=wmunu.csv'
""",
)
@click.argument("directory", type=PATH)
@click.option("--results", callback=pairs, multiple=True, metavar="TITLE=CSV", help="What ptmiss compare wrote.")
@click.option(
    "--evaluation", "evaluations", callback=pairs, multiple=True, metavar="TITLE=DIR", help="Of ptmiss evaluate mlpf."
)
def card(directory: Path, results: dict[str, str], evaluations: dict[str, str]) -> None:
    """Put test results into the card of the model in a DIRECTORY."""
    from ptmiss import comparison
    from ptmiss.evaluation import summary

    cards = import_module("ptmiss.models.cards")
    tables = {title: cards.markdown(comparison.read(Path(path))) for title, path in results.items()}
    tables |= {title: summary.markdown(Path(path)) for title, path in evaluations.items()}
    cards.add_results(directory, tables)
    click.echo(directory / "README.md")


@models.command(
    "import-deepmet",
    cls=Verb,
    short_help="Weights from a released CMSSW graph.",
    epilog="""
  ptmiss models import-deepmet deepmet_resolution.pb --output deepmet.safetensors
""",
)
@click.argument("graph", type=PATH)
@click.option("--output", type=PATH, required=True, help="The weights file.")
@click.option("--padding", type=int, default=4500, show_default=True, help="Slots that CMSSW pads an event to.")
def import_deepmet(graph: Path, output: Path, padding: int) -> None:
    """Weights from a released CMSSW graph (TensorFlow GraphDef), without TensorFlow."""
    from ptmiss.networks.registry import save_model

    model = import_module("ptmiss.models.cmssw").read_deepmet(graph, padding)
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
    from ptmiss.networks.registry import load_weights, weights_file
    from ptmiss.networks.weights import read_tensors

    _, metadata = read_tensors(weights_file(model))
    click.echo(f"parameters: {load_weights(model).parameters}")
    for key, value in sorted(metadata.items()):
        click.echo(f"{key}: {value}")
