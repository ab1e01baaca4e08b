"""Files of the public MLPF's formats, written of tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.conversion.arrayrecord import example, library
from ptmiss.conversion.contents import interleave
from ptmiss.conversion.tables import CLUSTER_FEATURES, CODES, Tables
from ptmiss.segments import Offsets


def write_parquet(parts: Iterable[Tables], path: Path) -> int:
    """Write one record with a list for each event, as the public MLPF does; returns the number of events."""
    found = [fields(tables) for tables in parts]
    record = {name: ak.concatenate([part[name] for part in found]) for name in found[0]}
    ak.to_parquet(ak.Record(record), path, compression="zstd")
    return len(record["genmet"])


def fields(tables: Tables) -> dict[str, ak.Array]:
    """The fields of a record, (events, var, features) each; genmet: (events, 1)."""
    places = interleave(tables.of_tracks, tables.of_clusters)
    sides = {"track": (places.first, tables.of_tracks), "cluster": (places.second, tables.of_clusters)}
    beside = {"ytarget": tables.target, "ycand": tables.candidate}
    return {
        "X_track": jagged(tables.tracks, tables.of_tracks),
        "X_cluster": jagged(tables.clusters, tables.of_clusters),
        **{f"{y}_{x}": jagged(rows[at], offsets) for y, rows in beside.items() for x, (at, offsets) in sides.items()},
        "genmet": ak.from_numpy(tables.genmet[:, np.newaxis], regulararray=False),
        "genjet": jagged(tables.generated, tables.of_generated),
        "targetjet": jagged(tables.target_jets, tables.of_target_jets),
    }


def jagged(rows: NDArray, offsets: Offsets) -> ak.Array:
    """Flat rows (n, features) by event, (events, var, var)."""
    return ak.unflatten(ak.from_regular(ak.from_numpy(rows, regulararray=True), axis=1), np.diff(offsets))


def write_arrayrecord(parts: Iterable[Tables], path: Path) -> int:
    """Write a serialised tf.Example for each event, as TFDS does; returns the number of events."""
    writer = library().ArrayRecordWriter(str(path), "group_size:1")
    events = 0
    for tables in parts:
        for event in range(len(tables.genmet)):
            writer.write(serialise(tables, event))
        events += len(tables.genmet)
    writer.close()
    return events


def serialise(tables: Tables, event: int) -> bytes:
    """One event as a tf.Example."""
    places = interleave(tables.of_tracks, tables.of_clusters)
    x = np.zeros((places.offsets[-1], len(CLUSTER_FEATURES)))
    x[places.first, : tables.tracks.shape[1]], x[places.second] = tables.tracks, tables.clusters
    own = slice(*places.offsets[event : event + 2])
    made, jets = slice(*tables.of_generated[event : event + 2]), slice(*tables.of_target_jets[event : event + 2])
    whole = example()()
    for key, rows in {
        "X": x[own],
        "ytarget": numbered(tables.target[own]),
        "ycand": numbered(tables.candidate[own]),
        "genmet": tables.genmet[event],
        "genjets": tables.generated[made],
        "targetjets": tables.target_jets[jets],
    }.items():
        whole.features.feature[key].float_list.value.extend(np.asarray(rows, np.float32).ravel().tolist())
    return bytes(whole.SerializeToString())


def numbered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same rows with numbers in CODES in place of the codes."""
    order = np.argsort(CODES)
    return np.column_stack([order[np.searchsorted(np.asarray(CODES)[order], rows[:, 0])], rows[:, 1:]])
