"""Sixteen float32 numbers as one value of compiled code, in registers: two of AVX, one of AVX-512, four of NEON.

``load`` and ``store`` move them from and to arrays. Between them ``+``, ``*``, ``/``, ``min`` and ``max`` work on each
number; one of the two operands may be one float32 for all.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, overload, register_model
from numpy.typing import NDArray

LANES = 16
FUSED = ("contract", "nsz")  # a product and a sum may become one instruction
IN_PAIRS = ("reassoc", "nsz")  # a sum may take any order

primitive: Any = intrinsic  # for mypy it would have the context as its first argument where it is called
NUMBER, INDEX = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(NUMBER, LANES)


def padded(array: NDArray[np.float32], *axes: int) -> NDArray[np.float32]:
    """An array with zeros at the end of some axes, up to a multiple of LANES, C-contiguous."""
    more = [(0, -n % LANES if axis in axes else 0) for axis, n in enumerate(array.shape)]
    return np.ascontiguousarray(np.pad(array, more) if any(n for _, n in more) else array)


class Lanes(types.Type):
    """The type of LANES float32 numbers."""


KIND = Lanes("lanes")


@register_model(Lanes)
class Model(models.PrimitiveModel):
    """What they are for LLVM."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, VECTOR)


def spread(builder: Any, value: Any) -> Any:
    """Lanes as they are, or one number in all of them."""
    if value.type == VECTOR:
        return value
    nothing, zeros = ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(nothing, value, INDEX(0)), nothing, zeros)


def define(function: Any, instruction: Any) -> None:
    """Let compiled code apply an operator or function of two arguments to lanes."""

    @primitive
    def apply(_, x, y):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return instruction(builder, *(spread(builder, value) for value in arguments))

        return KIND(x, y), generate

    @overload(function)
    def choose(x, y):  # type: ignore[no-untyped-def]
        if (x, y) in ((KIND, KIND), (KIND, types.float32), (types.float32, KIND)):
            return lambda x, y: apply(x, y)
        return None


define(operator.add, lambda builder, x, y: builder.fadd(x, y, flags=FUSED))
define(operator.mul, lambda builder, x, y: builder.fmul(x, y, flags=FUSED))
define(operator.truediv, lambda builder, x, y: builder.fdiv(x, y, flags=FUSED))
define(min, lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), y, x))
define(max, lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), y, x))


def index_of(array: Any) -> types.UniTuple:
    """The type of an index of an array type that lanes can be in."""
    if array.layout != "C" or array.dtype != types.float32:
        raise TypingError(f"lanes are in C-contiguous arrays of float32, not in {array}")
    return types.UniTuple(types.intp, array.ndim)


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Where the lanes of an array from an index on are."""
    found, numbers = context.make_array(kind)(context, builder, array), cgutils.unpack_tuple(builder, index)
    return builder.bitcast(cgutils.get_item_pointer(context, builder, kind, found, numbers), VECTOR.as_pointer())


@primitive
def load(_, array, index):  # type: ignore[no-untyped-def]
    """The lanes of an array from an index on, a tuple."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.load(pointer(context, builder, array, *arguments), align=4)

    return KIND(array, index_of(array)), generate


@primitive
def store(_, array, index, lanes):  # type: ignore[no-untyped-def]
    """Write lanes into an array from an index on, a tuple."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.store(arguments[2], pointer(context, builder, array, *arguments[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, index_of(array), KIND), generate


@primitive
def total(_, lanes):  # type: ignore[no-untyped-def]
    """The sum of the lanes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind, name = ir.FunctionType(NUMBER, [NUMBER, VECTOR]), f"llvm.vector.reduce.fadd.v{LANES}f32"
        add = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(add, [NUMBER(0.0), *arguments], fastmath=IN_PAIRS)

    return types.float32(KIND), generate
