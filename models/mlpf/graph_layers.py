"""The network with combined-graph layers in an ONNX graph: bins by hash, and a graph in each."""

from __future__ import annotations

import numpy as np

from .layers import Layers
from .lsh import DISTANCE, LEAST, MAX_BINS, SMALL


class GraphLayers(Layers):
    """The layers of GraphNetwork."""

    def all(self) -> None:
        """From the inputs to the outputs."""
        b = self.build
        x = self.perceptron("encoder", self.standardise())
        for i in range(self.of.layers):
            x = b("Add", x, self.combined(f"layers.{i}", self.norm(f"norms.{i}", x)))
        self.answer(self.norm(f"norms.{self.of.layers}", x))

    def combined(self, name: str, x: str) -> str:
        """See lsh.CombinedGraph."""
        b, size = self.build, self.of.window
        embedded = x
        for i in range(4):
            embedded = b("Elu", self.linear(f"{name}.embedding.{i}", embedded))
        rows, slots, filled = self.slots(self.order_by_hash(name, embedded), 0)
        graph = self.kernel(b("Gather", embedded, rows, axis=0), filled)
        degree = b("Add", b("ReduceSum", graph, [-1], keepdims=1), SMALL)
        norm = b("Reciprocal", b("Sqrt", degree))
        for i in range(2):
            x = self.message(f"{name}.messages.{i}", x, graph, norm, rows, slots, size)
        return x

    def order_by_hash(self, name: str, embedded: str) -> str:
        """(n,) elements sorted by hash and then by projection, see lsh.CombinedGraph.order."""
        b, size = self.build, self.of.window
        n = b("Shape", "features", start=0, end=1)
        half = b("Div", b("Add", n, 2 * size - 1), 2 * size)
        half = b("Min", b("Max", half, 1), MAX_BINS // 2)
        along = b("MatMul", embedded, self.tensors[f"{name}.codebook"])
        along = b("Slice", along, [0], half, [1])
        both = b("Concat", along, b("Neg", along), axis=1)
        hashes = b("ArgMax", both, axis=1, keepdims=0)
        _, order = b("TopK", b("ReduceMax", both, [1], keepdims=0), n, largest=0, axis=0, outputs=2)
        _, second = b("TopK", b("Gather", hashes, order), n, largest=0, axis=0, outputs=2)
        return b("Gather", order, second)

    def kernel(self, embedded: str, filled: str) -> str:
        """(bins, size, size) strengths of edges, see lsh.kernel; filled: (slots,)."""
        from onnx import TensorProto

        b, size = self.build, self.of.window
        double = b.to(np.float64)
        x = b("Cast", b("Reshape", embedded, [-1, size, 64]), to=TensorProto.DOUBLE)
        square = b("ReduceSum", b("Mul", x, x), [-1], keepdims=1)
        product = b("MatMul", x, b("Transpose", x, perm=[0, 2, 1]))
        distance = double("Add", square, b("Transpose", square, perm=[0, 2, 1]))
        distance = double("Sub", distance, double("Mul", product, 2.0))
        distance = b("Cast", double("Sqrt", double("Max", distance, 0.0)), to=TensorProto.FLOAT)
        near = b("Clip", b("Exp", b("Mul", distance, -DISTANCE)), LEAST, 1.0)
        there = b("Cast", b("Reshape", filled, [-1, size, 1]), to=TensorProto.FLOAT)
        return b("Mul", b("Mul", near, there), b("Transpose", there, perm=[0, 2, 1]))

    def message(self, name: str, x: str, graph: str, norm: str, rows: str, slots: str, size: int) -> str:
        """See lsh.GraphMessage."""
        b, width = self.build, self.of.width
        along = b("MatMul", x, self.tensors[f"{name}.along.weight"].T)
        along = b("Reshape", b("Gather", along, rows, axis=0), [-1, size, width])
        sent = b("Mul", norm, b("MatMul", graph, b("Mul", norm, along)))
        sent = b("Gather", b("Reshape", sent, [-1, width]), slots, axis=0)
        gate = b("Sigmoid", self.linear(f"{name}.gate", x))
        own = b("MatMul", x, self.tensors[f"{name}.own.weight"].T)
        return b("Elu", b("Add", b("Mul", gate, sent), b("Mul", b("Sub", 1.0, gate), own)))
