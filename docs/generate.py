"""Pages of the site about the command line, about schemas, and from the top of the repository, for docs/generated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
from pydantic_core import PydanticUndefined

from ptmiss import tables
from ptmiss.cli import cli
from ptmiss.files import userfiles
from ptmiss.runs.fileset import Metadata
from ptmiss.selections import Selection
from ptmiss.simulation import schema

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?:docs/)?(\w+)\.md")
PAGES = {"ARCHITECTURE": "architecture", "CONTRIBUTING": "contributing", "CHANGELOG": "changes", "README": "index"}
WIDTH = 80


def command_line() -> str:
    """The help of every verb."""
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in helps(cli, "ptmiss"))


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> list[tuple[str, str]]:
    """Names and help texts of a command and of its subcommands."""
    context = click.Context(command, parent=parent, info_name=name.split()[-1], terminal_width=WIDTH)
    found = [(name, command.get_help(context).rstrip())]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found += helps(command.commands[below], f"{name} {below}", context)
    return found


def repository(name: str) -> str:
    """A file from the top of the repository, with links to pages of the site."""
    text = (ROOT / name).read_text()
    return LINK.sub(lambda link: f"]({PAGES.get(link[1], link[1])}.md", text)


def metadata_keys() -> str:
    """The keys of a dataset in a fileset, as a table."""
    fields = Metadata.model_fields.items()
    lines = [(f"`{name}`", str(field.description), f"`{field.default!r}`") for name, field in fields]
    return tables.markdown(["key", "meaning", "default"], lines)


def selection_keys() -> str:
    """The keys of a selection, as a table."""
    keys = userfiles.documented(Selection)
    lines = [(f"`{key.place}`", key.description, key.unit, f"`{_default(key.default)}`") for key in keys]
    return tables.markdown(["key", "meaning", "unit", "default"], lines)


def _default(value: object) -> str:
    """A default as a selection's file has it."""
    return "required" if value is PydanticUndefined else json.dumps(value)


def write(directory: Path) -> None:
    """Write each page to a file of the directory."""
    directory.mkdir(exist_ok=True)
    made = {
        "cli": command_line(),
        "metadata": metadata_keys(),
        "selection": selection_keys(),
        "branches": schema.describe(),
        "architecture": repository("ARCHITECTURE.md"),
        "contributing": repository("CONTRIBUTING.md"),
    }
    for name, text in made.items():
        (directory / f"{name}.md").write_text(f"{text}\n")


if __name__ == "__main__":
    write(ROOT / "docs" / "generated")
