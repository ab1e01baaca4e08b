"""The page itself: one file, which needs no network and runs on a phone."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically
from ptmiss.provenance import provenance
from ptmiss.reports import hepdata, sections, sources, svg
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.version import __version__

LONG = 12  # rows; a longer table is closed until it is opened
Progress = Callable[[str, int, int], None]


def report(
    given: Sequence[str],
    output: Path,
    *,
    title: str = "pTmiss and recoil",
    correction: str = "bin",
    label: str = "",
    progress: Progress | None = None,
) -> Path:
    """Write the page of these paths (see ptmiss.reports.sources), whole or not at all.

    correction: of the response, see ptmiss.resolutions; label: above each figure.
    """
    if output.suffix != ".html":
        raise OptionError(f"--output {output}: a page is a .html file")
    found = sources.read(given)
    parts: list[Section] = []
    for done, source in enumerate(found, start=1):
        parts += sections.section(source, correction, label)
        if progress:
            progress("sources", done, len(found))
    write_atomically(output, render(title, parts))
    return output


def render(title: str, parts: Sequence[Section]) -> str:
    """The page's text."""
    folder = files("ptmiss.reports")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "page.html.j2").read_text())
    shown = [{**asdict_of(part), "id": f"s{i}", "exhibits": exhibits(part, f"s{i}")} for i, part in enumerate(parts)]
    titles = {e["id"]: f"{s['title']}: {e['title']}" for s in shown for e in s["exhibits"]}
    return template.render(
        title=title,
        sections=shown,
        submission=link("application/yaml", hepdata.submission(titles)),
        made=provenance(),
        version=__version__,
        style=Markup((folder / "page.css").read_text()),
        script=Markup((folder / "page.js").read_text()),
    )


def asdict_of(part: Section) -> dict[str, Any]:
    """A section's own words."""
    return {"title": part.title, "kind": part.kind, "facts": part.facts, "warnings": part.warnings, "text": part.text}


def exhibits(part: Section, prefix: str) -> list[dict[str, Any]]:
    """The exhibits of a section, ready for the template."""
    return [exhibit(one, f"{prefix}-{i}") for i, one in enumerate(part.exhibits)]


def exhibit(one: Exhibit, name: str) -> dict[str, Any]:
    """A figure, its table and what can be taken away of it."""
    drawing = "" if one.figure is None else svg.inline(one.figure, name, one.title)
    return {
        "id": name,
        "title": one.title,
        "svg": Markup(drawing),
        "wide": not drawing or svg.is_wide(drawing),
        "columns": columns(one.table),
        "rows": rows(one.table),
        "open": len(one.table) <= LONG,
        "csv": link("text/csv", one.table.to_csv(index=False, float_format="%.6g")),
        "yaml": link("application/yaml", hepdata.data(one.table)),
    }


def columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Heads; a number and its error share a column."""
    names = [str(c) for c in table if not (str(c).endswith("_error") and str(c).removesuffix("_error") in table)]
    return [{"name": name, "number": pd.api.types.is_numeric_dtype(table[name])} for name in names]


def rows(table: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """Cells: what is read, and what is sorted by."""
    names = [column["name"] for column in columns(table)]
    return [[cell(row, name) for name in names] for row in table.to_dict("records")]


def cell(row: dict[Any, Any], name: str) -> dict[str, Any]:
    """One number with its error, in as many digits as the error has two; or words as they are."""
    value, error = row[name], row.get(f"{name}_error", math.nan)
    if isinstance(value, str) or value is None:
        return {"text": value or "", "key": value or ""}
    if isinstance(value, float) and math.isnan(value):
        return {"text": "", "key": ""}
    if isinstance(error, float) and math.isfinite(error) and error > 0:
        digits = min(max(1 - math.floor(math.log10(error)), 0), 6)
        return {"text": f"{value:.{digits}f} ± {error:.{digits}f}", "key": value}
    return {"text": f"{value:.6g}" if isinstance(value, float) else str(value), "key": value}


def link(kind: str, text: str) -> str:
    """Text as a link that holds it."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
