"""The published transformer of v2.2.0 in an ONNX graph: each element runs through the blocks of its own type alone."""

from __future__ import annotations

import math

import numpy as np

from ptmiss.elements import CLASSES, TYPES

from .layers import Layers, fused_attention
from .network import MAX_ETA, PublishedV220


class PublishedLayers(Layers):
    """The layers of PublishedV220."""

    def all(self) -> None:
        """From the inputs to the outputs."""
        b = self.build
        rows, places = self.rows_by_type()
        x = self.standardise()
        named, measured = (self.stack(name, x, rows, places) for name in ("identification", "regression"))
        particle = b("Softmax", self.block("particle", named), axis=-1)
        none, some = b("Split", particle, split=[1, 1], axis=-1, outputs=2)
        kind = b("Gather", self.block("kind", named), list(range(1, len(CLASSES))), axis=1)
        b("Concat", none, b("Mul", some, b("Softmax", kind, axis=-1)), axis=-1, name="probability")
        logs = [self.per_type(name, measured, rows, places) for name in ("pt", "energy")]
        eta, phi = b("Split", "direction", split=[1, 1], axis=1, outputs=2)
        eta = b("Clip", self.affine("eta", measured, eta), -MAX_ETA, MAX_ETA)
        sin, cos = b("Sin", phi), b("Cos", phi)
        new_sin, new_cos = self.affine("sin", measured, sin), self.affine("cos", measured, cos)
        along = b("Add", b("Mul", new_cos, cos), b("Mul", new_sin, sin))
        across = b("Sub", b("Mul", new_sin, cos), b("Mul", new_cos, sin))
        self.momentum(b("Concat", *logs, axis=1), none, eta, self.turn(phi, along, across))

    def rows_by_type(self) -> tuple[list[str], str]:
        """The rows of each type, and the place of each row among those of all types, one after the other."""
        b = self.build
        rows = [b("Squeeze", b("NonZero", b("Equal", "types", number)), [0]) for number in TYPES]
        together = b("Concat", *rows, axis=0)
        numbers = self.count(b("Shape", "types"))
        return rows, b("ScatterElements", numbers, together, numbers)

    def block(self, name: str, x: str) -> str:
        """See network.Block."""
        x = self.norm(f"{name}.2", self.build("Relu", self.linear(f"{name}.0", x)))
        return self.linear(f"{name}.3", x)

    def per_type(self, name: str, x: str, rows: list[str], places: str) -> str:
        """See network.PerType."""
        b = self.build
        blocks = [PublishedV220.PRESENT.index(number) for number in TYPES]
        found = [
            self.block(f"{name}.blocks.{block}", b("Gather", x, some, axis=0))
            for block, some in zip(blocks, rows, strict=True)
        ]
        return b("Gather", b("Concat", *found, axis=0), places, axis=0)

    def stack(self, name: str, x: str, rows: list[str], places: str) -> str:
        """See network.StackV220."""
        x = encoded = self.per_type(f"{name}.encoder", x, rows, places)
        last = PublishedV220.LAYERS - 1
        for i in range(PublishedV220.LAYERS):
            x = self.layer(f"{name}.layers.{i}", x, encoded if i == last else None)
        return self.norm(f"{name}.norm", x)

    def layer(self, name: str, x: str, asked: str | None) -> str:
        """See network.LayerV220."""
        b = self.build
        x = self.norm(f"{name}.norm1", x)
        query, key, value = (
            self.linear(f"{name}.{part}", source) for part, source in (("query", asked or x), ("key", x), ("value", x))
        )
        scale = 1 / math.sqrt(PublishedV220.WIDTH / PublishedV220.HEADS)
        seen = fused_attention(b, query, key, value, PublishedV220.HEADS, scale)
        y = b("Add", x, self.linear(f"{name}.out", seen))
        feed = b("Relu", self.linear(f"{name}.first", self.norm(f"{name}.norm2", y)))
        return b("Add", y, b("Relu", self.linear(f"{name}.second", feed)))

    def affine(self, name: str, x: str, value: str) -> str:
        """(n, 1) ``v (1 + n0) + n1`` of a value (n, 1), with n (n, 2) from a block."""
        b = self.build
        factor, term = b("Split", self.block(name, x), split=[1, 1], axis=1, outputs=2)
        return b("Add", b("Mul", value, b("Add", factor, np.float32(1))), term)
