"""DeepMET on flat candidates, from a weights file alone: without training code and without padding.

Three backends give the same pTmiss to 2e-3 GeV: ``compiled`` (numba), ``numpy``, and ``torch``. The default is
``torch`` if there is a CUDA device, else ``compiled``. The environment variable PTMISS_BACKEND chooses another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import UnknownName, WeightsError
from ptmiss.networks.features import FEATURES, NEIGHBOURS, SCALE
from ptmiss.networks.inputs import Inputs, within
from ptmiss.networks.weights import Tensors, check_shapes
from ptmiss.segments import Offsets, sum_by_event

EPSILON = 1e-3  # of the batch normalisation
CONTEXT = "context.kernel"  # the rows of the first layer for NEIGHBOURS, if a network has them
SEEN = "latents.kernel"  # those for the latents of an MLPF, if it has them too
WIDTHS = (64, 32, 16)
BLOCK, CUDA_BLOCK = 1024, 1 << 20  # candidates at a time: the outputs of a layer fit into cache or device memory
BACKENDS = ("compiled", "numpy", "torch")
BACKEND = "PTMISS_BACKEND"


def deepmet_shapes(
    embedding: tuple[int, ...] = (8, 8, 8), widths: tuple[int, ...] = WIDTHS, context: int = 0, latents: int = 0
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a DeepMET with these widths of the embeddings and of the hidden layers.

    context, latents: numbers of sums over neighbours and of latents that it has as features.
    """
    shapes: dict[str, tuple[int, ...]] = {
        f"embedding.{name}": (len(VOCABULARY[name]), width) for name, width in zip(CATEGORIES, embedding, strict=True)
    }
    shapes |= {CONTEXT: (context, widths[0])} if context else {}
    shapes |= {SEEN: (latents, widths[0])} if latents else {}
    inputs = len(FEATURES) + sum(embedding)
    for layer, width in enumerate(widths, start=1):
        shapes |= {f"dense{layer}.kernel": (inputs, width), f"dense{layer}.bias": (width,)}
        shapes |= {f"norm{layer}.{part}": (width,) for part in ("gamma", "beta", "mean", "variance")}
        inputs = width
    return shapes | {
        "dense4.kernel": (inputs, 3),
        "dense4.bias": (3,),
        "output.kernel": (4, 2),
        "output.bias": (2,),
    }


@cache
def thread_pools() -> ThreadpoolController:
    """The thread pools of the libraries that multiply matrices."""
    import_module("scipy.linalg")  # numba takes its BLAS from scipy
    return ThreadpoolController()


@dataclass(frozen=True)
class DeepMET:
    """The DeepMET network (CMSSW's DeepMETProducer; CMS-JME-24-001) on flat candidates.

    Every candidate gets ``(w, bx, by)``. The event's pTmiss is a linear map of the four sums over candidates of
    ``(w - 1) (bx, by, px / 50, py / 50)``. CMSSW pads events with zeros to ``padding`` slots, and an empty slot is not
    neutral. The contribution of ``padding - n`` empty slots is added here as a count times a constant. A model with
    ``padding = 0`` has no such term.

    With a tensor ``context.kernel`` the first layer also has the sums over neighbours (ptmiss.networks.neighbours), and
    with ``latents.kernel`` beside it what the MLPF that made the candidates knows of each.
    """

    tensors: Tensors = field(repr=False)
    padding: int = 0
    name: str = "deepmet"
    architecture = "deepmet"

    def __post_init__(self) -> None:
        embedding = tuple(
            self.tensors[f"embedding.{c}"].shape[-1] for c in CATEGORIES if f"embedding.{c}" in self.tensors
        )
        if len(embedding) != len(CATEGORIES):
            raise WeightsError(f"model {self.name!r} is not a DeepMET; its tensors: {', '.join(sorted(self.tensors))}")
        biases = [self.tensors.get(f"dense{layer}.bias") for layer in range(1, len(WIDTHS) + 1)]
        widths = tuple(WIDTHS[i] if bias is None else bias.size for i, bias in enumerate(biases))
        context = len(NEIGHBOURS) if self.sees_neighbours else 0
        check_shapes(self.name, self.tensors, deepmet_shapes(embedding, widths, context, self.latents))
        if self.padding and self.sees_neighbours:
            raise WeightsError(f"model {self.name!r}: padding and sums over neighbours exclude each other")

    @property
    def sees_neighbours(self) -> bool:
        """Whether a candidate's weight depends on the candidates around it."""
        return CONTEXT in self.tensors

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it needs."""
        around = NEIGHBOURS if self.sees_neighbours else ()
        return (*FEATURES, *around, *(f"latent{number}" for number in range(self.latents)))

    @property
    def latents(self) -> int:
        """Number of an MLPF's latents that it needs of each candidate; 0 for none."""
        return len(self.tensors[SEEN]) if self.sees_neighbours and SEEN in self.tensors else 0

    @property
    def parameters(self) -> int:
        """Number of trainable parameters: all but the moving moments of the normalisation."""
        moments = (".mean", ".variance")
        return sum(t.size for name, t in self.tensors.items() if not name.endswith(moments))

    @cached_property
    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(kernel, bias) of the four dense layers, each including the normalisation before it."""
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

    def met(
        self, features: NDArray[np.float32], categories: NDArray[np.integer], offsets: Offsets
    ) -> NDArray[np.float32]:
        """The pTmiss of each event. A model with padding ignores candidates beyond it, as CMSSW does.

        Args:
            features: (n, 8) float32, ``dxy dz eta mass pt puppiWeight px py`` in cm and GeV.
            categories: (n, 3) integers, ``charge pdgId fromPV``, physical values.
            offsets: (events + 1,), first candidate of each event.

        Returns:
            px and py in GeV, shape (events, 2), float32.
        """
        return self.evaluate(Inputs.of(features, categories, offsets))

    def weights(self, features: NDArray[np.float32], categories: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n, 3) weight ``w`` and bias ``bx``, ``by`` (in units of 50 GeV) of every candidate; see :meth:`met`."""
        return self.outputs(Inputs.of(features, categories, np.asarray([0, len(features)])))

    def evaluate(self, inputs: Inputs) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV; see :meth:`met`."""
        if self.padding:
            inputs = inputs.keep(within(self.padding, inputs.offsets))
        return self.total(self.sums(inputs), np.diff(inputs.offsets))

    def sums(self, inputs: Inputs) -> NDArray[np.float64]:
        """(events, 4) sums over the candidates, see ``add``; compiled, without an array of outputs."""
        if backend() != "compiled":
            return self.add(inputs, self.outputs(inputs))
        from ptmiss.networks import kernels

        layers, *beside = self.compiled_layers, self.context(inputs), self._compiled_seen(inputs)
        return kernels.weighted_sums(inputs.features, inputs.rows, inputs.offsets, layers, *beside)

    def total(self, sums: NDArray[np.float64], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV, of the sums over candidates, (events, 4), and their number, (events,)."""
        if self.padding:
            sums = sums + (self.padding - counts)[:, np.newaxis] * self.empty_slot
        met = SCALE * (sums @ self._double("output.kernel") + self._double("output.bias"))
        return met.astype(np.float32)

    def add(self, inputs: Inputs, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(events, 4) sums of ``(w - 1) (bx, by, px / 50, py / 50)`` over the candidates; outputs: (n, 3)."""
        if backend() == "numpy":
            return sum_by_event(contributions(outputs, inputs.features[:, 6:8]), inputs.offsets)
        from ptmiss.networks import kernels

        return kernels.sum_contributions(outputs, inputs.features, inputs.offsets)

    def momentum_weights(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) factor with which minus the momentum of every candidate counts in pTmiss; outputs: (n, 3)."""
        kernel = self._double("output.kernel")
        return (1 - outputs[:, 0].astype(np.float64)) * (kernel[2, 0] + kernel[3, 1]) / 2

    def outputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, 3) ``w bx by`` of every candidate, by the backend in use.

        One thread multiplies the matrices. With several, the order of the sums and so the last bits would depend on
        the machine.
        """
        if backend() != "numpy":
            return self._by_torch(inputs) if backend() == "torch" else self._by_kernels(inputs)
        with thread_pools().limit(limits=1, user_api="blas"):
            return self._by_numpy(inputs)

    @cached_property
    def empty_slot(self) -> NDArray[np.float64]:
        """(4,) contribution of an empty slot to the four sums: features 0 and category indices 0, 0, 0."""
        slot = Inputs(np.zeros((1, len(FEATURES)), np.float32), np.zeros(1, np.uint8), np.asarray([0, 1]))
        return contributions(self.outputs(slot), slot.features[:, 6:8])[0]

    @property
    def first_kernel(self) -> NDArray[np.float32]:
        """(8, 64) kernel of the features in the first layer; that of the categories is in the table."""
        return self.layers[0][0][: len(FEATURES)]

    def _by_numpy(self, inputs: Inputs) -> NDArray[np.float32]:
        out, seen = np.empty((len(inputs.features), 3), np.float32), self.seen(inputs)
        for block in blocks(len(out), BLOCK):
            x = inputs.features[block] @ self.first_kernel
            x += self.category_table[inputs.rows[block]]
            if self.sees_neighbours:
                x += inputs.neighbours[block] @ self.tensors[CONTEXT]
            if seen is not None:
                x += seen[block]
            for kernel, bias in self.layers[1:]:
                x = np.tanh(x, out=x) @ kernel
                x += bias
            out[block] = x
        return out

    def _by_kernels(self, inputs: Inputs) -> NDArray[np.float32]:
        from ptmiss.networks import kernels

        layers, *beside = self.compiled_layers, self.context(inputs), self._compiled_seen(inputs)
        return kernels.weights(inputs.features, inputs.rows, layers, *beside, None)

    @cached_property
    def compiled_layers(self) -> tuple[Any, ...]:
        """Table and kernels of all layers, as ptmiss.networks.kernels takes them."""
        from ptmiss.networks.lanes import padded

        *hidden, (kernel, bias) = self.layers[1:]
        first = padded(self.category_table, 1), padded(self.first_kernel, 1)
        return *first, *((padded(w, 0, 1), padded(b, 0)) for w, b in hidden), (padded(kernel.T, 1), bias)

    def context(self, inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Sums over neighbours, (n, 6), and their kernel for ptmiss.networks.kernels, if the network has them."""
        from ptmiss.networks.lanes import padded

        return (inputs.neighbours, padded(self.tensors[CONTEXT], 1)) if self.sees_neighbours else None

    def _compiled_seen(self, inputs: Inputs) -> NDArray[np.float32] | None:
        from ptmiss.networks.lanes import padded

        seen = self.seen(inputs)
        return None if seen is None else padded(seen, 1)

    def seen(self, inputs: Inputs) -> NDArray[np.float32] | None:
        """(n, 64) what the latents add to the first layer, if the network has them; ValueError if the inputs do not."""
        if not self.latents:
            return None
        if inputs.latents is None or inputs.latents.shape[1] != self.latents:
            there = 0 if inputs.latents is None else inputs.latents.shape[1]
            raise ValueError(f"model {self.name!r} needs {self.latents} latents of each candidate, not {there}")
        with thread_pools().limit(limits=1, user_api="blas"):
            return inputs.latents.astype(np.float32) @ self.tensors[SEEN]

    def _by_torch(self, inputs: Inputs) -> NDArray[np.float32]:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        first, *layers = ([torch.from_numpy(a).to(device) for a in layer] for layer in self.layers)
        kernel1, table = first[0][: len(FEATURES)], torch.from_numpy(self.category_table).to(device)
        out, seen = np.empty((len(inputs.features), 3), np.float32), self.seen(inputs)
        for block in blocks(len(out), CUDA_BLOCK if device == "cuda" else BLOCK):
            features, rows = (torch.from_numpy(a[block]).to(device) for a in (inputs.features, inputs.rows))
            x = torch.addmm(table[rows.long()], features, kernel1)
            if self.sees_neighbours:
                around, kernel = (
                    torch.from_numpy(a).to(device) for a in (inputs.neighbours[block], self.tensors[CONTEXT])
                )
                x = torch.addmm(x, around, kernel)
            if seen is not None:
                x += torch.from_numpy(seen[block]).to(device)
            for kernel, bias in layers:
                x = torch.addmm(bias, torch.tanh(x), kernel)
            out[block] = x.cpu().numpy()
        return out

    def _double(self, name: str) -> NDArray[np.float64]:
        return self.tensors[name].astype(np.float64)


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` entries."""
    return (slice(start, start + size) for start in range(0, n, size))


def backend() -> str:
    """The backend in use: that in PTMISS_BACKEND, else torch if there is a CUDA device, else compiled."""
    chosen = os.environ.get(BACKEND)
    if chosen is None:
        return "torch" if _cuda() else "compiled"
    if chosen not in BACKENDS:
        raise UnknownName(f"backend in {BACKEND}", chosen, BACKENDS)
    return chosen


@cache
def _cuda() -> bool:
    if not Path("/dev/nvidiactl").exists():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def contributions(weights: NDArray, momentum: NDArray) -> NDArray[np.float64]:
    """(n, 4) ``(w - 1) (bx, by, px / 50, py / 50)`` of candidates with weights (n, 3) and momentum (n, 2) / 50 GeV."""
    terms = np.concatenate([weights[:, 1:], momentum], axis=1, dtype=np.float64)
    return (weights[:, :1].astype(np.float64) - 1) * terms
