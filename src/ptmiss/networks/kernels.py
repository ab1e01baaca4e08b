"""The compiled backend of DeepMET on a CPU: features from columns, and all layers over blocks that stay in the cache.

A dense layer takes four candidates and sixteen outputs at a time: the sums stay in registers until their hyperbolic
tangent is written. What is simpler are loops that the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ptmiss.angles import separation
from ptmiss.networks.lanes import LANES, load, store, total

BLOCK = 128  # candidates at a time: what is between the layers stays in the cache
LIMIT = np.float32(7.5)  # tanh differs from 1 by 6e-7 beyond
P = tuple(np.float32(c) for c in (9.9999963158e-01, 1.2958246101e-01, 2.9868796444e-03, 1.1837175152e-05))
Q = tuple(np.float32(c) for c in (1.0, 4.6291438452e-01, 2.3959921411e-02, 2.4385815012e-04, 2.5944114460e-07))
"""``tanh x = x P(x²) / Q(x²)`` below LIMIT, a minimax fit to 1e-7; with float32 rounding and beyond LIMIT to 8e-7."""

_p0, _p1, _p2, _p3 = P
_q0, _q1, _q2, _q3, _q4 = Q

FLAGS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz"},
    "error_model": "numpy",
    "nogil": True,
    "cache": True,
}


@njit(inline="always", **FLAGS)
def _tanh(x):  # type: ignore[no-untyped-def]
    x = min(max(x, -LIMIT), LIMIT)
    z = x * x
    return x * (_p0 + z * (_p1 + z * (_p2 + z * _p3))) / (_q0 + z * (_q1 + z * (_q2 + z * (_q3 + z * _q4))))


@njit(**FLAGS)
def tanh_(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent of a flat float32 array, shape (n,), in place, to 8e-7."""
    for i in range(x.size):
        x[i] = _tanh(x[i])


@njit(**FLAGS)
def tanh_gradient(gradient, y):  # type: ignore[no-untyped-def]
    """``gradient (1 - y²)`` of flat arrays, shape (n,)."""
    out = np.empty_like(gradient)
    for i in range(y.size):
        out[i] = gradient[i] * (np.float32(1) - y[i] * y[i])
    return out


@njit(**FLAGS)
def prepare(columns, momentum_scale, overflow, positions, lowest, charge, pdg_id, from_pv):  # type: ignore[no-untyped-def]
    """Features (n, 8), momenta scaled, and rows of the category table (n,) of candidates; see ptmiss.networks.deepmet.

    columns: dxy dz eta mass pt puppiWeight phi, flat float32. Row 255 marks a candidate with an unknown category.
    """
    dxy, dz, eta, mass, pt, puppi, phi = columns
    n = len(pt)
    features, rows = np.empty((n, 8), np.float32), np.empty(n, np.uint8)
    for i in range(n):
        scaled = pt[i] * momentum_scale
        px, py = scaled * np.cos(phi[i]), scaled * np.sin(phi[i])
        f = features[i]
        f[0], f[1], f[2], f[3], f[5] = dxy[i], dz[i], eta[i], mass[i], puppi[i]
        f[4] = scaled if abs(scaled) <= overflow else np.float32(0)
        f[6] = px if abs(px) <= overflow else np.float32(0)
        f[7] = py if abs(py) <= overflow else np.float32(0)
        code = pdg_id[i] - lowest
        found = positions[code] if 0 <= code < len(positions) else -1
        known = found >= 0 and -1 <= charge[i] <= 1 and 0 <= from_pv[i] <= 3
        rows[i] = (charge[i] + 1) * 44 + found * 4 + from_pv[i] if known else 255
    return features, rows


@njit(**FLAGS)
def weights(features, rows, layers, context, seen, heard):  # type: ignore[no-untyped-def]
    """(n, 3) outputs of the network: four dense layers with tanh between them, block by block.

    features: (n, 8) float32; rows: (n,) of the table; layers: the table (combinations, width), which is the first
    layer's category part with its bias; its kernel (8, width); kernel and bias of the second and third; the transposed
    kernel (3, width) and bias of the last. context: sums over neighbours (n, 6) and their kernel (6, width), or None.
    seen: (n, width) what latents add to the first layer, or None. heard: (n, width of the second layer) what attention
    adds to its inputs, or None. Widths are multiples of LANES.
    """
    n = len(features)
    hidden, out = buffers(layers), np.empty((n, 3), np.float32)
    for start in range(0, n, BLOCK):
        weigh(slice(start, min(start + BLOCK, n)), features, rows, layers, context, seen, heard, hidden, out[start:])
    return out


@njit(**FLAGS)
def weighted_sums(features, rows, offsets, layers, context, seen):  # type: ignore[no-untyped-def]
    """(events, 4) sums of ``weights``, see ``sum_contributions``, without an array of them."""
    n, event = len(features), 0
    hidden, out, sums = buffers(layers), np.empty((BLOCK, 3), np.float32), np.zeros((len(offsets) - 1, 4))
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        weigh(slice(start, stop), features, rows, layers, context, seen, None, hidden, out)
        i = start
        while i < stop:
            while offsets[event + 1] <= i:
                event += 1
            last = min(stop, offsets[event + 1])
            add(out[i - start : last - start], features[i:last], sums[event])
            i = last
    return sums


@njit(**FLAGS)
def buffers(layers):  # type: ignore[no-untyped-def]
    """Outputs of the three hidden layers of a block."""
    _, first, (second, _), (third, _), _ = layers
    one, two, three = first.shape[1], second.shape[1], third.shape[1]
    return (
        np.empty((BLOCK, one), np.float32), np.empty((BLOCK, two), np.float32), np.empty((BLOCK, three), np.float32)
    )  # fmt: skip


@njit(**FLAGS)
def weigh(block, features, rows, layers, context, seen, heard, hidden, out):  # type: ignore[no-untyped-def]
    """Write the outputs of a block, a slice of candidates, into the first rows of out (m, 3)."""
    _, _, second, third, last = layers
    m = block.stop - block.start
    x1, x2, x3 = hidden[0][:m], hidden[1][:m], hidden[2][:m]
    enter(block, features, rows, layers, context, seen, x1)
    if heard is None:
        hide(x1, second, None, x2)
    else:
        hide(x1, second, heard[block], x2)
    hide(x2, third, None, x3)
    leave(x3, last, out)


@njit(**FLAGS)
def enter(block, features, rows, layers, context, seen, x1):  # type: ignore[no-untyped-def]
    """Write the outputs of the first layer for a block, a slice of candidates, into x1 (m, width)."""
    table, kernel = layers[0], layers[1]
    f, row = features[block], rows[block]
    for start in range(0, len(x1), 4):
        i = four(start, len(x1))
        of_table = row[i[0]], row[i[1]], row[i[2]], row[i[3]]
        for j in range(0, x1.shape[1], LANES):
            y = add_product(load_four(table, of_table, j), f, i, kernel, j)
            if context is not None:
                y = add_product(y, context[0][block], i, context[1], j)
            if seen is not None:
                y = add_four(y, seen[block], i, j)
            store_tanh(y, x1, i, j)


@njit(**FLAGS)
def hide(x, layer, heard, out):  # type: ignore[no-untyped-def]
    """Write the outputs of a hidden layer, ``tanh(x kernel + bias)``, into out (m, width); heard adds to its inputs."""
    kernel, bias = layer
    for start in range(0, len(x), 4):
        i = four(start, len(x))
        for j in range(0, out.shape[1], LANES):
            b = load(bias, (j,))
            y = b, b, b, b
            if heard is not None:
                y = add_four(y, heard, i, j)
            store_tanh(add_product(y, x, i, kernel, j), out, i, j)


@njit(**FLAGS)
def leave(x, layer, out):  # type: ignore[no-untyped-def]
    """Write the outputs of the last layer, ``x kernel + bias`` with the kernel transposed, into out (m, 3)."""
    kernel, bias = layer
    for i in range(len(x)):
        for c in range(3):
            y = load(x, (i, 0)) * load(kernel, (c, 0))
            for j in range(LANES, x.shape[1], LANES):
                y = y + load(x, (i, j)) * load(kernel, (c, j))
            out[i, c] = bias[c] + total(y)


@njit(**FLAGS)
def four(start, m):  # type: ignore[no-untyped-def]
    """Four rows from start on; in place of those beyond m the last again."""
    return start, min(start + 1, m - 1), min(start + 2, m - 1), min(start + 3, m - 1)


@njit(**FLAGS)
def add_product(y, x, i, kernel, j):  # type: ignore[no-untyped-def]
    """y, lanes for each of four rows, plus rows i of x times the columns of a kernel from j on.

    Four rows of sixteen sums are eight AVX registers: as many products and sums as two units of four cycles keep going.
    """
    y0, y1, y2, y3 = y
    i0, i1, i2, i3 = i
    for k in range(x.shape[1]):
        w = load(kernel, (k, j))
        y0 = y0 + w * x[i0, k]
        y1 = y1 + w * x[i1, k]
        y2 = y2 + w * x[i2, k]
        y3 = y3 + w * x[i3, k]
    return y0, y1, y2, y3


@njit(**FLAGS)
def load_four(x, i, j):  # type: ignore[no-untyped-def]
    """Lanes of rows i of x from column j on."""
    return load(x, (i[0], j)), load(x, (i[1], j)), load(x, (i[2], j)), load(x, (i[3], j))


@njit(**FLAGS)
def add_four(y, x, i, j):  # type: ignore[no-untyped-def]
    """y plus lanes of rows i of x from column j on."""
    more = load_four(x, i, j)
    return y[0] + more[0], y[1] + more[1], y[2] + more[2], y[3] + more[3]


@njit(**FLAGS)
def store_tanh(y, out, i, j):  # type: ignore[no-untyped-def]
    """Write tanh of y into rows i of out from column j on."""
    store(out, (i[0], j), _tanh(y[0]))
    store(out, (i[1], j), _tanh(y[1]))
    store(out, (i[2], j), _tanh(y[2]))
    store(out, (i[3], j), _tanh(y[3]))


@njit(**FLAGS)
def sum_contributions(outputs, features, offsets):  # type: ignore[no-untyped-def]
    """(events, 4) float64 sums of ``(w - 1) (bx, by, px, py)``; outputs (n, 3), momenta in the last two features."""
    sums = np.zeros((len(offsets) - 1, 4))
    for event in range(len(sums)):
        here = slice(offsets[event], offsets[event + 1])
        add(outputs[here], features[here], sums[event])
    return sums


@njit(inline="always", **FLAGS)
def add(outputs, features, sums):  # type: ignore[no-untyped-def]
    """Add the contributions of some candidates to sums (4,)."""
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    for i in range(len(outputs)):
        w = np.float64(outputs[i, 0]) - 1.0
        s0 += w * outputs[i, 1]
        s1 += w * outputs[i, 2]
        s2 += w * features[i, 6]
        s3 += w * features[i, 7]
    sums[0], sums[1], sums[2], sums[3] = s0, s1, s2, s3


@njit(**FLAGS)
def sum_momenta(weight, momentum, offsets):  # type: ignore[no-untyped-def]
    """(events, 2) float64 sums of momenta (n, 2), each with a weight (n,)."""
    sums = np.zeros((len(offsets) - 1, 2))
    for event in range(len(sums)):
        x, y = 0.0, 0.0
        for i in range(offsets[event], offsets[event + 1]):
            x += np.float64(weight[i]) * momentum[i, 0]
            y += np.float64(weight[i]) * momentum[i, 1]
        sums[event, 0], sums[event, 1] = x, y
    return sums


@njit(**FLAGS)
def nearest(eta, phi, offsets, jet_eta, jet_phi, jet_offsets, radius):  # type: ignore[no-untyped-def]
    """(n,) row of the nearest jet of each candidate's event within a radius in (eta, phi); -1 for none.

    eta, phi: (n,); jet_eta, jet_phi: (jets,); offsets, jet_offsets: (events + 1,).
    """
    found = np.full(len(eta), -1, np.int64)
    for event in range(len(offsets) - 1):
        for i in range(offsets[event], offsets[event + 1]):
            least = radius * radius
            for j in range(jet_offsets[event], jet_offsets[event + 1]):
                distance = (eta[i] - jet_eta[j]) ** 2 + separation(phi[i], jet_phi[j]) ** 2
                if distance < least:
                    least = distance
                    found[i] = j
    return found
