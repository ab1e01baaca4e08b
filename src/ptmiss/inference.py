"""Networks run on flat candidates, from a weights file alone: no training code, no padding, nothing that can run code.

A weights file is safetensors. Its metadata say what the network is: feature order, scales, vocabularies, padding,
provenance, and a SHA-256 over all tensors, which is checked when the file is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ptmiss.errors import FileError, WeightsError
from ptmiss.files import write_atomically
from ptmiss.segments import Offsets, select, sum_by_event

FEATURES = ("dxy", "dz", "eta", "mass", "pt", "puppiWeight", "px", "py")
CATEGORIES = ("charge", "pdgId", "fromPV")
VOCABULARY = {
    "charge": (-1, 0, 1),
    "pdgId": (-211, -13, -11, 0, 1, 2, 11, 13, 22, 130, 211),
    "fromPV": (0, 1, 2, 3),
}
SCALE = 50.0  # GeV: pt, px and py enter the network divided by it
OVERFLOW = 1e6  # scaled momenta beyond it count as zero, as in CMSSW
EPSILON = 1e-3  # of the batch normalisation
BLOCK = 1024  # candidates at a time: the layers' outputs stay in the second-level cache
WIDTHS = (64, 32, 16)

Tensors = Mapping[str, NDArray[np.float32]]


def fingerprint(tensors: Tensors) -> str:
    """SHA-256 over names, shapes and values of all tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        digest.update(f"{name}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def deepmet_shapes(embedding: tuple[int, int, int] = (8, 8, 8)) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a DeepMET with so many embedding outputs per category."""
    shapes: dict[str, tuple[int, ...]] = {
        f"embedding.{name}": (len(VOCABULARY[name]), width) for name, width in zip(CATEGORIES, embedding, strict=True)
    }
    inputs = len(FEATURES) + sum(embedding)
    for layer, width in enumerate(WIDTHS, start=1):
        shapes |= {f"dense{layer}.kernel": (inputs, width), f"dense{layer}.bias": (width,)}
        shapes |= {f"norm{layer}.{part}": (width,) for part in ("gamma", "beta", "mean", "variance")}
        inputs = width
    return shapes | {
        "dense4.kernel": (inputs, 3),
        "dense4.bias": (3,),
        "output.kernel": (4, 2),
        "output.bias": (2,),
    }


@dataclass(frozen=True)
class DeepMET:
    """The DeepMET network (CMSSW's DeepMETProducer; CMS-JME-24-001), evaluated over flat candidates.

    Every candidate gets ``(w, bx, by)``; the event's pTmiss is a linear map of the four sums over candidates of
    ``(w - 1) (bx, by, px / 50, py / 50)``. CMSSW pads events with zeros to ``padding`` slots, and a zero slot is not
    neutral: what ``padding - n`` of them add is added here as a count times a constant. A model with ``padding = 0``
    has no such term.
    """

    tensors: Tensors
    padding: int = 0
    name: str = "deepmet"

    def __post_init__(self) -> None:
        embedding = tuple(
            self.tensors[f"embedding.{c}"].shape[-1] for c in CATEGORIES if f"embedding.{c}" in self.tensors
        )
        if len(embedding) != len(CATEGORIES):
            raise WeightsError(f"model {self.name!r}: not a DeepMET, has tensors {', '.join(sorted(self.tensors))}")
        check_shapes(self.name, self.tensors, deepmet_shapes(embedding))

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: all but the moving moments of the normalisation."""
        moments = (".mean", ".variance")
        return sum(t.size for name, t in self.tensors.items() if not name.endswith(moments))

    @cached_property
    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(kernel, bias) of the four dense layers, each with the normalisation before it folded in."""
        folded = [(self._double("dense1.kernel"), self._double("dense1.bias"))]
        for layer in (1, 2, 3):
            scale = self._double(f"norm{layer}.gamma") / np.sqrt(self._double(f"norm{layer}.variance") + EPSILON)
            shift = self._double(f"norm{layer}.beta") - scale * self._double(f"norm{layer}.mean")
            kernel = self._double(f"dense{layer + 1}.kernel")
            folded.append((scale[:, np.newaxis] * kernel, self._double(f"dense{layer + 1}.bias") + shift @ kernel))
        return [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in folded]

    @cached_property
    def category_table(self) -> NDArray[np.float32]:
        """First-layer input, shape (3 * 11 * 4, 64), of each combination of the three categories, bias included."""
        kernel, start, parts = self._double("dense1.kernel"), len(FEATURES), []
        for category in CATEGORIES:
            embedding = self._double(f"embedding.{category}")
            stop = start + embedding.shape[1]
            parts.append(embedding @ kernel[start:stop])
            start = stop
        charge, pdg_id, from_pv = parts
        table = charge[:, None, None] + pdg_id[None, :, None] + from_pv[None, None, :] + self._double("dense1.bias")
        return table.reshape(-1, table.shape[-1]).astype(np.float32)

    def weights(self, features: NDArray[np.float32], categories: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n, 3): weight ``w`` and bias ``bx``, ``by`` (in units of 50 GeV) of every candidate; see :meth:`met`."""
        features, combination = scaled(features), combinations(categories)
        out = np.empty((len(features), 3), np.float32)
        for block in blocks(len(features)):
            out[block] = self._dense(features[block], combination[block])
        return out

    def met(
        self, features: NDArray[np.float32], categories: NDArray[np.integer], offsets: Offsets
    ) -> NDArray[np.float32]:
        """PTmiss of each event.

        features: (n, 8) float32, ``dxy dz eta mass pt puppiWeight px py`` in cm and GeV.
        categories: (n, 3) integers, ``charge pdgId fromPV``, physical values.
        offsets: (events + 1,), first candidate of each event.
        Returns (events, 2) float32, px and py in GeV. With padding, candidates beyond it do not count, as in CMSSW.
        """
        check_inputs(features, categories, offsets)
        if self.padding:
            keep = within(self.padding, offsets)
            if not keep.all():
                features, categories, offsets = features[keep], categories[keep], select(keep, offsets)
        sums = sum_by_event(contributions(self.weights(features, categories), features[:, 6:8]), offsets)
        if self.padding:
            sums += (self.padding - np.diff(offsets))[:, np.newaxis] * self.empty_slot
        met = SCALE * (sums @ self._double("output.kernel") + self._double("output.bias"))
        return met.astype(np.float32)

    @cached_property
    def empty_slot(self) -> NDArray[np.float64]:
        """What one zero slot adds to the four sums: features 0 and category indices 0, 0, 0."""
        weights = self._dense(np.zeros((1, len(FEATURES)), np.float32), np.zeros(1, np.intp))
        return contributions(weights, np.zeros((1, 2)))[0]

    def _dense(self, features: NDArray[np.float32], combination: NDArray[np.intp]) -> NDArray[np.float32]:
        x = features @ self.layers[0][0][: len(FEATURES)]
        x += self.category_table[combination]
        for kernel, bias in self.layers[1:]:
            x = np.tanh(x, out=x) @ kernel
            x += bias
        return x

    def _double(self, name: str) -> NDArray[np.float64]:
        return self.tensors[name].astype(np.float64)


def blocks(n: int) -> Iterator[slice]:
    """Consecutive slices of at most BLOCK entries."""
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def contributions(weights: NDArray, momentum: NDArray) -> NDArray[np.float64]:
    """(n, 4): ``(w - 1) (bx, by, px / 50, py / 50)`` of candidates with momentum (n, 2) in GeV."""
    terms = np.concatenate([weights[:, 1:], momentum / SCALE], axis=1, dtype=np.float64)
    return (weights[:, :1].astype(np.float64) - 1) * terms


def scaled(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features as the network takes them: momenta divided by 50 GeV, those beyond 1e6 set to zero."""
    features = np.array(features, np.float32)
    momenta = features[:, [4, 6, 7]] / np.float32(SCALE)
    features[:, [4, 6, 7]] = np.where(np.abs(momenta) > OVERFLOW, np.float32(0), momenta)
    return features


@cache
def _positions(name: str) -> tuple[int, NDArray[np.intp]]:
    """Lowest value of a vocabulary, and the position of every integer from there to the highest; -1 if it is none."""
    values = np.asarray(VOCABULARY[name])
    positions = np.full(values[-1] - values[0] + 1, -1, np.intp)
    positions[values - values[0]] = np.arange(len(values))
    return int(values[0]), positions


def combinations(categories: NDArray[np.integer]) -> NDArray[np.intp]:
    """Row of the category table for (n, 3) physical values of charge, pdgId and fromPV."""
    row = np.zeros(len(categories), np.intp)
    for column, name in enumerate(CATEGORIES):
        lowest, positions = _positions(name)
        found = positions.take(categories[:, column] - lowest, mode="clip")
        unknown = (found < 0) | (categories[:, column] < lowest) | (categories[:, column] >= lowest + len(positions))
        if unknown.any():
            at = int(np.argmax(unknown))
            raise ValueError(f"{name} {categories[at, column]} of candidate {at} is not among {VOCABULARY[name]}")
        row *= len(VOCABULARY[name])
        row += found
    return row


def within(limit: int, offsets: Offsets) -> NDArray[np.bool_]:
    """Which candidates are among the first ``limit`` of their event."""
    counts = np.diff(offsets)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts) < limit


def check_inputs(features: NDArray, categories: NDArray, offsets: Offsets) -> None:
    """Raise ValueError unless the three arrays belong together."""
    n = len(features)
    if features.shape != (n, len(FEATURES)) or categories.shape != (n, len(CATEGORIES)):
        raise ValueError(
            f"features and categories must have shapes (n, {len(FEATURES)}) and (n, {len(CATEGORIES)}), "
            f"not {features.shape} and {categories.shape}"
        )
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != n or np.any(np.diff(offsets) < 0):
        raise ValueError(f"offsets must rise from 0 to the number of candidates, {n}")


def check_shapes(name: str, tensors: Tensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise WeightsError unless the tensors are exactly those expected."""
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise WeightsError(f"model {name!r}: missing or unexpected tensors {', '.join(odd)}")
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise WeightsError(f"model {name!r}: {key} has shape {tensors[key].shape}, expected {shape}")


def save_model(model: DeepMET, path: Path, provenance: str) -> str:
    """Write a model's weights file, whole or not at all; return its hash."""
    digest = fingerprint(model.tensors)
    metadata = {
        "architecture": "deepmet",
        "name": model.name,
        "features": json.dumps(FEATURES),
        "scale": json.dumps({"pt": SCALE, "px": SCALE, "py": SCALE}),
        "vocabulary": json.dumps(VOCABULARY),
        "padding": str(model.padding),
        "provenance": provenance,
        "sha256": digest,
    }
    write_atomically(path, save(dict(model.tensors), metadata))
    return digest


@lru_cache(maxsize=16)
def load_model(path: str | Path) -> DeepMET:
    """Read and check a weights file; each is read once in a process."""
    tensors, metadata = read_tensors(Path(path))
    if metadata.get("architecture") != "deepmet":
        raise WeightsError(f"{path}: architecture {metadata.get('architecture')!r}, expected 'deepmet'")
    check_layout(path, metadata)
    return DeepMET(tensors, int(metadata["padding"]), metadata["name"])


def read_tensors(path: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Tensors and metadata of a weights file whose hash is right."""
    if not path.is_file():
        raise FileError(f"no such weights file: {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from error
    found, stated = fingerprint(tensors), metadata.get("sha256")
    if found != stated:
        raise WeightsError(f"{path}: the weights' SHA-256 is {found[:12]}…, the file states {str(stated)[:12]}…")
    return tensors, metadata


def check_layout(path: str | Path, metadata: Mapping[str, str]) -> None:
    """Raise WeightsError unless features and vocabularies are in the order that this code uses."""
    for key, expected in (("features", list(FEATURES)), ("vocabulary", {k: list(v) for k, v in VOCABULARY.items()})):
        stated = json.loads(metadata.get(key, "null"))
        if stated != expected:
            raise WeightsError(f"{path}: {key} {stated}, expected {expected}")
