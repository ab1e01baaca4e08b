"""Tables as HEPData takes them: the bins are independent variables, numbers with errors are dependent ones.

The layout is that of https://hepdata-submission.readthedocs.io, as hepdata_lib writes it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
import yaml

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
ERRORS = {"_error": "stat", "_systematic": "sys"}
"""Endings of columns that are errors of another, and HEPData's words for them."""
LONGEST = 64  # characters of a table's name
UNITS = re.compile(r"^(rms|half_width|edge|met|qt|low|high|width|mean|sigma)")


def data(table: pd.DataFrame) -> str:
    """A table's data file, YAML."""
    document = {"independent_variables": independent(table), "dependent_variables": dependent(table)}
    return dump([document])


def submission(titles: dict[str, str]) -> str:
    """The file that names all tables; titles: what each data file's name is about."""
    documents: list[dict[str, Any]] = [{"comment": "Written by ptmiss report."}]
    documents += [
        {"name": f"{name} {title}"[:LONGEST], "description": title, "keywords": [], "data_file": f"{name}.yaml"}
        for name, title in titles.items()
    ]
    return dump(documents)


def dump(documents: list[dict[str, Any]]) -> str:
    """Documents of plain values as YAML."""
    text: str = yaml.dump_all(documents, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    return text


def independent(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Bins as low and high, and all columns of words."""
    found = []
    if {"low", "high"} <= set(table):
        axis = str(table["axis"].iloc[0]) if "axis" in table and table["axis"].nunique() == 1 else "bin"
        edges = zip(table["low"], table["high"], strict=True)
        values = [
            {"low": low, "high": high} if finite(low, high) else {"value": word(low, high)} for low, high in edges
        ]
        found.append({"header": {"name": axis}, "values": values})
    for name in words(table):
        found.append({"header": {"name": name}, "values": [{"value": str(v)} for v in table[name]]})
    return found or [{"header": {"name": "row"}, "values": [{"value": i} for i in range(len(table))]}]


def dependent(table: pd.DataFrame) -> list[dict[str, Any]]:
    """All other columns of numbers, each with its errors if there are any."""
    return [
        {"header": {"name": name, **({"units": "GeV"} if UNITS.match(name) else {})}, "values": values(table, name)}
        for name in numbers(table)
    ]


def numbers(table: pd.DataFrame) -> list[str]:
    """Columns of numbers, without bins and errors."""
    taken = {"low", "high", *words(table)}
    return [c for c in map(str, table) if c not in taken and not c.endswith(tuple(ERRORS))]


def words(table: pd.DataFrame) -> list[str]:
    """Columns that hold no numbers."""
    return [str(c) for c in table if not pd.api.types.is_numeric_dtype(table[c])]


def values(table: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """The numbers of a column with their errors."""
    errors = [table[name + end] if name + end in table else [math.nan] * len(table) for end in ERRORS]
    return [value(float(v), *map(float, e)) for v, *e in zip(table[name], *errors, strict=True)]


def value(number: float, *errors: float) -> dict[str, Any]:
    """A number as HEPData takes it; ``-`` where there is none, and no error where it is zero. errors: as in ERRORS."""
    if not math.isfinite(number):
        return {"value": "-"}
    known = zip(ERRORS.values(), errors, strict=False)
    given = [{"symerror": error, "label": label} for label, error in known if 0 < error < math.inf]
    return {"value": number, **({"errors": given} if given else {})}


def finite(*numbers: float) -> bool:
    """Whether all are finite."""
    return all(math.isfinite(n) for n in numbers)


def word(low: float, high: float) -> str:
    """A bin without end."""
    return f">= {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
