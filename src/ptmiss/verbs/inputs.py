"""Files and estimators, as the verbs take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ptmiss.estimators import Estimator, make_estimators
from ptmiss.files import AnyPath, as_path
from ptmiss.runs import fileset as filesets
from ptmiss.runs.fileset import Fileset

Files = AnyPath | Sequence[AnyPath] | Mapping[str, Any]
Estimators = str | Iterable[str | Estimator]


def fileset_of(files: Files, dataset: str = "events") -> Fileset:
    """A fileset of event files, of the content of a fileset's JSON, or of such a file.

    Raises:
        FilesetError: the content has a wrong key or value.
    """
    if isinstance(files, Mapping):
        parsed = all(isinstance(value, filesets.Dataset) for value in files.values())
        return dict(files) if parsed else filesets.parse(files)
    if isinstance(files, Iterable) and not isinstance(files, str):
        return filesets.parse({dataset: [str(as_path(path)) for path in files]})
    path = str(as_path(files))
    return filesets.read(path) if path.endswith(".json") else fileset_of([path], dataset)


def estimators_of(estimators: Estimators) -> list[Estimator]:
    """Estimators by name, or as they are."""
    given = estimators.split(",") if isinstance(estimators, str) else list(estimators)
    names = [each for each in given if isinstance(each, str)]
    named = {made.name: made for made in make_estimators(names)} if names or not given else {}
    return [named[each] if isinstance(each, str) else each for each in given]
