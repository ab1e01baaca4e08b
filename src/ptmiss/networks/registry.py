"""Networks by name: the weights file of a name or path, and the network in it.

``load_model`` loads networks that make pTmiss of candidates. ``load_weights`` also loads the weights of an MLPF, which
makes candidates of elements, and of a network of superclusters. That needs no torch; ptmiss.models.mlpf.reconstruction
and ptmiss.networks.superclusters make networks of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import FileError, WeightsError, hint
from ptmiss.files import AnyPath, as_path, cached_by_file
from ptmiss.networks import card, store
from ptmiss.networks.attention import Attention
from ptmiss.networks.deepmet import DeepMET
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.linear import Linear
from ptmiss.networks.weights import Tensors, check_layout, fingerprint, layout, read_tensors, write_tensors

WEIGHTS, CARD = store.WEIGHTS, card.CARD
FIXED = ("mean", "scale", "codebook")  # last part of the names of tensors that are not trained
SUPERCLUSTERS = "superclusters"


class Weights(Protocol):
    """The content of any weights file."""

    @property
    def architecture(self) -> str:
        """The kind of network: ``deepmet``, ``attention``, ``linear``, ``mlpf`` or ``superclusters``."""

    @property
    def tensors(self) -> Tensors:
        """Its weights by name; the shape of each is that of its layer."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def padding(self) -> int:
        """Number of slots to which an event is padded with zeros; 0 for no padding."""

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""


class Model(Weights, Protocol):
    """A network that makes pTmiss of candidates."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it needs; those beyond FEATURES are sums over neighbours, pairs and latents."""

    @property
    def sees_neighbours(self) -> bool:
        """Whether a candidate's weight depends on the candidates around it."""

    @property
    def latents(self) -> int:
        """Number of an MLPF's latents that it needs of each candidate; 0 for none."""

    def evaluate(self, inputs: Inputs) -> NDArray[np.float32]:
        """The pTmiss of each event.

        Args:
            inputs: features, categories and offsets of candidates, see ptmiss.networks.inputs.

        Returns:
            px and py in GeV, shape (events, 2).
        """

    def outputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n,) or (n, m) what the network gives to each candidate."""

    def momentum_weights(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) factor with which minus the momentum of every candidate counts in pTmiss; outputs of all candidates."""

    def add(self, inputs: Inputs, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(events, k) sums over candidates of terms with their outputs."""

    def total(self, sums: NDArray[np.float64], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(events, 2) pTmiss in GeV of the sums, (events, k); counts: (events,) numbers of candidates."""


@dataclass(frozen=True)
class MLPF:
    """The weights of an MLPF, which makes candidates of elements, and not pTmiss."""

    tensors: Tensors = field(repr=False)
    padding: int
    name: str
    architecture = "mlpf"

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(values.size for name, values in self.tensors.items() if name.rpartition(".")[2] not in FIXED)


@dataclass(frozen=True)
class Superclusters(MLPF):
    """The weights of a network that makes superclusters of ECAL clusters, and not pTmiss."""

    architecture = SUPERCLUSTERS


OF_CANDIDATES = {cls.architecture: cls for cls in (DeepMET, Attention, Linear)}
OTHERS = {cls.architecture: cls for cls in (MLPF, Superclusters)}
ARCHITECTURES = (*OF_CANDIDATES, *OTHERS)


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in _directory().glob(f"*/{WEIGHTS}"))


def weights_file(name_or_path: AnyPath) -> Path:
    """The weights file of a model.

    name_or_path: the name of a shipped model or of one in a folder of PTMISS_MODELS, with ``@VERSION`` or without; a
    weights file, or a folder with one; a URL with the file's hash. See ptmiss.networks.store.
    """
    if isinstance(name_or_path, str) and store.is_url(name_or_path):
        return store.fetch(name_or_path)
    path = as_path(name_or_path)
    if len(path.parts) == 1 and (known := by_name(*store.split(str(path)))):
        return known
    if path.is_dir():
        path = path / WEIGHTS
    if not path.exists():
        there = [*shipped_models(), *store.names()]
        near = hint(str(name_or_path), there)
        raise FileError(f"no such weights file: {path}{near}; models by name: {', '.join(there)}")
    return path


def by_name(name: str, version: str) -> Path | None:
    """The weights file of a model by its name; None if neither the package nor a folder has it.

    The package's own model is taken without a version, and where its version begins so.
    """
    shipped = _directory() / name / WEIGHTS
    if not shipped.is_file():
        return store.find(name, version)
    if not version:
        return shipped
    own = card.read(shipped.with_name(CARD)).version
    if card.numbers(own)[: len(card.numbers(version))] == card.numbers(version):
        return shipped
    if found := store.find(name, version):
        return found
    raise FileError(f"no version {version} of model {name!r}; the package has {own}")


def _directory() -> Path:
    return Path(__file__).parents[1] / "models" / "shipped"


def save_model(model: Model, path: AnyPath, provenance: str) -> str:
    """Write a model's weights file, whole or not at all; return its hash."""
    metadata = {"architecture": model.architecture, "name": model.name, "padding": str(model.padding)}
    return write_tensors(path, model.tensors, {**metadata, "provenance": provenance}, layout(model.features))


def load_model(name_or_path: AnyPath) -> Model:
    """Load a network that makes pTmiss of candidates. Each file is read and checked once in a process.

    Args:
        name_or_path: a name (``ptmiss models list``), a weights file, a folder with one, or a URL; see weights_file.

    Returns:
        The network. ``evaluate`` takes its inputs, and ``DeepMET.met`` arrays of physical values.

    Raises:
        FileError: there is no such file.
        WeightsError: the file is damaged, or holds a network of another kind.
    """
    path = weights_file(name_or_path)
    model = read_model(path)
    if model.architecture == SUPERCLUSTERS:
        raise WeightsError(f"{path} holds a network of superclusters, which makes no pTmiss: ptmiss simulate runs it")
    if not makes_met(model):
        raise WeightsError(
            f"{path} holds an MLPF, which makes candidates and not pTmiss: --estimators mlpf --weights mlpf={path} "
            "runs it, and ptmiss.models.mlpf.reconstruction.load reads it"
        )
    return model


def load_weights(name_or_path: AnyPath) -> Weights:
    """The weights of any model, see :func:`weights_file`."""
    return read_model(weights_file(name_or_path))


def check(name_or_path: AnyPath) -> card.Card:
    """The card of a model, checked against its schema and against the weights beside it; WeightsError otherwise."""
    path = weights_file(name_or_path)
    weights, place = load_weights(name_or_path), path.with_name(CARD)
    found = card.read(place)
    actual = {"architecture": weights.architecture, "parameters": weights.parameters, "padding": weights.padding}
    card.check_fits(place, {"sha256": fingerprint(weights.tensors), **actual})
    return found


def makes_met(model: Weights) -> TypeGuard[Model]:
    """Whether a model makes pTmiss of candidates."""
    return hasattr(model, "evaluate")


@cached_by_file
def read_model(path: Path) -> Weights:
    """The content of a weights file, checked."""
    tensors, metadata = read_tensors(path)
    card.check_fits(path.with_name(CARD), {"sha256": metadata["sha256"]})
    kind = metadata.get("architecture", "")
    if kind in OTHERS:
        return OTHERS[kind](tensors, 0, metadata.get("name", path.parent.name))
    architecture = OF_CANDIDATES.get(kind)
    if architecture is None:
        known = ", ".join(map(repr, ARCHITECTURES))
        raise WeightsError(f"{path}: architecture {metadata.get('architecture')!r}, expected one of {known}")
    if missing := [name for name in ("padding", "name") if name not in metadata]:
        raise WeightsError(f"{path}: no {missing[0]} in its metadata")
    model = architecture(tensors, int(metadata["padding"]), metadata["name"])
    check_layout(path, metadata, model.features)
    return model
