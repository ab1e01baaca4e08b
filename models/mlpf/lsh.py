"""The combined-graph layer of 2021: locality-sensitive hashing of a learned embedding makes bins, each bin a graph.

J. Pata et al., EPJC 81 (2021) 381, in the form of the CMS results at ACAT 2021. Here empty slots of a bin have no
edges, and the number of an event's bins depends on this event alone.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import Windows, single_precision

DISTANCE, LEAST = 0.1209, 0.001998  # scale and least value of the kernel exp(-DISTANCE |di - dj|)
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
    """A layer that embeds elements, puts them into bins, makes a graph of each bin, and passes messages along it."""

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
        """(n,) elements of each event, sorted by hash and then by projection, event after event."""
        offsets = offsets.to(embedded.device)
        hashes, fit = self.hash_elements(embedded, offsets)
        order = fit.argsort()
        order = order[hashes[order].argsort(stable=True)]
        event = torch.repeat_interleave(offsets.diff())
        return order[event[order].argsort(stable=True)]

    def hash_elements(self, embedded: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) hash of each element, below the number of its event's bins, and (n,) projection on that direction."""
        counts = offsets.to(embedded.device).diff()
        half = ((counts + 2 * self.size - 1) // (2 * self.size)).clamp(1, MAX_BINS // 2)
        half = half[torch.repeat_interleave(counts)][:, None]
        with single_precision(embedded):
            along = embedded.float() @ self.codebook
        beyond = torch.arange(along.shape[1], device=along.device) >= half
        both = torch.cat([along.masked_fill(beyond, -torch.inf), (-along).masked_fill(beyond, -torch.inf)], dim=1)
        fit, index = both.max(dim=1)
        return torch.where(index < along.shape[1], index, index - along.shape[1] + half[:, 0]), fit


def kernel(embedded: Tensor, filled: Tensor) -> Tensor:
    """(bins, size, size) strengths of edges between embedded elements (bins, size, d); 0 for empty slots."""
    with single_precision(embedded):
        near = (-DISTANCE * torch.cdist(embedded.float(), embedded.float())).exp().clamp(LEAST, 1.0)
    return near * filled[:, :, None] * filled[:, None, :]
