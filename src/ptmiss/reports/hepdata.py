"""Tables as HEPData takes them: bins are independent variables, numbers with errors are dependent ones.

What tells rows of the same bins apart, such as the estimator, is a qualifier of a dependent variable. The layout is
that of https://hepdata-submission.readthedocs.io, as hepdata_lib writes it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import yaml

from ptmiss.plots import label_of
from ptmiss.reports import words

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
ERRORS = {"_error": "stat", "_systematic": "sys"}
"""Endings of columns that are errors of another, and HEPData's words for them."""
QUALIFIERS = ("estimator", "quantity", "component", "sample", "when", "correction", "region", "axis")
"""Columns of words that say of what a number is, beside the bins."""
ENDS = ("low", "high")
UNITS = ("GeV", "rad")
ENERGY = re.compile(r"\(([\d.]+) TeV\)")
PHRASES = ["missing transverse momentum", "hadronic recoil", "resolution"]
GREEK = {"μ": "mu", "ν": "nu", "γ": "gamma", "→": " to ", "∥": " par", "⊥": " perp", "χ": "chi"}  # noqa: RUF001

Header = dict[str, Any]
Row = tuple[Any, ...]


class Described(NamedTuple):
    """A table of a submission: the name of its file without an ending, and what it shows, in full."""

    file: str
    description: str


def data(table: pd.DataFrame, label: str = "") -> str:
    """A table's data file, YAML; label: what stands above figures, for the energy of the collisions."""
    qualifying = [c for c in QUALIFIERS if c in table and c in text_columns(table)]
    keys = [c for c in (*bin_columns(table), *text_columns(table)) if c not in qualifying]
    if table.empty or not bin_columns(table) or table.duplicated([*keys, *qualifying]).any():
        keys, qualifying = [*keys, *qualifying], []
    places = list(dict.fromkeys(rows_of(table, keys))) if keys and qualifying else list(range(len(table)))
    groups = table.groupby(qualifying, sort=False, dropna=False) if qualifying else [((), table)]
    common = energy(label)
    found = []
    for values, part in groups:
        about = [qualifier(*pair) for pair in zip(qualifying, values, strict=True)] + common
        at = dict(zip(rows_of(part, keys) if qualifying else places, part.to_dict("records"), strict=True))
        found += [dependent(table, name, about, [at.get(place, {}) for place in places]) for name in numbers(table)]
    shown = table.drop_duplicates(keys) if qualifying else table
    return dump([{"independent_variables": independent(shown, keys), "dependent_variables": found}])


def submission(tables: Sequence[Described], label: str = "") -> str:
    """The file that names all tables; label: what stands above figures, for the energy of the collisions."""
    energies = [{"name": "cmenergies", "values": [1000 * one["value"]]} for one in energy(label)]
    keywords = [*energies, {"name": "phrases", "values": PHRASES}]
    documents: list[dict[str, Any]] = [{"comment": "Written by ptmiss report."}]
    for number, one in enumerate(tables, start=1):
        named = {"name": f"Table {number}", "description": one.description, "keywords": keywords}
        same = [{"description": "The same table as CSV.", "location": f"{one.file}.csv"}]
        documents.append({**named, "data_file": f"{one.file}.yaml", "additional_resources": same})
    return dump(documents)


def describe(titles: Sequence[str]) -> list[Described]:
    """Tables by their titles; the name of a file has the table's number and what is ASCII of its title."""
    return [Described(f"table_{number:02}_{slug(title)}", title) for number, title in enumerate(titles, start=1)]


def slug(title: str) -> str:
    """Words of a title for the name of a file: lower case, digits and underscores, at most 60 of them."""
    plain = "".join(GREEK.get(letter, letter) for letter in title)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60].rstrip("_")


def energy(label: str) -> list[Header]:
    """The energy of the collisions as a qualifier, if a label has one."""
    found = ENERGY.search(label)
    return [{"name": "SQRT(S)", "units": "TeV", "value": float(found[1])}] if found else []


def qualifier(name: str, value: Any) -> Header:
    """A column of words as a qualifier of a number."""
    return {"name": words.head(name), "value": label_of(str(value)) if name == "estimator" else str(value)}


def dump(documents: list[dict[str, Any]]) -> str:
    """Documents of plain values as YAML."""
    text: str = yaml.dump_all(documents, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    return text


def bin_columns(table: pd.DataFrame) -> list[str]:
    """Columns that are the edges of bins: ``low`` and ``high``, also ``qt_low`` and ``qt_high``."""
    starts = [str(c).removesuffix("low") for c in table if str(c).endswith("low")]
    return [start + end for start in starts if start + "high" in table for end in ENDS]


def text_columns(table: pd.DataFrame) -> list[str]:
    """Columns that hold no numbers."""
    return [str(c) for c in table if not pd.api.types.is_numeric_dtype(table[c])]


def rows_of(table: pd.DataFrame, columns: Sequence[str]) -> list[Row]:
    """The rows of some columns."""
    return list(table[list(columns)].itertuples(index=False, name=None))


def header(name: str, axis: str = "") -> Header:
    """The name of a variable as it is read, with its unit."""
    title = words.head(name, axis)
    unit = next((unit for unit in UNITS if f", {unit}" in title), "")
    return {"name": title.replace(f", {unit}", ""), "units": unit} if unit else {"name": title}


def independent(table: pd.DataFrame, keys: Sequence[str]) -> list[Header]:
    """Bins, each as one variable, and other columns that tell rows apart; the number of the row without any."""
    edges = bin_columns(table)
    found = []
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        pairs = zip(table[low], table[high], strict=True)
        found.append({"header": of_bins(table, low), "values": [bin_of(*pair) for pair in pairs]})
    for name in (key for key in keys if key not in edges):
        found.append({"header": header(name), "values": [{"value": str(v)} for v in table[name]]})
    return found or [{"header": {"name": "row"}, "values": [{"value": i} for i in range(len(table))]}]


def of_bins(table: pd.DataFrame, low: str) -> Header:
    """What the bins of a pair of columns are bins of."""
    axes = list(table["axis"].unique()) if "axis" in table else []
    name = low.removesuffix("low").rstrip("_") or (str(axes[0]) if len(axes) == 1 else "bin")
    return header(name)


def bin_of(low: float, high: float) -> Header:
    """A bin; one without end in words."""
    if finite(low, high):
        return {"low": low, "high": high}
    return {"value": f">= {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"}


def numbers(table: pd.DataFrame) -> list[str]:
    """Columns of numbers, without bins and errors."""
    taken = {*bin_columns(table), *text_columns(table)}
    return [c for c in map(str, table) if c not in taken and not is_error(c, table)]


def is_error(name: str, table: pd.DataFrame) -> bool:
    """Whether a column is the error of another, or the part of it that all bins share."""
    return any(name.endswith(end) and name.removesuffix(end) in table for end in (*ERRORS, "_common"))


def dependent(table: pd.DataFrame, name: str, about: list[Header], rows: Sequence[Mapping[Any, Any]]) -> Header:
    """A column's numbers in some rows with their errors, and what they are of."""
    found: Header = {"header": header(name), "values": list(values(table, name, rows))}
    return {**found, "qualifiers": about} if about else found


def values(table: pd.DataFrame, name: str, rows: Sequence[Mapping[Any, Any]]) -> Iterator[Header]:
    """The numbers of a column with their errors."""
    ends = [name + end for end in ERRORS]
    for row in rows:
        yield value(float(row.get(name, math.nan)), *(float(row.get(end, math.nan)) for end in ends))


def value(number: float, *errors: float) -> Header:
    """A number as HEPData takes it; ``-`` where there is none, and no error where it is zero. errors: as in ERRORS."""
    if not math.isfinite(number):
        return {"value": "-"}
    known = zip(ERRORS.values(), errors, strict=False)
    given = [{"symerror": error, "label": label} for label, error in known if 0 < error < math.inf]
    return {"value": number, **({"errors": given} if given else {})}


def finite(*numbers: float) -> bool:
    """Whether all are finite."""
    return all(math.isfinite(n) for n in numbers)
