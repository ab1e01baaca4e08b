"""The combined-graph layer of 2021: elements are hashed to bins by a learned embedding, and each bin is a graph.

J. Pata et al., EPJC 81 (2021) 381, in the form of the CMS results at ACAT 2021. Empty slots of a bin have no edges, and an
event's number of bins depends on the event alone.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import Windows

DISTANCE, LEAST = 0.1209, 0.001998  # of the kernel exp(-DISTANCE |di - dj|), and its smallest value
MAX_BINS = 200
SMALL = 1e-6


class GraphMessage(nn.Module):
    """A gated, degree-normalised convolution (GHConv) on the graphs of bins."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.gate = nn.Linear(inputs, outputs)
        self.along, self.own = (nn.Linear(inputs, outputs, bias=False) for _ in range(2))

    def forward(self, x: Tensor, graph: Tensor, bins: Windows) -> Tensor:
        """(n, outputs) of (n, inputs); graph: (bins, size, size)."""
        norm = (graph.sum(dim=-1, keepdim=True) + SMALL).rsqrt()
        message = bins.scatter(norm * (graph @ (norm * bins.gather(self.along(x)))))
        gate = self.gate(x).sigmoid()
        return functional.elu(gate * message + (1 - gate) * self.own(x))


class CombinedGraph(nn.Module):
    """Embedding, bins, kernel graph, messages."""

    codebook: Tensor

    def __init__(
        self, inputs: int, width: int, size: int = 64, hidden: int = 128, distance: int = 64, messages: int = 3
    ):
        super().__init__()
        self.size = size
        widths = (inputs, hidden, hidden, hidden, distance)
        self.embedding = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        sizes = [inputs] + [width] * messages
        self.messages = nn.ModuleList(GraphMessage(a, b) for a, b in pairwise(sizes))
        self.register_buffer("codebook", torch.randn(distance, MAX_BINS // 2))

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """(n, width) of (n, inputs) and the events' offsets."""
        bins, graph = self.bins(x, offsets)
        for message in self.messages:
            x = message(x, graph, bins)
        return x

    def bins(self, x: Tensor, offsets: Tensor) -> tuple[Windows, Tensor]:
        """The learned bins, and the edges (bins, size, size) in each."""
        for layer in self.embedding:
            x = functional.elu(layer(x))
        bins = Windows.of(self.order(x.detach(), offsets), offsets, self.size)
        return bins, kernel(bins.gather(x), bins.filled)

    def order(self, embedded: Tensor, offsets: Tensor) -> Tensor:
        """(n,) elements of each event in the order of their hash, then of how well it fits, event after event."""
        offsets = offsets.to(embedded.device)
        hashes, fit = self.hashed(embedded, offsets)
        order = fit.argsort()
        order = order[hashes[order].argsort(stable=True)]
        event = torch.repeat_interleave(offsets.diff())
        return order[event[order].argsort(stable=True)]

    def hashed(self, embedded: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) hash, below the event's number of bins, and how far along its direction each element is."""
        counts = offsets.to(embedded.device).diff()
        half = ((counts + 2 * self.size - 1) // (2 * self.size)).clamp(1, MAX_BINS // 2)
        half = half[torch.repeat_interleave(counts)][:, None]
        along = embedded.float() @ self.codebook
        beyond = torch.arange(along.shape[1], device=along.device) >= half
        both = torch.cat([along.masked_fill(beyond, -torch.inf), (-along).masked_fill(beyond, -torch.inf)], dim=1)
        fit, index = both.max(dim=1)
        return torch.where(index < along.shape[1], index, index - along.shape[1] + half[:, 0]), fit


def kernel(embedded: Tensor, filled: Tensor) -> Tensor:
    """(bins, size, size) edges between embedded elements (bins, size, d), none to or from empty slots."""
    near = (-DISTANCE * torch.cdist(embedded.float(), embedded.float())).exp().clamp(LEAST, 1.0)
    return near * filled[:, :, None] * filled[:, None, :]
