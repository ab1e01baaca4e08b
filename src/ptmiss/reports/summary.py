"""What a page says first: of which events, how selected, and one line of numbers an estimator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ptmiss import plots
from ptmiss.files.provenance import samples
from ptmiss.reports.exhibit import Section
from ptmiss.selections import Selection
from ptmiss.tables import plus_minus, with_error

MT = "mt_half_width"
PLATEAU = "qT ≥ 50 GeV"
COLUMNS = {
    "response": f"Response, {PLATEAU}",
    "rms_par": "RMS of u∥ - qT, GeV",
    "rms_perp": "RMS of u⊥, GeV",
    MT: "mT half width, GeV",
}


class SummaryCell(NamedTuple):
    """A number with its error, over the reference's where it is a width; best: of all estimators of its section."""

    text: str
    ratio: str = ""
    best: bool = False


def numbers(found: pd.DataFrame, edges: pd.DataFrame | None = None, gains: pd.DataFrame | None = None) -> pd.DataFrame:
    """Response on the plateau and RMS over all events of each estimator, with errors; ``<width>_ratio_error`` of the
    ratio to the reference, where it is known.

    found: what ``resolutions.tabulate`` gives, or an empty table; edges: what ``jacobian.of_table`` gives; gains: what
    ``comparison.of_table`` gives.
    """
    parts = []
    if len(found):
        whole = found[found["axis"] == "inclusive"].set_index("estimator")
        for region, names in ((PLATEAU, ("response",)), ("inclusive", ("rms_par", "rms_perp"))):
            parts.append(whole[whole["region"] == region][[c for n in names for c in (n, f"{n}_error")]])
    if gains is not None and len(gains):
        parts.append(ratio_errors(gains, ("rms_par", "rms_perp")))
    if edges is not None:
        own = edges[edges["estimator"] != plots.GENERATED]
        own = own.rename(columns=lambda column: str(column).replace("half_width", MT))
        parts += [own.set_index("estimator")[[MT, f"{MT}_error"]], ratio_errors(own, (MT,))]
    return pd.concat(parts, axis=1).rename_axis("estimator") if parts else pd.DataFrame()


def ratio_errors(gains: pd.DataFrame, widths: Sequence[str]) -> pd.DataFrame:
    """Errors of the ratios to the only reference that some gains ``<width>_vs_<reference>`` have, by estimator."""
    ends = {f"{width}_vs_": f"{width}_ratio_error" for width in widths}
    errors = [str(column) for column in gains if str(column).endswith("_error")]
    named = {column: new for column in errors for start, new in ends.items() if column.startswith(start)}
    return gains.set_index("estimator").rename(columns=named)[[*named.values()]]


def columns(sections: Sequence[Section]) -> dict[str, str]:
    """The columns that any of the sections has, with their heads."""
    there = {name for one in sections if one.headline is not None for name in one.headline}
    return {name: head for name, head in COLUMNS.items() if name in there}


def lines(headline: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, list[SummaryCell]]]:
    """An estimator's name and its cells, of these columns."""
    cells = {name: list(column(headline, name)) for name in names}
    for i, estimator in enumerate(headline.index):
        yield plots.label_of(estimator), [cells[name][i] for name in names]


def column(headline: pd.DataFrame, name: str) -> Iterator[SummaryCell]:
    """The cells of a column: a response is best near one, a width where it is small."""
    if name not in headline:
        yield from [SummaryCell("")] * len(headline)
        return
    values = headline[name]
    away = list((values - 1).abs() if name == "response" else values)
    reference = values[plots.reference_of(list(headline.index))]
    for row, distance in zip(headline.to_dict("records"), away, strict=True):
        ratio = row[name] / reference if name != "response" else math.nan
        best = len(away) > 1 and distance == min(away)
        error = row.get(f"{name}_ratio_error", math.nan)
        words = plus_minus(ratio, error) if error > 0 else f"{ratio:.2f}"
        yield SummaryCell(with_error(row, name), words if math.isfinite(ratio) else "", best)


def count_text(n: float, made: Mapping[str, Any]) -> str:
    """How many events of what."""
    what = samples(made)
    return f"{n:,.0f} events".replace(",", "\u2009") + (f" of {what}" if what else "")


def selection_text(selection: Selection, numbers: Sequence[int] = (1, 2)) -> str:
    """A selection in a line; numbers: how many leptons its events may have."""
    leptons, photon = selection.leptons, selection.photon
    low, high = selection.mass
    there = [n for n in leptons.number if n in numbers] or list(leptons.number)
    if photon:
        words = [f"one photon of pT > {photon.pt:g} GeV and |η| < {photon.eta:g}"]
    else:
        number = " or ".join(str(n) for n in there)
        name = leptons.flavour + ("s" if 2 in there else "")
        words = [f"{number} {name} of pT > {leptons.pt:g} GeV and |η| < {leptons.eta:g}"]
        words += [f"pairs of {low:g} to {high:g} GeV"] if 2 in there else []
    vetoed = selection.btag.veto == "all" or (selection.btag.veto == "boson" and (photon is not None or 2 in there))
    words += ["no b jet"] if vetoed else []
    words += [f"pTmiss of {selection.met.estimator} cut on"] if selection.met else []
    return ", ".join(words)
