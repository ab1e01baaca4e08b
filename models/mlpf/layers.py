"""The layers of the transformer as nodes of an ONNX graph, and what layers of the other networks share with them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..onnx_graph import Graph
from .attention import CARRIED, NEVER
from .morton import BITS, SHIFT, SPREAD
from .network import MAX_ETA, MAX_LOG, spreads
from .reconstruction import MLPF

FUSED = "com.microsoft"


class View(NamedTuple):
    """The view of a layer, as names in the graph.

    rows: the element in each slot. slots: the slot of each element. Both are None if slots are elements. size: number
    of slots that see each other, -1 for all. query, key: (windows, size, heads, 4) components of the distance.
    """

    rows: str | None
    slots: str | None
    size: int
    query: str
    key: str


def fused_attention(build: Graph, query: str, key: str, value: str, heads: int, scale: float) -> str:
    """(n, heads d) attention between all elements, from (n, heads c) queries and keys and (n, heads d) values."""
    batch = [build("Unsqueeze", x, [0]) for x in (query, key, value)]
    return str(build("Squeeze", build("MultiHeadAttention", *batch, domain=FUSED, num_heads=heads, scale=scale), [0]))


class Layers:
    """The network's layers in a graph, each under the names of its tensors."""

    def __init__(self, build: Graph, model: MLPF):
        self.build, self.tensors, self.of = build, model.tensors, model.network.configuration
        self.spreads = spreads(self.of)

    def all(self) -> None:
        """From the inputs to the outputs."""
        b = self.build
        x = self.perceptron("encoder", self.standardise())
        views = self.views()
        for i in range(self.of.layers):
            name, view = f"layers.{i}", views[i % len(views)]
            x = b("Add", x, self.attention(f"{name}.attention", self.norm(f"{name}.norm1", x), view))
            x = b("Add", x, self.perceptron(f"{name}.feed", self.norm(f"{name}.norm2", x)))
        self.answer(self.norm("norm", x))

    def standardise(self) -> str:
        """(n, F) features with mean 0 and width 1."""
        return self.build("Div", self.build("Sub", "features", self.tensors["mean"]), self.tensors["scale"])

    def linear(self, name: str, x: str) -> str:
        """A linear layer."""
        return self.build("Gemm", x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], transB=1)

    def perceptron(self, name: str, x: str) -> str:
        """One hidden layer with GELU."""
        b = self.build
        x = self.linear(f"{name}.0", x)
        gate = b("Add", b("Erf", b("Mul", x, math.sqrt(0.5))), 1.0)
        return self.linear(f"{name}.2", b("Mul", b("Mul", x, 0.5), gate))

    def norm(self, name: str, x: str) -> str:
        """A layer normalisation."""
        return self.build("LayerNormalization", x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def attention(self, name: str, x: str, view: View) -> str:
        """(n, width); see network.Attention and attention."""
        b, heads, depth = self.build, self.of.heads, self.of.width // self.of.heads
        sizes = [depth - CARRIED, depth - CARRIED, depth]
        x = self.linear(f"{name}.project", x)
        x = x if view.rows is None else b("Gather", x, view.rows, axis=0)
        x = b("Reshape", x, [-1, view.size, heads, sum(sizes)] if view.rows else [1, -1, heads, sum(sizes)])
        query, key, value = b("Split", x, split=sizes, axis=-1, outputs=3)
        query = b("Concat", b("Div", query, math.sqrt(sizes[0])), view.query, axis=-1)
        key = b("Concat", key, view.key, axis=-1)
        if view.rows is None or view.slots is None:
            q, k, v = (b("Reshape", part, [-1, self.of.width]) for part in (query, key, value))
            return self.linear(f"{name}.out", fused_attention(b, q, k, v, heads, 1.0))
        logits = b("MatMul", b("Transpose", query, perm=[0, 2, 1, 3]), b("Transpose", key, perm=[0, 2, 3, 1]))
        seen = b("MatMul", b("Softmax", logits, axis=-1), b("Transpose", value, perm=[0, 2, 1, 3]))
        seen = b("Reshape", b("Transpose", seen, perm=[0, 2, 1, 3]), [-1, self.of.width])
        return self.linear(f"{name}.out", b("Gather", seen, view.slots, axis=0))

    def views(self) -> list[View]:
        """The views of the layers, used in turn."""
        b = self.build
        if self.of.attention == "exact":
            return [View(None, None, -1, *self.distance(b("Unsqueeze", "position", [0]), None))]
        orders = {shift: self.order(shift) for shift in ((0.0, 0.0), SHIFT)}
        plain, shifted = orders.values()
        cuts = [(plain, 0), (shifted, 0), (plain, self.of.window // 2)][: self.of.layers]
        return [self.window(order, empty) for order, empty in cuts]

    def window(self, order: str, empty: int) -> View:
        """Windows along an order, with ``empty`` slots at the beginning of a long event; see attention.Windows."""
        b, size = self.build, self.of.window
        rows, slots, filled = self.slots(order, empty)
        position = b("Reshape", b("Gather", "position", rows), [-1, size, 2])
        return View(rows, slots, size, *self.distance(position, b("Reshape", filled, [-1, size, 1])))

    def slots(self, order: str, empty: int) -> tuple[str, str, str]:
        """The element in each slot, the slot of each element, and which slots are filled; see attention.Windows."""
        b, size = self.build, self.of.window
        n = b("Shape", "features", start=0, end=1)
        empty_slots = b("Where", b("Greater", n, size), [empty], [0])
        windows = b("Div", b("Add", b("Add", n, empty_slots), size - 1), size)
        local = b("Sub", self.count(b("Mul", windows, size)), empty_slots)
        filled = b("And", b("GreaterOrEqual", local, 0), b("Less", local, n))
        inside = b("Min", b("Max", local, 0), b("Sub", n, 1))
        rows, numbers = b("Gather", order, inside), self.count(n)
        return rows, b("ScatterElements", numbers, order, b("Add", numbers, empty_slots)), filled

    def count(self, n: str) -> str:
        """(n,) 0, 1, …, n - 1 for n of shape (1,)."""
        return self.build("Range", 0, self.build("Squeeze", n, [0]), 1)

    def distance(self, position: str, filled: str | None) -> tuple[str, str]:
        """(windows, size, heads, 4) of queries and keys, see attention.Distance; filled: (windows, size, 1)."""
        b = self.build
        eta, phi = b("Split", position, split=[1, 1], axis=-1, outputs=2)
        eta = b("Sub", eta, b("ReduceMean", eta, [1], keepdims=1))
        inverse = np.asarray([1 / s if s else 0.0 for s in self.spreads])
        across, cos, sin = (b("Mul", x, inverse) for x in (eta, b("Cos", phi), b("Sin", phi)))
        near = b("Mul", b("Mul", across, across), -0.5)
        near = near if filled is None else b("Where", filled, near, NEVER)
        one = b("Add", b("Mul", across, 0.0), 1.0)
        query, key = ([b("Unsqueeze", x, [-1]) for x in (across, cos, sin, last)] for last in (one, near))
        return b("Concat", *query, axis=-1), b("Concat", *key, axis=-1)

    def order(self, shift: tuple[float, float]) -> str:
        """(n,) elements along the curve, exactly as by morton.keys."""
        from onnx import TensorProto

        b = self.build.to(np.float64)
        eta, phi = b("Split", b("Cast", "position", to=TensorProto.DOUBLE), split=[1, 1], axis=-1, outputs=2)
        across = b("Add", b("Div", b("Add", eta, shift[0]), 4 * np.pi), 0.5)
        around = b("Div", b("Add", phi, shift[1]), 2 * np.pi)
        around = b("Sub", around, b("Floor", around))
        places = (self.bits(x, bits) for x, bits in ((across, BITS), (around, BITS - 1)))
        left, right = (self.spread_bits(x) for x in places)
        place = b("BitwiseOr", self.shift_left(left, 1), right)
        keys = b("BitwiseOr", self.shift_left(place, 20), self.ranks())
        n = b("Shape", "features", start=0, end=1)
        _, order = b("TopK", b("Cast", keys, to=TensorProto.INT64), n, largest=0, axis=0, outputs=2)
        return order

    def bits(self, x: str, bits: int) -> str:
        """(n,) uint64 with ``bits`` bits of numbers (n, 1) from 0 to 1."""
        from onnx import TensorProto

        b = self.build.to(np.float64)
        x = b("Mul", b("Min", b("Max", x, 0.0), 1.0), float(1 << bits))
        return b("Cast", b("Squeeze", x, [1]), to=TensorProto.UINT64)

    def shift_left(self, x: str, bits: int) -> str:
        """(n,) integers with their bits shifted to the left."""
        return self.build("BitShift", x, np.uint64(bits), direction="LEFT")

    def spread_bits(self, x: str) -> str:
        """(n,) integers with a zero put between each two bits."""
        for shift, mask in SPREAD:
            x = self.build("BitwiseAnd", self.build("BitwiseOr", x, self.shift_left(x, shift)), np.uint64(mask))
        return x

    def ranks(self) -> str:
        """(n,) uint64: type, exponent and the eight leading bits of the fraction of pt."""
        from onnx import TensorProto

        b = self.build.to(np.float64)
        pt = b("Cast", b("Gather", "scale", 0, axis=1), to=TensorProto.DOUBLE)
        pt = b("Max", pt, float(np.finfo(np.float32).tiny))
        power = b("Floor", b("Div", b("Log", pt), math.log(2)))
        below, above = (b("Pow", 2.0, b("Add", power, step)) for step in (0.0, 1.0))
        low, high = b("Less", pt, below), b("GreaterOrEqual", pt, above)  # the logarithm is rounded
        power = b("Add", power, b("Where", high, 1.0, b("Where", low, -1.0, 0.0)))
        fraction = b("Floor", b("Mul", b("Div", pt, b("Pow", 2.0, power)), 256.0))
        rank = b("Add", b("Mul", b("Add", power, 126.0), 256.0), fraction)
        kind = self.shift_left(b("Cast", "types", to=TensorProto.UINT64), 16)
        return b("BitwiseOr", kind, b("Cast", rank, to=TensorProto.UINT64))

    def answer(self, x: str) -> None:
        """Class and momentum, see network.Heads and network.Outputs."""
        b = self.build
        probability = b("Softmax", self.linear_head("classes", x), axis=-1, name="probability")
        found = self.linear_head("momentum", x)
        eta, phi = b("Split", "direction", split=[1, 1], axis=1, outputs=2)
        if self.of.angles:
            step, cos, sin = (b("Gather", found, [i], axis=1) for i in (2, 3, 4))
            eta = b("Clip", b("Add", eta, step), -MAX_ETA, MAX_ETA)
            phi = self.turn(phi, b("Add", cos, 1.0), sin)
        self.momentum(b("Gather", found, [0, 1], axis=1), b("Gather", probability, [0], axis=1), eta, phi)

    def linear_head(self, name: str, x: str) -> str:
        """One of the heads."""
        return self.perceptron(f"answer.{name}", x)

    def momentum(self, logs: str, none: str, eta: str, phi: str) -> None:
        """The output of this name, from the logarithms of the ratios of pt and energy and P(none)."""
        b = self.build
        factor = b("Exp", b("Clip", logs, -MAX_LOG, MAX_LOG))
        pt, energy = b("Split", b("Mul", "scale", factor), split=[1, 1], axis=1, outputs=2)
        energy, weight = b("Max", energy, b("Mul", pt, b("Cosh", eta))), b("Sub", 1.0, none)
        b("Concat", b("Mul", pt, weight), eta, phi, b("Mul", energy, weight), axis=1, name="momentum")

    def turn(self, phi: str, cos: str, sin: str) -> str:
        """(n, 1) phi turned by the angle of cosine and sine, which may have a common factor."""
        b = self.build
        half = b("Where", b("Less", sin, 0.0), -math.pi, math.pi)
        turn = b("Add", b("Atan", b("Div", sin, cos)), b("Where", b("Less", cos, 0.0), half, 0.0))
        phi = b("Add", phi, turn)
        return b("Sub", phi, b("Mul", b("Round", b("Div", phi, 2 * math.pi)), 2 * math.pi))
