"""DeepMET as a torch module, for training. ptmiss.networks.deepmet runs its weights files without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ptmiss.candidates import CATEGORIES, LATENTS, VOCABULARY
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators.network import NEEDED
from ptmiss.networks.attention import Attention as AttentionModel
from ptmiss.networks.deepmet import EPSILON, WIDTHS, DeepMET
from ptmiss.networks.features import FEATURES, SCALE
from ptmiss.networks.kernels import tanh_, tanh_gradient
from ptmiss.networks.registry import Model

from .attention import Attention, Linear
from .context import Context
from .dataset import Batch

Name = Literal[
    "cmssw-v1",
    "jme-24-001",
    "neighbours",
    "latents",
    "attention",
    "96-48-24",
    "128-64-32",
    "relu",
    "silu",
    "standardised",
    "event-sums",
    "event-recoil",
]


@dataclass(frozen=True)
class Layout:
    """The layout of a network.

    embedding: outputs of the embeddings of charge, pdgId and fromPV. widths: outputs of the three hidden layers.
    activation: that of each hidden layer. standardised: features have mean 0 and width 1. context: features of a
    candidate's surroundings, see ptmiss.models.deepmet.context. latents: number of those of the MLPF that made the
    candidates. attention: whether candidates attend to their neighbours.
    """

    embedding: tuple[int, int, int] = (8, 8, 8)
    widths: tuple[int, int, int] = WIDTHS
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    standardised: bool = False
    context: Literal["none", "sums", "recoil", "neighbours"] = "none"
    latents: int = 0
    attention: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of candidates that it needs."""
        return (*NEEDED, LATENTS) if self.latents else NEEDED

    @property
    def is_deepmet(self) -> bool:
        """Whether ptmiss.networks can run it."""
        return self.activation == "tanh" and self.context in ("none", "neighbours")


LAYOUTS: dict[str, Layout] = {
    "cmssw-v1": Layout(),
    "jme-24-001": Layout(embedding=(4, 8, 3)),
    "neighbours": Layout(context="neighbours"),
    "latents": Layout(context="neighbours", latents=64),
    "attention": Layout(context="neighbours", attention=True),
    "96-48-24": Layout(widths=(96, 48, 24)),
    "128-64-32": Layout(widths=(128, 64, 32)),
    "relu": Layout(activation="relu"),
    "silu": Layout(activation="silu"),
    "standardised": Layout(standardised=True),
    "event-sums": Layout(context="sums"),
    "event-recoil": Layout(context="recoil"),
}
"""``cmssw-v1`` is that of the released graphs (5149 trainable parameters), ``jme-24-001`` that of the measurement's
talk (4541). The others are this project's."""

BIAS_SCALE = 0.01  # biases are summed over two thousand candidates, so they start small and learn slowly
PUPPI = FEATURES.index("puppiWeight")
MOMENTUM = slice(6, 8)


class Tanh(torch.autograd.Function):
    """Hyperbolic tangent in place. On a CPU it is inference's kernel, which is ten times as fast as torch's."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """The tangent of x, of the same shape, written over x."""
        if x.is_cuda:
            torch.tanh_(x)
        else:
            tanh_(x.detach().numpy().reshape(-1))
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """The gradient with respect to x, of the same shape."""
        (y,) = ctx.saved_tensors
        if y.is_cuda:
            return gradient * (1 - y * y)
        flat = gradient.contiguous().numpy().reshape(-1)
        return torch.from_numpy(tanh_gradient(flat, y.detach().numpy().reshape(-1))).view_as(y)


ACTIVATIONS = {"tanh": Tanh.apply, "relu": nn.functional.relu, "silu": nn.functional.silu}


class Standard(nn.Module):
    """Features with mean 0 and width 1. The moments are measured once; for inference they join the first layer."""

    mean: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("width", torch.ones(len(FEATURES)))

    def measure(self, features: Tensor) -> None:
        """Measure the moments of features (candidates, 8); a constant feature keeps its scale."""
        self.mean, width = features.mean(dim=0), features.std(dim=0)
        self.width = torch.where(width > 0, width, torch.ones_like(width))

    def forward(self, features: Tensor) -> Tensor:
        """(candidates, 8) standardised features."""
        return (features - self.mean) / self.width

    def fold(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        """Remove the moments, shape (8,), from a network's tensors, and change its first layer accordingly."""
        mean, width = tensors.pop("standard.mean"), tensors.pop("standard.width")
        kernel = tensors["dense1.kernel"][: len(FEATURES)]
        kernel /= width[:, np.newaxis]
        tensors["dense1.bias"] -= mean @ kernel


class Latents(nn.Module):
    """What latents add to the first layer: a kernel (latents, width) that begins at zero."""

    def __init__(self, latents: int, width: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(latents, width))

    def forward(self, batch: Batch) -> Tensor:
        """(candidates, width)."""
        return batch.latents.float() @ self.kernel


class Norm(nn.Module):
    """Batch normalisation with moments that are measured once, before the training, and then fixed.

    With fixed moments it is a linear map, and part of the next layer.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def measure(self, x: Tensor) -> None:
        """Measure the moments of x (candidates, width)."""
        self.mean, self.variance = x.mean(dim=0), x.var(dim=0, unbiased=False)

    def fold_into(self, dense: Linear) -> tuple[Tensor, Tensor]:
        """Kernel (width, outputs) and bias (outputs,) of the normalisation followed by a dense layer."""
        scale = self.gamma * torch.rsqrt(self.variance + EPSILON)
        return scale[:, None] * dense.kernel, dense.bias + (self.beta - scale * self.mean) @ dense.kernel


@dataclass(frozen=True)
class Inputs:
    """Options of a network: PUPPI weights as a feature, and bias terms beside the candidates' weights."""

    puppi: bool = True
    biases: bool = True


class Network(nn.Module):
    """The DeepMET of CMS-JME-24-001: (w, bx, by) for each candidate, and pTmiss from the sums.

    ``state_dict()`` has the names and shapes of the tensors in a weights file.
    """

    onehot: Tensor

    def __init__(self, name: str = "cmssw-v1", inputs: Inputs = Inputs()):
        super().__init__()
        if name not in LAYOUTS:
            raise UnknownName("network", name, LAYOUTS)
        self.layout, self.inputs = LAYOUTS[name], inputs
        sizes = dict(zip(CATEGORIES, self.layout.embedding, strict=True))
        self.embedding = nn.ParameterDict({c: 0.5 * torch.randn(len(VOCABULARY[c]), sizes[c]) for c in CATEGORIES})
        widths = (len(FEATURES) + sum(sizes.values()), *self.layout.widths)
        self.dense1, self.dense2, self.dense3 = (Linear(a, b) for a, b in pairwise(widths))
        self.norm1, self.norm2, self.norm3 = (Norm(width) for width in self.layout.widths)
        self.dense4, self.output = Linear(widths[-1], 3), Linear(4, 2)
        self.context = Context(self.layout.context, widths[1])
        self.latents = Latents(self.layout.latents, widths[1]) if self.layout.latents else None
        self.attention = Attention(*widths[1:3]) if self.layout.attention else None
        self.start_as_weighted_sum()
        self.register_buffer("onehot", onehot(), persistent=False)
        self.standard = Standard() if self.layout.standardised else nn.Identity()

    @torch.no_grad()
    def start_as_weighted_sum(self) -> None:
        """Set the output layer to pTmiss = -Σ (w - 1) pT, without biases."""
        self.output.kernel.copy_(torch.tensor([[0.01, 0.0], [0.0, 0.01], [-1.0, 0.0], [0.0, -1.0]]))
        self.output.bias.zero_()

    def forward(self, batch: Batch) -> Tensor:
        """(events, 2) pTmiss, GeV."""
        momentum = batch.features[:, MOMENTUM]
        sums = batch.sum_by_event(contributions(self.candidates(batch), momentum))
        return SCALE * self.output(sums)

    def candidates(self, batch: Batch) -> Tensor:
        """(candidates, 3) weight and bias of each candidate."""
        x = self.first(batch)
        x = self.hidden(x, self.norm1.fold_into(self.dense2), self.heard(x, batch))
        x = self.hidden(x, self.norm2.fold_into(self.dense3))
        kernel, bias = self.norm3.fold_into(self.dense4)
        return torch.addmm(bias, x, kernel) * self.output_scale(x)

    def first(self, batch: Batch) -> Tensor:
        """(candidates, width) outputs of the first layer."""
        seen = self.latents(batch) if self.latents else None
        return self.hidden(self.first_inputs(batch), (self.first_kernel(), self.dense1.bias), seen)

    def first_inputs(self, batch: Batch) -> Tensor:
        """(candidates, 8 + 18 + k) features, one-hot categories, and k features of the event."""
        features = batch.features if self.inputs.puppi else without(batch.features, PUPPI)
        return torch.cat([self.standard(features), self.onehot[batch.categories], self.context(batch)], dim=1)

    def first_kernel(self) -> Tensor:
        """Kernel of the first layer times the embeddings, of shape (8 + 18 + k, width), for one-hot categories."""
        kernel, rows, start = self.dense1.kernel, [self.dense1.kernel[: len(FEATURES)]], len(FEATURES)
        for category in CATEGORIES:
            embedding = self.embedding[category]
            rows.append(embedding @ kernel[start : start + embedding.shape[1]])
            start += embedding.shape[1]
        return torch.cat([*rows, self.context.kernel])

    def heard(self, x: Tensor, batch: Batch) -> Tensor | None:
        """(candidates, width) what attention adds to the second layer, for outputs of the first; None without it."""
        return self.attention(x, batch) if self.attention else None

    def hidden(self, x: Tensor, layer: tuple[Tensor, Tensor], more: Tensor | None = None) -> Tensor:
        """(candidates, outputs) of one layer and its activation, for x (candidates, inputs), and more (outputs)."""
        kernel, bias = layer
        y = torch.addmm(bias, x, kernel)
        return ACTIVATIONS[self.layout.activation](y if more is None else y + more)

    def output_scale(self, x: Tensor) -> Tensor:
        """(3,) factors of the outputs."""
        bias = BIAS_SCALE if self.inputs.biases else 0.0
        return x.new_tensor([1.0, bias, bias])

    @torch.no_grad()
    def measure_moments(self, batch: Batch) -> None:
        """Set the moments of all normalisations to those of a batch."""
        if isinstance(self.standard, Standard):
            self.standard.measure(batch.features)
        x = self.first(batch)
        for norm, dense in ((self.norm1, self.dense2), (self.norm2, self.dense3)):
            norm.measure(x)
            x = self.hidden(x, norm.fold_into(dense), self.heard(x, batch) if norm is self.norm1 else None)
        self.norm3.measure(x)

    def model(self, name: str) -> Model:
        """The network for inference. The scales of inputs and outputs become part of its tensors."""
        if not self.layout.is_deepmet:
            raise OptionError(
                f"a network with activation {self.layout.activation} and context {self.layout.context} "
                "cannot be exported: inference needs activation tanh and context none or neighbours"
            )
        tensors = {key: value.detach().cpu().numpy().copy() for key, value in self.state_dict().items()}
        if isinstance(self.standard, Standard):
            self.standard.fold(tensors)
        scale = self.output_scale(self.dense4.kernel).detach().cpu().numpy()
        tensors["dense4.kernel"] *= scale
        tensors["dense4.bias"] *= scale
        if not self.inputs.puppi:
            tensors["dense1.kernel"][PUPPI] = 0
        return AttentionModel(tensors, 0, name) if self.attention else DeepMET(tensors, 0, name)

    def load(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Load the tensors of a weights file, which have the shapes of ``state_dict()``."""
        state = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
        self.load_state_dict(self.state_dict() | state)
        with torch.no_grad():
            for parameter in (self.dense4.kernel, self.dense4.bias):
                parameter[..., 1:] /= BIAS_SCALE


def contributions(weights: Tensor, momentum: Tensor) -> Tensor:
    """(candidates, 4) ``(w - 1) (bx, by, px, py)`` of weights (candidates, 3) and momenta (candidates, 2), 50 GeV."""
    return (weights[:, :1] - 1) * torch.cat([weights[:, 1:], momentum], dim=1)


def without(features: Tensor, column: int) -> Tensor:
    """A copy of features (candidates, 8) in which one column is zero."""
    features = features.clone()
    features[:, column] = 0
    return features


def onehot() -> Tensor:
    """(rows, categories) = (3 * 11 * 4, 3 + 11 + 4) one-hot categories of each row of the category table."""
    sizes = [len(VOCABULARY[c]) for c in CATEGORIES]
    rows = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1) + np.cumsum([0, *sizes[:-1]])
    out = np.zeros((len(rows), sum(sizes)), np.float32)
    np.put_along_axis(out, rows, 1, axis=1)
    return torch.from_numpy(out)


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters())
