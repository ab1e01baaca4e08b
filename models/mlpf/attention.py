"""Packed elements arranged for what happens between them: in windows of a fixed size, or event by event.

All else in a network is done on packed rows, and only here is an event's border known. A window belongs to one event; slots
that no element fills are left out of every sum, so that an event's answer does not depend on its batch mates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

NEVER = -1e9  # the logit of an empty slot
CARRIED = 4  # components of a query that carry the distance


class Groups(NamedTuple):
    """Which elements of some events see each other in a layer.

    number: (n,) of the window or bin that each is in. edges: (m, 2) pairs in one bin, strength: (m,) from 0 to 1 of each;
    none where a layer has no graph.
    """

    number: NDArray[np.int64]
    edges: NDArray[np.int64]
    strength: NDArray[np.float32]


class Attending(Protocol):
    """A way to let elements see each other."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, heads, d) of queries and keys (n, heads, c), already scaled, and values (n, heads, d)."""


@dataclass(frozen=True)
class Windows:
    """Elements in windows.

    rows: (slots,) the element in each slot, some other of the same event where there is none. slots: (n,) the slot of
    each element. filled: (windows, size).
    """

    rows: Tensor
    slots: Tensor
    filled: Tensor

    @staticmethod
    def of(order: Tensor, offsets: Tensor, size: int, shift: int = 0) -> Windows:
        """Windows along an order (n,) of the elements, event after event.

        shift: slots left empty at the beginning of an event that needs more than one window.
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
        """The window of each element; graph: (windows, size, size) edges between its slots."""
        number = (self.slots // self.filled.shape[1]).cpu().numpy()
        if graph is None:
            return Groups(number, np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
        window, one, other = graph.triu(1).nonzero(as_tuple=True)
        slots = torch.stack([one, other], dim=1) + (window * self.filled.shape[1])[:, None]
        return Groups(number, self.rows[slots].cpu().numpy(), graph[window, one, other].cpu().numpy())

    def gather(self, values: Tensor) -> Tensor:
        """(windows, size, ...) of (n, ...)."""
        flat = Arranged.apply(values, self.rows, self.slots, self.filled) if values.requires_grad else values[self.rows]
        return flat.view(*self.filled.shape, *values.shape[1:])

    def scatter(self, values: Tensor) -> Tensor:
        """(n, ...) of (windows, size, ...)."""
        flat = values.flatten(0, 1)
        return Collected.apply(flat, self.rows, self.slots, self.filled) if flat.requires_grad else flat[self.slots]


class Arranged(torch.autograd.Function):
    """Rows to slots; backwards each row is in one slot, so that nothing has to be summed."""

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


class Collected(torch.autograd.Function):
    """Slots to rows; backwards empty slots get nothing."""

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
    """What makes a head h see near elements: minus dR² / 2 s_h² on top of its logits.

    dR² = deta² + 2 (1 - cos dphi) is a sum of products of coordinates, up to what is the same for all keys: four more
    components of queries and keys carry it, and no matrix of distances is made.
    """

    query: Tensor
    key: Tensor

    @staticmethod
    def of(position: Tensor, spreads: Sequence[float | None]) -> Distance:
        """Of positions (..., elements, 2) as eta and phi; (..., elements, heads, 4) each. None: a head without."""
        eta, phi = position[..., 0], position[..., 1]
        eta = eta - eta.mean(dim=-1, keepdim=True)  # small numbers, small rounding
        inverse = position.new_tensor([1 / s if s else 0.0 for s in spreads])
        across, cos, sin = (x[..., None] * inverse for x in (eta, phi.cos(), phi.sin()))
        one = torch.ones_like(across)
        return Distance(
            torch.stack([across, cos, sin, one], dim=-1),
            torch.stack([across, cos, sin, -0.5 * across.square()], dim=-1),
        )


@dataclass(frozen=True)
class WindowAttention:
    """Attention inside of windows."""

    windows: Windows
    distance: Distance

    @staticmethod
    def of(windows: Windows, position: Tensor, spreads: Sequence[float | None]) -> WindowAttention:
        """position: (n, 2)."""
        distance = Distance.of(windows.gather(position), spreads)
        distance.key[..., -1].masked_fill_(~windows.filled[..., None], NEVER)
        return WindowAttention(windows, distance)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attending."""
        sizes = [query.shape[-1], key.shape[-1], value.shape[-1]]
        q, k, v = self.windows.gather(torch.cat([query, key, value], dim=-1)).split(sizes, dim=-1)
        out = product(torch.cat([q, self.distance.query], -1), torch.cat([k, self.distance.key], -1), v)
        return self.windows.scatter(out)


@dataclass(frozen=True)
class EventAttention:
    """Attention of all elements of an event, one event at a time: linear in memory."""

    offsets: Sequence[int]
    distance: Sequence[Distance] | None

    @staticmethod
    def of(offsets: Tensor, position: Tensor, spreads: Sequence[float | None] | None) -> EventAttention:
        """position: (n, 2); spreads None for plain attention."""
        if spreads is None:
            return EventAttention(offsets.tolist(), None)
        pieces = position.split(offsets.diff().tolist())
        return EventAttention(offsets.tolist(), [Distance.of(piece, spreads) for piece in pieces if len(piece)])

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attending."""
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
    """Plain attention of all elements of each event in one call, on CUDA and in bfloat16."""

    offsets: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See Attending."""
        from torch.nn.attention.varlen import varlen_attn

        longest = int(self.offsets.diff().max())
        cut = self.offsets.to(query.device, torch.int32)
        q, k, v = (x.to(torch.bfloat16).contiguous() for x in (query, key, value))
        out = varlen_attn(q, k, v, cut, cut, longest, longest, scale=1.0)
        assert isinstance(out, Tensor)
        return out.to(value.dtype)


def product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(batch, elements, heads, d): softmax of query · key, times the values, in single precision.

    Distances do not survive bfloat16.
    """
    with torch.autocast(query.device.type, enabled=False):
        q, k, v = (x.transpose(1, 2).float() for x in (query, key, value))
        return functional.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2)
