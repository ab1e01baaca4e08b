"""Tables for readers: numbers with their errors, on a terminal and in Markdown."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd
import rich
import rich.console
import rich.table

PLUS_MINUS = " ± "
MOST_DIGITS = 6
GAP = 1  # characters between columns


def plus_minus(value: float, error: float, digits: int | None = None, sign: str = "") -> str:
    """``value ± error``; digits after the point: so many that the error shows two figures, unless they are given."""
    if digits is None:
        digits = min(max(1 - math.floor(math.log10(error)), 0), MOST_DIGITS)
    return f"{value:{sign}.{digits}f}{PLUS_MINUS}{error:.{digits}f}"


def with_error(row: Mapping[Any, Any], name: str, digits: int | None = None) -> str:
    """A row's number and its error ``<name>_error``; the number alone without one, nothing where there is no number."""
    value, error = row.get(name), row.get(f"{name}_error")
    if value is None or pd.isna(value):
        return ""
    if error is None or pd.isna(error):
        return f"{value:.{digits}f}" if digits is not None else f"{value:.6g}"
    return plus_minus(value, error, digits)


def percent(row: Mapping[Any, Any], name: str, digits: int = 0) -> str:
    """A row's fraction in %, with sign and error; nothing where there is no error, as of itself against itself."""
    value, error = row[name], row[f"{name}_error"]
    return plus_minus(100 * value, 100 * error, digits, "+") if error > 0 else ""


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


def show(head: Sequence[str], lines: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print lines of cells, the first column to the left; a line of one cell is a heading.

    Columns that have no room beside the others come below, after the first column again: no cell is cut.
    """
    for grid in grids(head, lines, rich.get_console().width, title):
        rich.print(grid)


def text(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """The same as plain text."""
    console = rich.console.Console(file=io.StringIO(), width=rich.get_console().width, color_system=None)
    with console.capture() as captured:
        for grid in grids(head, lines, console.width):
            console.print(grid)
    return captured.get()


def grids(
    head: Sequence[str], lines: Iterable[Sequence[str]], width: int, title: str | None = None
) -> Iterator[rich.table.Table]:
    """Lines of cells as tables of at most so many characters, see :func:`show`."""
    rows = [[cell.replace(PLUS_MINUS, "±") for cell in cells] for cells in lines]
    for columns in parts([head, *rows], width):
        grid = rich.table.Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for i in columns:
            grid.add_column(head[i], justify="right" if i else "left", no_wrap=True)
        for cells in rows:
            grid.add_row(*(cells[i] for i in columns if i < len(cells)), style="bold" if len(cells) == 1 else None)
        yield grid


def parts(rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """The columns that have room beside each other in so many characters; the first is in each part."""
    needed = [max(len(cell) for cell in column) for column in zip_longest(*rows, fillvalue="")]
    found, used = [[0]], needed[0]
    for i, size in enumerate(needed[1:], start=1):
        if used + GAP + size > width and found[-1] != [0]:
            found, used = [*found, [0]], needed[0]
        found[-1].append(i)
        used += GAP + size
    return found
