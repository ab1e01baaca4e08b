"""What a network answers, why, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ptmiss import results
from ptmiss.estimators.reconstruction import MLPF
from ptmiss.files import AnyPath, as_path
from ptmiss.networks.registry import load_weights

if TYPE_CHECKING:
    from ptmiss.explanation.profiles import Profile
    from ptmiss.explanation.relevance import Relevance
    from ptmiss.explanation.report import Explanation


def explain(
    model: AnyPath,
    files: AnyPath | Sequence[AnyPath],
    output: AnyPath | None = None,
    against: Sequence[str] = ("pf", "puppi"),
    *,
    force: bool = False,
    **options: Any,
) -> Explanation | Relevance:
    """Explain a network: its recoil in parts, its weights against the inputs, and what each input is worth.

    Of an MLPF: which elements, and which of their inputs, made its candidates.

    Args:
        model: a network's name, weights file or folder.
        files: event files with candidates and a boson; for an MLPF with elements.
        output: directory of tables and figures; None writes nothing.
        against: estimators whose recoil is taken apart beside it.
        force: replace results that are there.
        **options: selection, max_events, replicas, seed, label, formats, progress; see ptmiss.explanation.report. An
            MLPF has no use for against, selection and replicas.

    Returns:
        Tables with errors, and their figures.

    Raises:
        OptionError: no event has a boson, or an estimator is no sum over candidates.
        ColumnError: a file lacks a column of the candidates.
    """
    from ptmiss import explanation
    from ptmiss.explanation import relevance

    if output is not None:
        results.check_writable(output, force)
    given = list(files) if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    paths = [str(as_path(path)) for path in given]
    if load_weights(model).architecture == MLPF:
        own = {name: value for name, value in options.items() if name not in ("selection", "replicas")}
        return relevance.explain(model, paths, output, **own)
    return explanation.explain(model, paths, output, against, **options)


def profile(model: AnyPath, output: AnyPath | None = None, *, force: bool = False, **options: Any) -> Profile:
    """Profile a network: time, operations and memory of each layer.

    Args:
        model: a network's name, weights file or folder.
        output: directory of table and figure; None writes nothing.
        force: replace results that are there.
        **options: sizes, threads, repeats, formats, label; see ptmiss.explanation.profiles.profile.

    Returns:
        A row for each layer, number of candidates or elements, and number of threads.

    Raises:
        UnknownName: no model has this name.
        OptionError: results are there already.
    """
    from ptmiss.explanation import profiles

    if output is not None:
        results.check_writable(output, force)
    return profiles.profile(model, output, **options)
