"""Attention of each candidate over its neighbours, to train; ptmiss.networks.attention runs what was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ptmiss.networks import messages as compiled
from ptmiss.networks import pairs
from ptmiss.networks.features import HEADS, HIDDEN, PAIRS, SIZE, WIDTH
from ptmiss.networks.neighbours import class_of_row
from ptmiss.segments import from_counts

from .dataset import Batch

Pairs = tuple[NDArray[np.float32], NDArray[np.int32]]


class Attention(nn.Module):
    """Messages from the neighbours as inputs of the second layer; they begin at zero.

    first, second: widths of the first two hidden layers.
    """

    def __init__(self, first: int, second: int):
        super().__init__()
        self.query, self.memory, self.pair = Linear(first, WIDTH), Linear(first, 2 * WIDTH), Linear(len(PAIRS), HIDDEN)
        self.head = nn.Parameter(nn.init.xavier_uniform_(torch.empty(HIDDEN, HEADS)))
        self.output = nn.Parameter(torch.zeros(WIDTH + HEADS * HIDDEN, second))

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """(candidates, second) for the outputs of the first layer, (candidates, first)."""
        arguments = self.query(x), self.memory(x), self.pair.kernel, self.pair.bias, self.head
        around = neighbourhood(batch)
        said = messages(*arguments, around) if x.is_cuda else Messages.apply(*arguments, around)
        return said @ self.output


class Linear(nn.Module):
    """A linear map, kernel (inputs, outputs) and bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.kernel = nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs)."""
        return torch.addmm(self.bias, x, self.kernel)


def neighbourhood(batch: Batch) -> Pairs:
    """Features of the pairs, (candidates, PAIRS, NEAREST), and rows of the neighbours, (candidates, NEAREST)."""
    features, rows, event = (v.cpu().numpy() for v in (batch.features, batch.categories, batch.event))
    offsets, kinds = from_counts(np.bincount(event, minlength=len(batch.target))), class_of_row()[rows]
    index = pairs.neighbours(features, kinds, offsets)
    return pairs.pair_features(features, kinds, index), index


def messages(query: Tensor, memory: Tensor, kernel: Tensor, bias: Tensor, head: Tensor, around: Pairs) -> Tensor:
    """(n, WIDTH + HEADS * HIDDEN) messages, in plain torch; see ptmiss.networks.messages.attend for the shapes."""
    found, index = (torch.from_numpy(a).to(query.device) for a in around)
    n = len(query)
    there, near = index >= 0, memory[index.clamp(min=0)]
    hidden = torch.tanh(torch.einsum("nfk,fa->nka", found, kernel) + bias)
    keys, values = near.view(n, -1, 2, HEADS, SIZE).unbind(2)
    by_head = query.view(n, HEADS, SIZE)
    score = torch.einsum("nbd,nkbd->nkb", by_head, keys) / SIZE**0.5 + hidden @ head
    score = score.clamp(-float(compiled.MOST), float(compiled.MOST))
    share = torch.softmax(score.masked_fill(~there[..., None], -1e9), dim=1) * there[..., None]
    parts = torch.einsum("nkb,nkbd->nbd", share, values), torch.einsum("nkb,nka->nba", share, hidden)
    return torch.cat([part.flatten(1) for part in parts], dim=1)


class Messages(torch.autograd.Function):
    """The same, and its gradients, by the kernels of inference: on a CPU several times as fast."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, memory: Tensor, *rest: Any) -> Tensor:
        """(n, WIDTH + HEADS * HIDDEN) messages; rest: kernel, bias and head of the pairs, and the pairs."""
        *layers, (found, index) = rest
        arrays = tuple(t.detach().numpy() for t in (query, memory, *layers))
        n, nearest = index.shape
        hidden, shares = (np.empty((n, m, nearest), np.float32) for m in (HIDDEN, HEADS))
        out = np.empty((n, WIDTH + HEADS * HIDDEN), np.float32)
        ctx.saved = arrays[:2], found, index, arrays[2:], hidden, shares
        compiled.attend(*ctx.saved, out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Any, ...]:
        """Gradients of the tensors."""
        out = compiled.gradients(change.contiguous().numpy(), *ctx.saved)
        return (*(torch.from_numpy(a.astype(np.float32)) for a in out), None)
