"""An explanation as a directory: tables, figures, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ptmiss import bootstrap, results, tables
from ptmiss.errors import FileError, OptionError
from ptmiss.estimators import NetworkEstimator, make_estimators
from ptmiss.estimators.shifts import CandidateSum
from ptmiss.explanation import dependence, events, figures, gradients, importance, parts, relevance
from ptmiss.explanation.relevance import Relevance
from ptmiss.files import AnyPath, as_path
from ptmiss.files.provenance import provenance
from ptmiss.networks.registry import load_model
from ptmiss.plots import label_of, save
from ptmiss.progress import Callback
from ptmiss.selections import Selection, load_selection

AGAINST = ("pf", "puppi")
PARTS, DEPENDENCE, IMPORTANCE, COVARIANCES = "parts", "dependence", "importance", "covariances"


@dataclass(frozen=True)
class Explanation:
    """Tables of an explanation, see the modules that make them. estimator: the network's name."""

    estimator: str
    parts: pd.DataFrame
    dependence: pd.DataFrame
    importance: pd.DataFrame
    covariances: pd.DataFrame

    def figures(self, label: str = "") -> dict[str, Figure]:
        """Its figures by name."""
        return {
            PARTS: figures.of_parts(self.parts, label),
            DEPENDENCE: figures.of_dependence(self.dependence, self.estimator, label),
            IMPORTANCE: figures.of_importance(self.importance, self.estimator, label),
            COVARIANCES: figures.of_covariances(self.covariances, self.estimator, label),
        }


def explain(
    model: AnyPath,
    files: Sequence[str],
    output: AnyPath | None = None,
    against: Sequence[str] = AGAINST,
    *,
    selection: Selection | AnyPath = "default",
    max_events: int | None = None,
    replicas: int = bootstrap.REPLICAS,
    seed: int = 1,
    label: str = "",
    formats: Sequence[str] = ("png",),
    progress: Callback | None = None,
) -> Explanation:
    """Explain a network on events with a boson; write everything into a directory, if there is one.

    model: a network's name, weights file or folder; against: estimators whose recoil is taken apart too; max_events: of
    each file; seed: of what is shuffled and drawn.
    """
    network, others = estimators_of(model, against)
    columns = {column for each in (network, *others) for column in each.columns}
    sample = events.read(files, columns, load_selection(selection), max_events, progress)
    apart = {each.name: parts.take_apart(each, sample) for each in (*others, network)}
    shuffled = importance.tabulate(importance.recoils(network, sample, seed), sample.weight, replicas)
    found = Explanation(
        network.name,
        pd.concat([parts.tabulate(part, name, replicas) for name, part in apart.items()], ignore_index=True),
        dependence.tabulate(network, sample, seed),
        shuffled.merge(gradients.tabulate(network, sample), on="input", how="left"),
        parts.covariances(apart[network.name]),
    )
    if output is not None:
        entries = [each.manifest_entry() for each in (network, *others)]
        made = provenance(files=list(files), events=len(sample), replicas=replicas, seed=seed, estimators=entries)
        write(found, output, made, label, formats)
    return found


def estimators_of(model: AnyPath, against: Sequence[str]) -> tuple[NetworkEstimator, list[CandidateSum]]:
    """The network as an estimator, and the others; OptionError for one that is no sum over candidates."""
    name = load_model(model).name
    network, *others = make_estimators([name, *(each for each in against if each != name)], {name: model})
    for each in others:
        if not isinstance(each, CandidateSum):
            raise OptionError(f"estimator {each.name!r} is no sum over the file's candidates, and has no parts")
    assert isinstance(network, NetworkEstimator)
    return network, [each for each in others if isinstance(each, CandidateSum)]


def write(found: Explanation, output: AnyPath, made: Mapping[str, Any], label: str, formats: Sequence[str]) -> None:
    """Tables and figures, whole or not at all."""
    with results.replacing_directory(as_path(output)) as temporary:
        for name in (PARTS, DEPENDENCE, IMPORTANCE):
            getattr(found, name).to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
        found.covariances.to_csv(temporary / f"{COVARIANCES}.csv", index_label="part", float_format="%.6g")
        for name, figure in found.figures(label).items():
            save(figure, temporary / name, formats)
        (temporary / results.MANIFEST).write_text(results.as_json(made))


def read(directory: AnyPath) -> Explanation:
    """An explanation that was written; FileError if it is incomplete."""
    place = as_path(directory)
    try:
        found = {name: pd.read_csv(place / f"{name}.csv") for name in (PARTS, DEPENDENCE, IMPORTANCE)}
        matrix = pd.read_csv(place / f"{COVARIANCES}.csv", index_col="part")
    except (OSError, ValueError) as error:
        raise FileError(f"{place} is not an explanation: {error}") from error
    network = str(found[PARTS]["estimator"].iloc[-1])  # after those that it is set against
    named = found[PARTS].fillna(dict.fromkeys(parts.AXES, ""))
    return Explanation(network, named, found[DEPENDENCE], found[IMPORTANCE], matrix)


def show(found: Explanation | Relevance) -> None:
    """Print the parts by kind and vertex, and what each input is worth; of an MLPF whose relevance it is."""
    if isinstance(found, Relevance):
        relevance.show(found)
        return
    rows = found.parts[(found.parts["level"] == "kind and vertex") & (found.parts["estimator"] == found.estimator)]
    whole = found.parts[(found.parts["level"] == "all") & (found.parts["estimator"] == found.estimator)]
    lines = [
        [row["name"], f"{row['momentum']:.0f}", *(tables.with_error(row, q, 3) for q in figures.QUANTITIES)]
        for row in [*figures.with_names(rows).to_dict("records"), *whole.assign(name="all").to_dict("records")]
    ]
    head = [label_of(found.estimator), "Σ pT, GeV", "response", "variance par", "variance perp"]
    tables.show(head, lines)
    worth = found.importance.sort_values("loss_perp", ascending=False).to_dict("records")
    tables.show(
        ["shuffled", "par, %", "perp, %"],
        [[row["input"], *(tables.percent(row, f"loss_{c}", 1) for c in ("par", "perp"))] for row in worth],
    )
