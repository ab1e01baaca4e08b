"""The group ``selection``: what makes an event, to look at and to check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from ptmiss.cli.options import PATH, Verb, cli

NAME = "NAME|FILE"


@cli.group("selection", short_help="What makes an event: presets, files, and their keys.")
def selection() -> None:
    """Selections by name, and of TOML or JSON files."""


@selection.command(
    "show",
    cls=Verb,
    short_help="Every key of a selection, or the schema.",
    epilog="""
  ptmiss selection show z-ee > mine.toml
""",
)
@click.argument("given", metavar=f"[{NAME}]", default="default")
@click.option("--schema", is_flag=True, help="The JSON schema of all selections.")
def show(given: str, schema: bool) -> None:
    """Print a selection as TOML, every key with its value."""
    from ptmiss.selections import PRESETS, Selection, load_selection

    if schema:
        click.echo(json.dumps(Selection.model_json_schema(), indent=2))
        return
    click.echo(f"# presets: {', '.join(PRESETS)}")
    click.echo("\n".join(toml(load_selection(given).model_dump(mode="json", exclude_none=True))))


def toml(content: Mapping[str, Any], place: str = "") -> list[str]:
    """Lines of TOML: values first, then a table for each mapping."""
    inner = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {json.dumps(value)}" for name, value in content.items() if name not in inner]
    for name, value in inner.items():
        path = f"{place}.{_key(name)}" if place else _key(name)
        lines += ["", f"[{path}]", *toml(value, path)]
    return lines


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


@selection.command(
    "check",
    cls=Verb,
    short_help="Whether a selection is right, and fits event files.",
    epilog="""
  ptmiss selection check mine.toml --file nano.root
""",
)
@click.argument("given", metavar=NAME)
@click.option("--file", "files", type=PATH, multiple=True, help="An event file that must have what is asked.")
def check(given: str, files: tuple[Any, ...]) -> None:
    """Check the keys and values of a selection, and that event files have the branches that it needs."""
    from ptmiss.events import inspect
    from ptmiss.processors.skim import Skim
    from ptmiss.selections import load_selection

    processor = Skim([], load_selection(given))
    for path in files:
        processor.require(inspect(str(path)).branches, str(path), {})
        click.echo(f"{path} has what the selection needs")
    click.echo(f"{given}: {', '.join(processor.selection.channels) or 'no channel'}")
