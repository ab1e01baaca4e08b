"""Weights files: safetensors with the description of the network and a SHA-256 of all tensors in their metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ptmiss.candidates import VOCABULARY
from ptmiss.errors import FileError, WeightsError
from ptmiss.files import AnyPath, as_path, digest, write_atomically
from ptmiss.networks.features import FEATURES, SCALE

METADATA = "metadata_sha256"

Tensors = Mapping[str, NDArray[np.float32]]

SCALES = {"scale": json.dumps({"pt": SCALE, "px": SCALE, "py": SCALE}), "vocabulary": json.dumps(VOCABULARY)}


def layout(features: Sequence[str] = FEATURES) -> dict[str, str]:
    """The order of the inputs of networks on candidates, as metadata."""
    return {"features": json.dumps(features)} | SCALES


def fingerprint(tensors: Tensors) -> str:
    """SHA-256 of the names, shapes and values of all tensors."""
    values = {name: np.ascontiguousarray(tensors[name], dtype="<f4") for name in sorted(tensors)}
    return digest(b"".join(f"{name}{array.shape}".encode() + array.tobytes() for name, array in values.items()))


def check_shapes(name: str, tensors: Tensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise WeightsError unless the tensors have exactly the expected names and shapes."""
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise WeightsError(f"model {name!r}: missing or unexpected tensors {', '.join(odd)}")
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise WeightsError(f"model {name!r}: {key} has shape {tensors[key].shape}, expected {shape}")


def write_tensors(
    path: AnyPath, tensors: Tensors, metadata: Mapping[str, str], inputs: Mapping[str, str] | None = None
) -> str:
    """Write a weights file, whole or not at all, with the order of its inputs in the metadata; return its hash.

    inputs: this order; that of networks on candidates if there is none.
    """
    sha256 = fingerprint(tensors)
    stated = {**metadata, **(layout() if inputs is None else inputs), "sha256": sha256}
    write_atomically(path, save(dict(tensors), {**stated, METADATA: metadata_digest(stated)}))
    return sha256


def metadata_digest(metadata: Mapping[str, str]) -> str:
    """SHA-256 of all metadata but itself: the padding and the order of the inputs change the answer too."""
    return digest(
        json.dumps({name: text for name, text in metadata.items() if name != METADATA}, sort_keys=True).encode()
    )


def read_tensors(path: AnyPath) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Tensors, in their shapes, and metadata of a weights file; WeightsError if its hash is wrong."""
    path = as_path(path)
    if not path.is_file():
        raise FileError(f"no such weights file: {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    if "sha256" not in metadata:
        kind = "is a training's checkpoint" if "state" in metadata else "has no SHA-256 in its metadata"
        raise WeightsError(f"{path} {kind}: it is not a weights file")
    found, stated = fingerprint(tensors), metadata["sha256"]
    if found != stated:
        raise WeightsError(f"{path}: the weights' SHA-256 is {found[:12]}…, the file states {stated[:12]}…")
    if metadata.get(METADATA, own := metadata_digest(metadata)) != own:
        raise WeightsError(f"{path}: its metadata were changed after it was written")
    return tensors, metadata


def check_layout(path: str | Path, metadata: Mapping[str, str], features: Sequence[str]) -> None:
    """Raise WeightsError unless features and vocabularies are those of the network, in the order of this code."""
    for key, expected in (("features", list(features)), ("vocabulary", {k: list(v) for k, v in VOCABULARY.items()})):
        stated = json.loads(metadata.get(key, "null"))
        if stated != expected:
            raise WeightsError(f"{path}: {key} {stated}, expected {expected}")
