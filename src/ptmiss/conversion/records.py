"""Parquet files of the public MLPF: one awkward record, whose fields have a list for each event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.conversion.contents import Contents, interleave
from ptmiss.conversion.tables import (
    CLUSTER_FEATURES,
    JET_FEATURES,
    PARTICLE_FEATURES,
    TRACK_FEATURES,
    Tables,
    contents,
)
from ptmiss.errors import ColumnError, FileError
from ptmiss.events import first_line
from ptmiss.segments import Offsets, from_counts

FIELDS = {
    "X_track": TRACK_FEATURES,
    "X_cluster": CLUSTER_FEATURES,
    **{f"{y}_{x}": PARTICLE_FEATURES for y in ("ytarget", "ycand") for x in ("track", "cluster")},
    "genjet": JET_FEATURES,
    "targetjet": JET_FEATURES,
}
"""Fields with rows of features; ``genmet`` has a number for each event."""


def read(path: str, limit: int | None = None) -> Iterator[Contents]:
    """The events of a file, all at once: there are about a hundred in each."""
    yield contents(tables(load(path), path, limit), path)


def load(path: str) -> Any:
    """The record of a file, with all fields; FileError or ColumnError otherwise."""
    try:
        record = ak.from_parquet(path)
    except Exception as error:  # a damaged file can fail in any way
        raise FileError(f"{path} is not a readable parquet file: {first_line(error)}") from error
    if missing := [name for name in (*FIELDS, "genmet") if name not in record.fields]:
        raise ColumnError(f"{path} has no {', '.join(missing)}; there: {', '.join(record.fields) or 'no fields'}")
    return record


def tables(record: Any, path: str, limit: int | None = None) -> Tables:
    """The first events of a record as tables."""
    found = {name: rows(record[name][:limit], features, f"{path}: {name}") for name, features in FIELDS.items()}
    (tracks, of_tracks), (clusters, of_clusters) = found["X_track"], found["X_cluster"]
    places = interleave(of_tracks, of_clusters)
    beside = {}
    for name in ("ytarget", "ycand"):
        width = max(found[f"{name}_{kind}"][0].shape[1] for kind in ("track", "cluster"))
        beside[name] = np.zeros((places.offsets[-1], width))
        for kind, where, offsets in (("track", places.first, of_tracks), ("cluster", places.second, of_clusters)):
            values, mine = found[f"{name}_{kind}"]
            if len(mine) != len(offsets) or (mine != offsets).any():
                raise FileError(f"{path}: {name}_{kind} has {len(values)} rows for the {len(where)} of X_{kind}")
            beside[name][where] = values if len(values) else 0
    genmet = ak.to_numpy(ak.flatten(record["genmet"][:limit], axis=None)).astype(np.float64)
    return Tables(
        *(tracks, of_tracks, clusters, of_clusters, beside["ytarget"], beside["ycand"]),
        *(genmet, *found["genjet"], *found["targetjet"]),
    )


def rows(field: ak.Array, features: Sequence[str], what: str) -> tuple[NDArray[np.float64], Offsets]:
    """Flat rows of features of a field (events, var, features), and offsets; there may be more features than named."""
    counts = np.asarray(ak.num(field, axis=1))
    widths = np.unique(ak.to_numpy(ak.flatten(ak.num(field, axis=2)))) if counts.sum() else np.asarray([len(features)])
    most = len(features) + (features is PARTICLE_FEATURES)
    if len(widths) > 1 or not len(features) <= widths[0] <= most:
        raise FileError(f"{what} has rows of {', '.join(map(str, widths))} features, expected {len(features)}")
    flat = ak.to_numpy(ak.flatten(field, axis=None)).astype(np.float64)
    return flat.reshape(-1, widths[0]), from_counts(counts)
