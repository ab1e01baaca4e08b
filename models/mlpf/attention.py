"""Attention between elements, in windows of a fixed size or over whole events.

All other layers work row by row on the packed elements of a batch. Only this module knows where events begin and end. A
window belongs to one event, and empty slots have no part in any sum, so that an event's result does not depend on the
other events of its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

NEVER = -1e9  # the logit of an empty slot: its weight is exactly zero, and no infinities appear
CARRIED = 4  # components of a query that hold the distance


class Groups(NamedTuple):
    """The elements of some events that see each other in a layer.

    number: (n,) number of each one's window or bin. edges: (m, 2) pairs in a bin. strength: (m,) of each edge, from 0
    to 1. A layer without a graph has no edges.
    """

    number: NDArray[np.int64]
    edges: NDArray[np.int64]
    strength: NDArray[np.float32]


class View(Protocol):
    """The view of a layer: which elements an element sees."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, heads, d) attention from scaled queries and keys (n, heads, c) and values (n, heads, d)."""


@dataclass(frozen=True)
class Windows:
    """Elements in windows of equal size.

    rows: (slots,) the element in each slot. An empty slot repeats an element of the same event, so that indices stay
    valid; ``filled`` excludes it. slots: (n,) the slot of each element. filled: (windows, size) mask.
    """

    rows: Tensor
    slots: Tensor
    filled: Tensor

    @staticmethod
    def of(order: Tensor, offsets: Tensor, size: int, shift: int = 0) -> Windows:
        """Windows along an order (n,) of the elements, event after event.

        shift: empty slots at the beginning of an event that needs more than one window. Layers with other shifts have
        other borders between windows, so that neighbours on two sides of a border meet in the next layer.
        """
        offsets = offsets.to(order.device)
        counts = offsets.diff()
        shifts = torch.where(counts > size, shift, 0)
        extent = (counts + shifts + size - 1) // size * size
        begin = extent.cumsum(0) - extent
        event = torch.repeat_interleave(counts)
        place = torch.arange(len(order), device=order.device) - offsets[event] + begin[event] + shifts[event]
        slots = torch.empty_like(order).index_copy(0, order, place)
        owner = torch.repeat_interleave(extent)
        local = torch.arange(len(owner), device=order.device) - begin[owner] - shifts[owner]
        filled = (local >= 0) & (local < counts[owner])
        inside = torch.minimum(local.clamp(min=0), counts[owner] - 1) + offsets[owner]
        return Windows(order[inside], slots, filled.view(len(owner) // size, size))

    def groups(self, graph: Tensor | None = None) -> Groups:
        """The window of each element, and the edges in a graph (windows, size, size)."""
        number = (self.slots // self.filled.shape[1]).cpu().numpy()
        if graph is None:
            return Groups(number, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
        window, one, other = graph.triu(1).nonzero(as_tuple=True)
        slots = torch.stack([one, other], dim=1) + (window * self.filled.shape[1])[:, None]
        return Groups(number, self.rows[slots].cpu().numpy(), graph[window, one, other].cpu().numpy())

    def gather(self, values: Tensor) -> Tensor:
        """(n, ...) values of elements as (windows, size, ...)."""
        flat = Gather.apply(values, self.rows, self.slots, self.filled) if values.requires_grad else values[self.rows]
        return flat.view(*self.filled.shape, *values.shape[1:])

    def scatter(self, values: Tensor) -> Tensor:
        """(windows, size, ...) values in windows as (n, ...)."""
        flat = values.flatten(0, 1)
        return Scatter.apply(flat, self.rows, self.slots, self.filled) if flat.requires_grad else flat[self.slots]


class Gather(torch.autograd.Function):
    """Rows to slots. An autograd function of its own, because each row has one slot that counts.

    The gradient of an index operation would sum over all slots of a row, which is slow, and not reproducible on CUDA.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor, slots: Tensor, filled: Tensor) -> Tensor:
        """(slots, ...)."""
        ctx.save_for_backward(slots)
        return values.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """(n, ...)."""
        (slots,) = ctx.saved_tensors
        return gradient.index_select(0, slots), None, None, None


class Scatter(torch.autograd.Function):
    """Slots to rows. In the backward pass empty slots have no gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor, slots: Tensor, filled: Tensor) -> Tensor:
        """(n, ...)."""
        ctx.save_for_backward(rows, filled)
        return values.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """(slots, ...)."""
        rows, filled = ctx.saved_tensors
        mask = filled.reshape(len(rows), *(1,) * (gradient.ndim - 1))
        return gradient.index_select(0, rows) * mask, None, None, None


@dataclass(frozen=True)
class Distance:
    """The term -dR² / 2 s_h² in the logits of a head h, with which it prefers near elements.

    dR² = deta² + 2 (1 - cos dphi) is a sum of products of coordinates, up to terms that are equal for all keys and so
    cancel in the softmax. Hence four more components of queries and keys are enough. A matrix of all distances is
    never made, and the library's fused attention can be used.
    """

    query: Tensor
    key: Tensor

    @staticmethod
    def of(position: Tensor, spreads: Sequence[float | None]) -> Distance:
        """(..., elements, heads, 4) components of queries and keys, from positions (..., elements, 2): eta, phi in rad.

        spreads: s of each head; None for a head without distance.
        """
        eta, phi = position[..., 0], position[..., 1]
        eta = eta - eta.mean(dim=-1, keepdim=True)  # smaller squares have smaller rounding errors
        inverse = position.new_tensor([1 / s if s else 0.0 for s in spreads])
        across, cos, sin = (x[..., None] * inverse for x in (eta, phi.cos(), phi.sin()))
        one = torch.ones_like(across)
        return Distance(
            torch.stack([across, cos, sin, one], dim=-1),
            torch.stack([across, cos, sin, -0.5 * across.square()], dim=-1),
        )


@dataclass(frozen=True)
class WindowAttention:
    """Attention inside windows."""

    windows: Windows
    distance: Distance

    @staticmethod
    def of(windows: Windows, position: Tensor, spreads: Sequence[float | None]) -> WindowAttention:
        """Attention in windows of elements at positions (n, 2), eta and phi; spreads: see :meth:`Distance.of`."""
        distance = Distance.of(windows.gather(position), spreads)
        distance.key[..., -1].masked_fill_(~windows.filled[..., None], NEVER)
        return WindowAttention(windows, distance)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See View; tensors are (elements, heads, size)."""
        sizes = [query.shape[-1], key.shape[-1], value.shape[-1]]
        q, k, v = self.windows.gather(torch.cat([query, key, value], dim=-1)).split(sizes, dim=-1)
        out = product(torch.cat([q, self.distance.query], -1), torch.cat([k, self.distance.key], -1), v)
        return self.windows.scatter(out)


@dataclass(frozen=True)
class EventAttention:
    """Attention between all elements of an event. One event at a time needs memory linear in its elements."""

    offsets: Sequence[int]
    distance: Sequence[Distance] | None

    @staticmethod
    def of(offsets: Tensor, position: Tensor, spreads: Sequence[float | None] | None) -> EventAttention:
        """Attention between elements at positions (n, 2), eta and phi; without distance if spreads is None."""
        if spreads is None:
            return EventAttention(offsets.tolist(), None)
        pieces = position.split(offsets.diff().tolist())
        return EventAttention(offsets.tolist(), [Distance.of(piece, spreads) for piece in pieces if len(piece)])

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See View; tensors are (elements, heads, size)."""
        sizes = [b - a for a, b in zip(self.offsets, self.offsets[1:], strict=False) if b > a]
        if not sizes:
            return value
        pieces = list(zip(*(x.split(sizes) for x in (query, key, value)), strict=True))
        if self.distance:
            pieces = [
                (torch.cat([q, d.query], -1), torch.cat([k, d.key], -1), v)
                for (q, k, v), d in zip(pieces, self.distance, strict=True)
            ]
        return torch.cat([product(*(x[None] for x in piece))[0] for piece in pieces])


@dataclass(frozen=True)
class PackedAttention:
    """Attention between all elements of each event, without distance, in one call: on CUDA and in bfloat16."""

    offsets: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See View; tensors are (elements, heads, size)."""
        from torch.nn.attention.varlen import varlen_attn

        longest = int(self.offsets.diff().max()) if len(self.offsets) > 1 else 0
        cut = self.offsets.to(query.device, torch.int32)
        q, k, v = (x.to(torch.bfloat16).contiguous() for x in (query, key, value))
        out = varlen_attn(q, k, v, cut, cut, longest, longest, scale=1.0)
        assert isinstance(out, Tensor)
        return out.to(value.dtype)


def single_precision(x: Tensor) -> AbstractContextManager[Any]:
    """A context without autocast, which would multiply float32 tensors in bfloat16, for x of any shape."""
    return torch.autocast(x.device.type, enabled=False)


def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(batch, elements, heads, d) softmax of query · key, times the values.

    It is computed in single precision: bfloat16, with eight bits, is too coarse for distances.
    """
    with single_precision(query):
        q, k, v = (x.transpose(1, 2).float() for x in (query, key, value))
        return functional.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2)
