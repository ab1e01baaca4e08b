"""DeepMET as a torch module, to be trained; the weights file that it leaves is run by ptmiss.inference without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ptmiss.errors import UnknownName
from ptmiss.inference import EPSILON, WIDTHS, DeepMET
from ptmiss.inputs import CATEGORIES, FEATURES, SCALE, VOCABULARY
from ptmiss.kernels import tanh_, tanh_gradient

from .dataset import Batch

EMBEDDINGS = {"cmssw-v1": (8, 8, 8), "jme-24-001": (4, 8, 3)}
"""Outputs of the embeddings of charge, pdgId and fromPV: the released graphs have 5149 trainable parameters, the
network of the measurement's talk 4541."""

BIAS_SCALE = 0.01  # a bias is summed over two thousand candidates: its outputs start small, and learn slowly
PUPPI = FEATURES.index("puppiWeight")
MOMENTUM = slice(6, 8)


class Tanh(torch.autograd.Function):
    """Hyperbolic tangent in place, on a CPU by the kernel that inference uses (ten times as fast as torch's)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """The tangent, in the memory of x."""
        if x.is_cuda:
            torch.tanh_(x)
        else:
            tanh_(x.detach().numpy().reshape(-1))
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """The gradient by x."""
        (y,) = ctx.saved_tensors
        if y.is_cuda:
            return gradient * (1 - y * y)
        flat = gradient.contiguous().numpy().reshape(-1)
        return torch.from_numpy(tanh_gradient(flat, y.detach().numpy().reshape(-1))).view_as(y)


class Dense(nn.Module):
    """A linear map, kernel (inputs, outputs) and bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.kernel = nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs)."""
        return torch.addmm(self.bias, x, self.kernel)


class Norm(nn.Module):
    """Batch normalisation with moments that are measured once, before the training, and then kept.

    With constant moments it is a linear map, which is folded into the layer behind it.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def measure(self, x: Tensor) -> None:
        """Take the moments of these candidates."""
        self.mean, self.variance = x.mean(dim=0), x.var(dim=0, unbiased=False)

    def folded(self, dense: Dense) -> tuple[Tensor, Tensor]:
        """Kernel and bias of the normalisation followed by a dense layer."""
        scale = self.gamma * torch.rsqrt(self.variance + EPSILON)
        return scale[:, None] * dense.kernel, dense.bias + (self.beta - scale * self.mean) @ dense.kernel


@dataclass(frozen=True)
class Inputs:
    """What a network may use: PUPPI weights as a feature, bias terms beside the candidates' weights."""

    puppi: bool = True
    biases: bool = True


class Network(nn.Module):
    """The DeepMET of CMS-JME-24-001: (w, bx, by) of each candidate, and pTmiss from their sums.

    ``state_dict()`` has the names and shapes of the tensors in a weights file.
    """

    onehot: Tensor

    def __init__(self, layout: str = "cmssw-v1", inputs: Inputs = Inputs()):
        super().__init__()
        if layout not in EMBEDDINGS:
            raise UnknownName("network", layout, EMBEDDINGS)
        self.inputs = inputs
        sizes = dict(zip(CATEGORIES, EMBEDDINGS[layout], strict=True))
        self.embedding = nn.ParameterDict({c: 0.5 * torch.randn(len(VOCABULARY[c]), sizes[c]) for c in CATEGORIES})
        widths = (len(FEATURES) + sum(sizes.values()), *WIDTHS)
        self.dense1, self.dense2, self.dense3 = (Dense(a, b) for a, b in zip(widths, WIDTHS, strict=False))
        self.norm1, self.norm2, self.norm3 = (Norm(width) for width in WIDTHS)
        self.dense4, self.output = Dense(WIDTHS[-1], 3), Dense(4, 2)
        self.start_as_weighted_sum()
        self.register_buffer("onehot", onehot(), persistent=False)

    @torch.no_grad()
    def start_as_weighted_sum(self) -> None:
        """Begin as pTmiss = -Σ (w - 1) pT, without biases."""
        self.output.kernel.copy_(torch.tensor([[0.01, 0.0], [0.0, 0.01], [-1.0, 0.0], [0.0, -1.0]]))
        self.output.bias.zero_()

    def forward(self, batch: Batch) -> Tensor:
        """(events, 2) pTmiss, GeV."""
        momentum = batch.features[:, MOMENTUM]
        sums = batch.sum_by_event(contributions(self.candidates(batch), momentum))
        return SCALE * self.output(sums)

    def candidates(self, batch: Batch) -> Tensor:
        """(candidates, 3): weight and bias of each."""
        x = self.hidden(self.first_inputs(batch), (self.first_kernel(), self.dense1.bias))
        x = self.hidden(x, self.norm1.folded(self.dense2))
        x = self.hidden(x, self.norm2.folded(self.dense3))
        kernel, bias = self.norm3.folded(self.dense4)
        return torch.addmm(bias, x, kernel) * self.output_scale(x)

    def first_inputs(self, batch: Batch) -> Tensor:
        """(candidates, 8 + 18): features, and the categories one-hot."""
        features = batch.features if self.inputs.puppi else without(batch.features, PUPPI)
        return torch.cat([features, self.onehot[batch.categories]], dim=1)

    def first_kernel(self) -> Tensor:
        """The first layer with the embeddings multiplied in, for one-hot categories."""
        kernel, rows, start = self.dense1.kernel, [self.dense1.kernel[: len(FEATURES)]], len(FEATURES)
        for category in CATEGORIES:
            embedding = self.embedding[category]
            rows.append(embedding @ kernel[start : start + embedding.shape[1]])
            start += embedding.shape[1]
        return torch.cat(rows)

    def hidden(self, x: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
        """One layer and its activation."""
        kernel, bias = layer
        return Tanh.apply(torch.addmm(bias, x, kernel))

    def output_scale(self, x: Tensor) -> Tensor:
        """What the three outputs are multiplied by."""
        bias = BIAS_SCALE if self.inputs.biases else 0.0
        return x.new_tensor([1.0, bias, bias])

    @torch.no_grad()
    def measure_moments(self, batch: Batch) -> None:
        """Set the normalisations' moments to those of a batch."""
        x = self.hidden(self.first_inputs(batch), (self.first_kernel(), self.dense1.bias))
        for norm, dense in ((self.norm1, self.dense2), (self.norm2, self.dense3)):
            norm.measure(x)
            x = self.hidden(x, norm.folded(dense))
        self.norm3.measure(x)

    def model(self, name: str) -> DeepMET:
        """The same network for inference, with what scales inputs and outputs absorbed in its tensors."""
        tensors = {key: value.detach().cpu().numpy().copy() for key, value in self.state_dict().items()}
        scale = self.output_scale(self.dense4.kernel).detach().cpu().numpy()
        tensors["dense4.kernel"] *= scale
        tensors["dense4.bias"] *= scale
        if not self.inputs.puppi:
            tensors["dense1.kernel"][PUPPI] = 0
        return DeepMET(tensors, 0, name)

    def load(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Begin from the tensors of a weights file."""
        state = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
        self.load_state_dict(state)
        with torch.no_grad():
            for parameter in (self.dense4.kernel, self.dense4.bias):
                parameter[..., 1:] /= BIAS_SCALE


def contributions(weights: Tensor, momentum: Tensor) -> Tensor:
    """(candidates, 4): ``(w - 1) (bx, by, px / 50, py / 50)``, momenta in units of 50 GeV."""
    return (weights[:, :1] - 1) * torch.cat([weights[:, 1:], momentum], dim=1)


def without(features: Tensor, column: int) -> Tensor:
    """Features with one of them set to zero."""
    features = features.clone()
    features[:, column] = 0
    return features


def onehot() -> Tensor:
    """(3 * 11 * 4, 3 + 11 + 4): the categories of each row of the category table, one-hot."""
    sizes = [len(VOCABULARY[c]) for c in CATEGORIES]
    rows = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1) + np.cumsum([0, *sizes[:-1]])
    out = np.zeros((len(rows), sum(sizes)), np.float32)
    np.put_along_axis(out, rows, 1, axis=1)
    return torch.from_numpy(out)


def parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters())
