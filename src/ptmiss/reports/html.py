"""The page itself: one file, which needs no network and runs on a phone."""

from __future__ import annotations

import base64
import io
import math
import zipfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ptmiss.errors import OptionError
from ptmiss.files import write_atomically
from ptmiss.files.provenance import provenance
from ptmiss.plots import label_of
from ptmiss.reports import cards, hepdata, measured, sections, sources, summary, svg, words
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.tables import plus_minus
from ptmiss.version import __version__

WHOLE = 1000
LONG = 12  # rows; a longer table is closed until it is opened
Progress = Callable[[str, int, int], None]


def report(
    given: Sequence[str],
    output: Path,
    *,
    title: str = "pTmiss and recoil",
    correction: str = "bin",
    label: str = "",
    published: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Write the page of these paths (see ptmiss.reports.sources), whole or not at all.

    correction: of the response, see ptmiss.resolutions; label: above each figure; published: tables to draw beside,
    QUANTITY=FILE each, see ptmiss.reports.measured.
    """
    if output.suffix != ".html":
        raise OptionError(f"--output {output}: a page is a .html file")
    found, tables = sources.read(given), [measured.read(one) for one in published]
    parts: list[Section] = []
    for done, source in enumerate(found, start=1):
        parts += [measured.beside(each, tables) for each in sections.section(source, correction, label)]
        if progress:
            progress("sources", done, len(found))
    write_atomically(output, render(title, parts, label))
    return output


def render(title: str, parts: Sequence[Section], label: str = "") -> str:
    """The page's text; label: above its figures."""
    folder = files("ptmiss.reports")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "page.html.j2").read_text())
    sheet = svg.Sheet()
    heads = summary.columns(parts)
    shown = [
        {
            **words_of(part),
            "id": f"s{i}",
            "exhibits": exhibits(part, f"s{i}", sheet),
            "headline": [] if part.headline is None else list(summary.lines(part.headline, list(heads))),
        }
        for i, part in enumerate(parts)
    ]
    return template.render(
        title=title,
        sections=shown,
        definitions=words.DEFINITIONS,
        summary=heads,
        submission=link("application/zip", submission(parts, label)),
        shared=Markup(sheet.definitions()),
        drawn=Markup(sheet.rules()),
        created=words.time(provenance()["created"]),
        version=__version__,
        style=Markup((folder / "page.css").read_text()),
        script=Markup((folder / "page.js").read_text()),
    )


def words_of(part: Section) -> dict[str, Any]:
    """A section's own words."""
    names = ("title", "kind", "facts", "warnings", "about", "is_empty")
    return {name: getattr(part, name) for name in names} | {"text": Markup(cards.card(part.text))}


def submission(parts: Sequence[Section], label: str = "") -> bytes:
    """All tables in full, as CSV and as HEPData takes them, in one zip."""
    tables = [(part, one) for part in parts for one in part.exhibits]
    named = hepdata.describe([f"{part.title}: {one.title}" for part, one in tables])
    content = {"submission.yaml": hepdata.submission(named, label)}
    for (name, _), (_, one) in zip(named, tables, strict=True):
        content[f"{name}.yaml"] = hepdata.data(one.table, label)
        content[f"{name}.csv"] = one.table.to_csv(index=False, float_format="%.6g")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def exhibits(part: Section, prefix: str, sheet: svg.Sheet) -> list[dict[str, Any]]:
    """The exhibits of a section, ready for the template."""
    return [exhibit(one, f"{prefix}-{i}", sheet) for i, one in enumerate(part.exhibits)]


def exhibit(one: Exhibit, name: str, sheet: svg.Sheet) -> dict[str, Any]:
    """A figure and its table."""
    drawing = (
        "" if one.figure is None else sheet.inline(one.figure, name, ". ".join(filter(None, (one.title, one.caption))))
    )
    return {
        "id": name,
        "title": one.title,
        "caption": one.caption,
        "group": one.group,
        "svg": Markup(drawing),
        "wide": not drawing or svg.is_wide(drawing),
        "columns": columns(one.table),
        "rows": rows(one.table),
        "open": len(one.table) <= LONG,
    }


def columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Heads; a number and its error share a column. What is the same in all rows of a figure is in its title."""
    names = [str(c) for c in table if not (str(c).endswith("_error") and str(c).removesuffix("_error") in table)]
    axes = set(table["axis"]) if "axis" in table else set()
    alone = len(axes) == 1 and ("region" not in table or table["region"].nunique() == 1)
    hidden = {"axis", "region"} if alone else set()
    hidden |= {name for name in names if name.endswith("_common") and not table[name].fillna(0).any()}
    axis = str(axes.pop()) if len(axes) == 1 else ""
    return [
        {"name": name, "head": words.head(name, axis), "number": pd.api.types.is_numeric_dtype(table[name])}
        for name in names
        if name not in hidden
    ]


def rows(table: pd.DataFrame) -> list[list[str]]:
    """Cells as they are read."""
    names = [column["name"] for column in columns(table)]
    return [[cell(row, name) for name in names] for row in table.to_dict("records")]


def cell(row: dict[Any, Any], name: str) -> str:
    """One number with its error, in as many digits as the error has two; or words as they are."""
    value, error = row[name], row.get(f"{name}_error", math.nan)
    if isinstance(value, str) or value is None:
        return label_of(value) if value and name == "estimator" else value or ""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "")
    if isinstance(error, float) and math.isfinite(error) and error > 0:
        return plus_minus(value, error)
    return round_number(value) if isinstance(value, float) else str(value)


def round_number(value: float) -> str:
    """A number without an error: whole above a thousand, four digits below."""
    return f"{value:.0f}" if abs(value) >= WHOLE else f"{value:.4g}"


def link(kind: str, content: bytes) -> str:
    """Content as a link that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
