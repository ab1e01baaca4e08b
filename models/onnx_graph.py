"""Building an ONNX graph node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

OPSET, IR = 18, 9

Shape = Sequence[int | str]


class Graph:
    """Nodes and constants of a graph; each gets a name of its own.

    precision: type of the constants that are not integers.
    """

    def __init__(self, precision: type[np.floating] = np.float64):
        self.precision = precision
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def to(self, precision: type[np.floating]) -> Graph:
        """The same graph, whose further constants have another precision."""
        other = Graph(precision)
        other.nodes, other.constants = self.nodes, self.constants
        return other

    def __call__(self, kind: str, *inputs: str | ArrayLike, name: str = "", outputs: int = 1, **attributes):  # type: ignore[no-untyped-def]
        """Add a node; returns the names of its outputs. An input that is not a name becomes a constant."""
        from onnx import helper

        if "split" in attributes:
            inputs = (*inputs, attributes.pop("split"))
        given = [x if isinstance(x, str) else self.constant(np.asarray(x)) for x in inputs]
        names = [name or f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, given, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: NDArray) -> str:
        """Add a constant of any shape; return its name. Integers have 64 bits, other numbers the graph's precision."""
        from onnx import numpy_helper

        kinds: dict[str, type] = {"i": np.int64, "u": np.uint64, "b": np.bool_}
        name = f"constant{len(self.constants)}"
        array: NDArray = np.asarray(values, kinds.get(values.dtype.kind, self.precision))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def model(
        self, name: str, inputs: Mapping[str, tuple[type, Shape]], outputs: Mapping[str, tuple[type, Shape]]
    ) -> Any:
        """The onnx.ModelProto; inputs, outputs: type and shape by name."""
        from onnx import helper

        input_values, output_values = (
            [
                helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(shape))
                for key, (kind, shape) in side.items()
            ]
            for side in (inputs, outputs)
        )
        made = helper.make_graph(self.nodes, name, input_values, output_values, self.constants)
        others = sorted({node.domain for node in self.nodes} - {""})
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in others)]
        return helper.make_model(made, opset_imports=opsets, ir_version=IR, producer_name="ptmiss")
