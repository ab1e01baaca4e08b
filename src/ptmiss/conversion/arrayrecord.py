"""ArrayRecord files of the public MLPF's TFDS data sets: an event is a serialised tf.Example of flat numbers.

``array_record`` reads the records, and protobuf alone the examples: TensorFlow is not needed. Tables are flat, ``X``
with 17 features a row, tracks first; a class is its number in CODES.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss.conversion.contents import Contents
from ptmiss.conversion.tables import (
    CLUSTER_FEATURES,
    CODES,
    JET_FEATURES,
    PARTICLE_FEATURES,
    TRACK_FEATURES,
    Tables,
    contents,
)
from ptmiss.errors import ColumnError, FileError, PtmissError
from ptmiss.events import first_line
from ptmiss.segments import Offsets, from_counts

KEYS = ("X", "ytarget", "ycand", "genmet", "genjets", "targetjets")
WIDTH = len(CLUSTER_FEATURES)
IS_TRACK = 1
CHUNK = 1000  # events

Event = dict[str, NDArray[Any]]


def read(path: str, limit: int | None = None, chunk: int = CHUNK) -> Iterator[Contents]:
    """The events of a file, some at a time."""
    reader = open_file(path)
    stop = min(reader.num_records(), limit or reader.num_records())
    for start in range(0, stop, chunk):
        try:
            found = reader.read(start, min(start + chunk, stop))
        except Exception as error:  # a damaged file can fail in any way
            raise FileError(f"{path} is not a readable ArrayRecord file: {first_line(error)}") from error
        events = [parse(content, f"{path}: event {start + i}") for i, content in enumerate(found)]
        yield contents(tables(events, path, start), path, start)


def open_file(path: str) -> Any:
    """A reader of a file's records; FileError if it is no such file, or ends too early."""
    module = library()
    try:
        reader = module.ArrayRecordReader(path)
        records = reader.num_records()
    except Exception as error:  # a damaged file can fail in any way
        raise FileError(f"{path} is not a readable ArrayRecord file: {first_line(error)}") from error
    if not records:
        raise FileError(f"{path} has no events")
    return reader


def library() -> Any:
    """The module that reads and writes ArrayRecord files."""
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise PtmissError("ArrayRecord files need array_record: pip install 'ptmiss[arrayrecord]'") from error
    return array_record_module


def parse(content: bytes, where: str) -> Event:
    """The numbers of an event by their keys; FileError if it is no tf.Example, ColumnError for a missing key."""
    try:
        features = example().FromString(content).features.feature
    except Exception as error:  # google.protobuf.message.DecodeError, without the import
        raise FileError(f"{where} is no tf.Example: {first_line(error)}") from error
    if missing := [key for key in KEYS if key not in features]:
        raise ColumnError(f"{where} has no {', '.join(missing)}; there: {', '.join(sorted(features)) or 'nothing'}")
    return {key: np.asarray(features[key].float_list.value, np.float32) for key in KEYS}


def tables(events: Sequence[Event], path: str, first: int) -> Tables:
    """Events as tables."""
    flat = [{key: table(event, key, f"{path}: event {first + i}") for key in KEYS} for i, event in enumerate(events)]
    whole = {key: np.concatenate([event[key] for event in flat]) for key in KEYS}
    x: NDArray[np.float64] = whole["X"]
    offsets = counted(flat, "X")
    track = x[:, 0] == IS_TRACK
    of_tracks, of_clusters = (np.concatenate([[0], np.cumsum(kind)])[offsets] for kind in (track, ~track))
    return Tables(
        tracks=x[track, : len(TRACK_FEATURES)],
        of_tracks=of_tracks,
        clusters=x[~track],
        of_clusters=of_clusters,
        target=codes(whole["ytarget"]),
        candidate=codes(whole["ycand"]),
        genmet=whole["genmet"][:, 0],
        generated=whole["genjets"],
        of_generated=counted(flat, "genjets"),
        target_jets=whole["targetjets"],
        of_target_jets=counted(flat, "targetjets"),
    )


def counted(events: Sequence[Event], key: str) -> Offsets:
    """Offsets (events + 1,) of the rows of a table."""
    return from_counts(np.asarray([len(event[key]) for event in events]))


def table(event: Event, key: str, where: str) -> NDArray[np.float64]:
    """Rows of one of an event's tables, (rows, features); FileError if its numbers do not make rows."""
    values, elements = event[key], len(event["X"]) / WIDTH
    widths = {"X": WIDTH, "genmet": 1, "genjets": len(JET_FEATURES), "targetjets": len(JET_FEATURES)}
    width = widths.get(key) or (len(values) / elements if elements else len(PARTICLE_FEATURES))
    least = widths.get(key, len(PARTICLE_FEATURES))
    if width != int(width) or width not in (least, least + (key not in widths)) or len(values) % int(width):
        raise FileError(
            f"{where}: {key} has {len(values)} numbers, which are no rows of {least} beside {elements:g} elements"
        )
    return values.reshape(-1, int(width)).astype(np.float64)


def codes(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same rows with PDG codes in place of their numbers in CODES; a number beyond stays, below zero."""
    number, known = rows[:, 0], np.asarray(CODES, np.float64)
    inside = (number >= 0) & (number < len(CODES)) & (number == np.rint(number))
    code = np.where(inside, known[np.where(inside, number, 0).astype(int)], -np.abs(number) - 1)
    return np.column_stack([code, rows[:, 1:]])


@cache
def example() -> Any:
    """The class of tf.Example, whose definition is: a map from names to lists of bytes, floats or integers."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="ptmiss/example.proto", package="ptmiss.example", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    lists = (("BytesList", field.TYPE_BYTES), ("FloatList", field.TYPE_FLOAT), ("Int64List", field.TYPE_INT64))
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(lists, 1):
        one = file.message_type.add(name=name)
        one.field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
        label = f"{name.removesuffix('List').lower()}_list"
        place = {"number": number, "type": field.TYPE_MESSAGE, "type_name": f".ptmiss.example.{name}"}
        feature.field.add(name=label, label=field.LABEL_OPTIONAL, oneof_index=0, **place)
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    value = {"type": field.TYPE_MESSAGE, "type_name": ".ptmiss.example.Feature"}
    entry.field.add(name="value", number=2, label=field.LABEL_OPTIONAL, **value)
    value["type_name"] = ".ptmiss.example.Features.FeatureEntry"
    features.field.add(name="feature", number=1, label=field.LABEL_REPEATED, **value)
    whole = file.message_type.add(name="Example")
    value["type_name"] = ".ptmiss.example.Features"
    whole.field.add(name="features", number=1, label=field.LABEL_OPTIONAL, **value)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ptmiss.example.Example"))
