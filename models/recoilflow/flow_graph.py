"""A flow as an ONNX graph: to normal scores with the switch at simulation, and back with it at data.

What zuko's transforms do is written in ONNX operators, in float64. Between its ends a rational-quadratic spline maps an
interval to itself (Durkan et al., arXiv:1906.04032), so a value is kept inside for it and moves with the end beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ptmiss.typing import Array

from ..onnx_graph import Graph
from .network import Network

MC, DATA = -0.5, 0.5  # the last input of the conditioners
BOUND, SLOPE = 5.0, 1e-3  # zuko's defaults: end of a spline, and least slope of a transform


def add_map(g: Graph, network: Network, u: str, context: str, name: str = "") -> str:
    """Nodes that correct u (events, features), GeV, with their context (events, columns); name of the result."""
    standard = g("Div", g("Sub", u, numbers(network.u_mean)), numbers(network.u_spread))
    scores = _scores(g, network, standard, _given(g, network, context, MC))
    moved = _values(g, network, scores, _given(g, network, context, DATA))
    return str(g("Add", g("Mul", moved, numbers(network.u_spread)), numbers(network.u_mean), name=name))


def _scores(g: Graph, network: Network, u: str, given: str) -> str:
    """Normal scores of standardised residuals of simulation."""
    shift, scale = _moved(g, network, given, MC)
    plain = g("Mul", g("Sub", u, shift), g("Exp", g("Neg", scale)))
    x = g("MatMul", plain, np.linalg.inv(numbers(network.mixed(0.0))).T)
    for part in network.flow.transform.transforms:
        x = _univariate(g, part, x, given, x, inverse=False)
    return str(x)


def _values(g: Graph, network: Network, scores: str, given: str) -> str:
    """Standardised residuals of data with these normal scores."""
    for part in reversed(network.flow.transform.transforms):
        scores = _inverse(g, part, scores, given)
    shift, scale = _moved(g, network, given, DATA)
    mixed = g("MatMul", scores, numbers(network.mixed(1.0)).T)
    return str(g("Add", g("Mul", mixed, g("Exp", scale)), shift))


def numbers(tensor: Tensor) -> Array:
    """A parameter as an array in float64."""
    array: Array = tensor.detach().double().numpy()
    return array


def _given(g: Graph, network: Network, context: str, side: float) -> str:
    """What the conditioners see, as in Network.given."""
    low, high = numbers(network.ranges)
    clamped = g("Min", g("Max", context, low), high)
    standard = g("Div", g("Sub", clamped, numbers(network.context_mean)), numbers(network.context_spread))
    return str(g("Pad", standard, np.array([0, 0, 0, 1]), np.array(side)))


def _moved(g: Graph, network: Network, given: str, side: float) -> list[str]:
    """Shift and logarithm of the scale, lines in the first column of what is given, as in Network.moved."""
    qt = g("Gather", given, np.array([0]), axis=1)
    lines = numbers(network.common + side * network.difference)
    return [g("Add", g("Mul", qt, line[:, 1]), line[:, 0]) for line in lines]


def _inverse(g: Graph, part: Any, y: str, given: str) -> str:
    """The inverse of a transform: a pass for each component, which is known when those before it are."""
    x = g("Mul", y, np.zeros(1))
    for _ in range(part.passes):
        x = _univariate(g, part, x, given, y, inverse=True)
    return str(x)


def _univariate(g: Graph, part: Any, seen: str, given: str, x: str, *, inverse: bool) -> str:
    """Each component of x through its own function, whose parameters depend on the components seen before it."""
    parameters = _parameters(g, part, g("Concat", seen, given, axis=1))
    sizes = [math.prod(shape) for shape in part.shapes]
    if len(sizes) == 2:
        return _affine(g, parameters, x, inverse)
    return _spline(g, g("Split", parameters, split=np.array(sizes), axis=2, outputs=3), x, inverse)


def _parameters(g: Graph, part: Any, inputs: str) -> str:
    """(events, features, parameters) what a conditioner says."""
    x = inputs
    for number, layer in enumerate(list(part.hyper)[::2]):
        x = g("Mul", x, g("Sigmoid", x)) if number else x
        x = g("Add", g("MatMul", x, numbers(layer.mask * layer.weight).T), numbers(layer.bias))
    return str(g("Reshape", x, np.array([0, -1, part.total])))


def _limited(g: Graph, x: str, times: float = 1.0) -> str:
    """x / (1 + |times x / log(SLOPE)|), so that no slope is too small."""
    size = g("Abs", g("Mul", x, np.array(times / math.log(SLOPE))))
    return str(g("Div", x, g("Add", size, np.array(1.0))))


def _affine(g: Graph, parameters: str, x: str, inverse: bool) -> str:
    """exp(a) x + b, or its inverse."""
    shift, scale = (
        g("Squeeze", p, np.array([2])) for p in g("Split", parameters, split=np.ones(2, int), axis=2, outputs=2)
    )
    factor = g("Exp", _limited(g, scale))
    return str(g("Div", g("Sub", x, shift), factor) if inverse else g("Add", g("Mul", x, factor), shift))


class Knots(NamedTuple):
    """Of the bins of splines, each (events, features, bins): lower ends, and sizes."""

    low: str
    size: str


def _knots(g: Graph, parameters: str) -> Knots:
    size = g("Mul", g("Softmax", _limited(g, parameters, 2.0), axis=2), np.array(2 * BOUND))
    below = g("CumSum", size, np.array(2), exclusive=1)
    return Knots(g("Sub", below, np.array(BOUND)), size)


def _spline(g: Graph, parameters: Sequence[str], x: str, inverse: bool) -> str:
    """A monotonic rational-quadratic spline, or its inverse."""
    across, up = (_knots(g, part) for part in parameters[:2])
    steep = g("Exp", g("Pad", _limited(g, parameters[2]), np.array([0, 0, 1, 0, 0, 1])))
    inside = g("Max", g("Min", x, np.array(BOUND)), np.array(-BOUND))
    column = g("Unsqueeze", inside, np.array([2]))
    here = _bin(g, up.low if inverse else across.low, column)
    x0, dx, y0, dy = (g("GatherElements", each, here, axis=2) for each in (*across, *up))
    d0, d1 = (g("GatherElements", steep, each, axis=2) for each in (here, g("Add", here, np.array(1))))
    function = _back if inverse else _forth
    moved = function(g, column, x0, dx, y0, dy, d0, d1)
    return str(g("Add", g("Squeeze", moved, np.array([2])), g("Sub", x, inside)))


def _bin(g: Graph, low: str, x: str) -> str:
    """(events, features, 1) number of the bin that holds x."""
    above = g("Cast", g("Less", low, x), to=7)
    count = g("Sub", g("ReduceSum", above, np.array([2]), keepdims=1), np.array(1))
    return str(g("Max", count, np.array(0)))


def _bend(g: Graph, slope: str, d0: str, d1: str) -> str:
    """d0 + d1 - 2 slope."""
    return str(g("Sub", g("Add", d0, d1), g("Mul", slope, np.array(2.0))))


def _forth(g: Graph, x: str, x0: str, dx: str, y0: str, dy: str, d0: str, d1: str) -> str:
    """Its value: y0 + dy (s z² + d0 z (1 - z)) / (s + (d0 + d1 - 2 s) z (1 - z)), of z in its bin and the slope s."""
    slope, z = g("Div", dy, dx), g("Div", g("Sub", x, x0), dx)
    both = g("Mul", z, g("Sub", np.array(1.0), z))
    above = g("Add", g("Mul", slope, g("Mul", z, z)), g("Mul", d0, both))
    below = g("Add", slope, g("Mul", _bend(g, slope, d0, d1), both))
    return str(g("Add", y0, g("Mul", dy, g("Div", above, below))))


def _back(g: Graph, y: str, x0: str, dx: str, y0: str, dy: str, d0: str, d1: str) -> str:
    """Where its value is y: x0 + dx z, with the root z of a z² + b z + c."""
    slope, above = g("Div", dy, dx), g("Sub", y, y0)
    bent = g("Mul", above, _bend(g, slope, d0, d1))
    a = g("Add", g("Mul", dy, g("Sub", slope, d0)), bent)
    b = g("Sub", g("Mul", dy, d0), bent)
    c = g("Neg", g("Mul", slope, above))
    root = g("Sqrt", g("Sub", g("Mul", b, b), g("Mul", g("Mul", a, c), np.array(4.0))))
    z = g("Div", g("Mul", c, np.array(2.0)), g("Neg", g("Add", b, root)))
    return str(g("Add", x0, g("Mul", dx, z)))
