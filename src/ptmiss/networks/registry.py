"""Networks by their weights: the file of a name or path, and the network that it holds.

``load_model`` gives what makes pTmiss of candidates; ``load_weights`` also what makes candidates of elements, an MLPF, as
numbers, for which torch is not needed: ptmiss.models.mlpf.reconstruction.load makes a network of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import FileError, WeightsError, hint
from ptmiss.files import cached_by_file
from ptmiss.networks.deepmet import DeepMET
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import Linear
from ptmiss.networks.weights import Tensors, check_layout, read_tensors, write_tensors

WEIGHTS, CARD = "model.safetensors", "README.md"
FIXED = ("mean", "scale", "codebook")  # tensors of an MLPF, by the end of their names, that are not trained


class Weights(Protocol):
    """Anything that a weights file holds."""

    @property
    def architecture(self) -> str:
        """What kind of network it is."""

    @property
    def tensors(self) -> Tensors:
        """Its weights."""

    @property
    def name(self) -> str:
        """What it calls itself."""

    @property
    def padding(self) -> int:
        """Slots that it pads an event to with zeros; 0 for none."""

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""


class Model(Weights, Protocol):
    """Anything that makes pTmiss of candidates."""

    def evaluate(self, inputs: Inputs) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV."""


@dataclass(frozen=True)
class MLPF:
    """The weights of an MLPF, which makes candidates of elements and no pTmiss."""

    tensors: Tensors
    padding: int
    name: str
    architecture = "mlpf"

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(values.size for name, values in self.tensors.items() if name.rpartition(".")[2] not in FIXED)


ARCHITECTURES = {cls.architecture: cls for cls in (DeepMET, Linear, MLPF)}


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in _directory().glob(f"*/{WEIGHTS}"))


def weights_file(name_or_path: str | Path) -> Path:
    """The weights file of a shipped model's name, of a folder (model.safetensors in it), or of a path."""
    path = Path(name_or_path)
    if str(name_or_path) in shipped():
        return _directory() / path / WEIGHTS
    if path.is_dir():
        path = path / WEIGHTS
    if not path.exists():
        near = hint(str(name_or_path), shipped())
        raise FileError(f"no such weights file: {path}{near}; models of the package: {', '.join(shipped())}")
    return path


def _directory() -> Path:
    spec = find_spec("ptmiss.models")
    if spec is None or spec.origin is None:
        raise FileError("the package ptmiss.models is not installed")
    return Path(spec.origin).parent / "shipped"


def save_model(model: Model, path: Path, provenance: str) -> str:
    """Write a model's weights file, whole or not at all; return its hash."""
    described = {"architecture": model.architecture, "name": model.name, "padding": str(model.padding)}
    return write_tensors(path, model.tensors, {**described, "provenance": provenance})


def load_model(name_or_path: str | Path) -> Model:
    """A shipped model by its name, or that of a weights file or folder; each is read and checked once in a process."""
    path = weights_file(name_or_path)
    model = read_model(path)
    if not makes_met(model):
        raise WeightsError(
            f"{path} is an MLPF, which makes candidates and no pTmiss: it is the network of --estimators mlpf, and what "
            "ptmiss.models.mlpf.reconstruction.load reads"
        )
    return model


def load_weights(name_or_path: str | Path) -> Weights:
    """The same of any architecture."""
    return read_model(weights_file(name_or_path))


def makes_met(model: Weights) -> TypeGuard[Model]:
    """Whether a model makes pTmiss of candidates."""
    return hasattr(model, "evaluate")


@cached_by_file
def read_model(path: Path) -> Weights:
    """What a weights file holds."""
    tensors, metadata = read_tensors(path)
    architecture = ARCHITECTURES.get(metadata.get("architecture", ""))
    if architecture is None:
        known = ", ".join(map(repr, ARCHITECTURES))
        raise WeightsError(f"{path}: architecture {metadata.get('architecture')!r}, expected one of {known}")
    if architecture is MLPF:
        return MLPF(tensors, 0, metadata.get("name", path.parent.name))
    check_layout(path, metadata)
    return architecture(tensors, int(metadata["padding"]), metadata["name"])
