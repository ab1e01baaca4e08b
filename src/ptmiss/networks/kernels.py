"""The compiled backend of DeepMET on a CPU: features from columns, and all layers over blocks that stay in the cache.

BLAS computes the dense products, through numba's ``np.dot``. The first layer with its look-up in the category table,
the hyperbolic tangent and the sums are loops that the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ptmiss.angles import separation

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
    adds to its inputs, or None.
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
    _, _, (kernel2, bias2), (kernel3, bias3), (kernel4, bias4) = layers
    m = block.stop - block.start
    x1, x2, x3 = hidden[0][:m], hidden[1][:m], hidden[2][:m]
    enter(block, features, rows, layers, context, seen, x1)
    np.dot(x1, kernel2, x2)
    if heard is not None:
        x2 += heard[block]
    for i in range(m):
        x = x2[i]
        for j in range(x.size):
            x[j] = _tanh(x[j] + bias2[j])
    np.dot(x2, kernel3, x3)
    for i in range(m):
        x, o = x3[i], out[i]
        w, bx, by = bias4[0], bias4[1], bias4[2]
        for j in range(x.size):
            y = _tanh(x[j] + bias3[j])
            w += y * kernel4[0, j]
            bx += y * kernel4[1, j]
            by += y * kernel4[2, j]
        o[0], o[1], o[2] = w, bx, by


@njit(inline="always", **FLAGS)
def enter(block, features, rows, layers, context, seen, x1):  # type: ignore[no-untyped-def]
    """Write the outputs of the first layer for a block, a slice of candidates, into x1 (m, width)."""
    table, first = layers[0], layers[1]
    for i in range(len(x1)):
        x, f, t = x1[i], features[block.start + i], table[rows[block.start + i]]
        f0, f1, f2, f3, f4, f5, f6, f7 = f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]
        for j in range(x.size):
            low = f0 * first[0, j] + f1 * first[1, j] + f2 * first[2, j] + f3 * first[3, j]
            high = f4 * first[4, j] + f5 * first[5, j] + f6 * first[6, j] + f7 * first[7, j]
            x[j] = t[j] + low + high
    if context is not None:
        add_context(x1, context[0][block], context[1])
    if seen is not None:
        x1 += seen[block]
    tanh_(x1.reshape(-1))


@njit(inline="always", **FLAGS)
def add_context(x, sums, kernel):  # type: ignore[no-untyped-def]
    """Add sums (m, 6) times their kernel (6, width) to x (m, width)."""
    for i in range(len(x)):
        y, s = x[i], sums[i]
        s0, s1, s2, s3, s4, s5 = s[0], s[1], s[2], s[3], s[4], s[5]
        for j in range(y.size):
            low = s0 * kernel[0, j] + s1 * kernel[1, j] + s2 * kernel[2, j]
            y[j] += low + s3 * kernel[3, j] + s4 * kernel[4, j] + s5 * kernel[5, j]


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
