"""Attention of candidates over their neighbours, compiled: who they are, features of pairs, messages, and gradients.

The neighbours of a candidate are the NEAREST ones of its event in ΔR, within RADIUS; electrons and muons are none. A
grid finds them: its cells are at least a third of RADIUS wide, so that they lie in the 7 by 7 cells around it, or in
fewer where candidates are dense. What is known of the pairs of a candidate has the neighbours along its last axis,
which is one or two vector registers. All sizes are constants, with which the compiled loops are nearly twice as fast.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ptmiss.networks.features import HEADS, HIDDEN, NEAREST, PAIRS, SCALE, SIZE, WIDTH
from ptmiss.networks.kernels import BLOCK, FLAGS, _tanh, enter
from ptmiss.networks.neighbours import KINDS, NEUTRAL, logarithm
from ptmiss.segments import Offsets

RADIUS, RINGS = 0.6, 3
MAX_ETA, ETA_CELLS, PHI_CELLS = np.float32(6), 60, 31
COLUMNS = PHI_CELLS + 2 * RINGS  # the first and last ones are there twice, since phi is a circle
PER_ETA, PER_PHI = np.float32(5), np.float32(PHI_CELLS / math.tau)
CELL = np.float32(0.2)  # the least width of a cell
MANY = 0.5  # more than 1 / π: so many times NEAREST in a square almost always mean enough in the circle inside
PI, TURN, RADIUS2 = np.float32(math.pi), np.float32(math.tau), np.float32(RADIUS**2)
LEAST_PT, LEAST_DR2, LN_SCALE = np.float32(1e-3 / SCALE), np.float32(1e-6), np.float32(math.log(SCALE))
PER_MM = np.float32(10)  # dz is in cm
PER_LN2, LN2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
E0, E1, E2, E3, E4, E5 = (np.float32(1 / math.factorial(k)) for k in range(6))
MOST = np.float32(60)  # of a score: beyond it all shares would still be finite
LEAST = np.float32(1e-30)
PER_ROOT = np.float32(1 / math.sqrt(SIZE))
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)


def neighbours(features: NDArray[np.float32], kinds: NDArray[np.int8], offsets: Offsets) -> NDArray[np.int32]:
    """(n, NEAREST) rows of the neighbours of each candidate, in no order; -1 at the end where there are fewer.

    features: (n, 8); kinds: (n,) class of each, see ptmiss.networks.neighbours; offsets: (events + 1,).
    """
    out = np.empty((len(features), NEAREST), np.int32)
    find_all(features, kinds, offsets, out)
    return out


def pair_features(
    features: NDArray[np.float32], kinds: NDArray[np.int8], index: NDArray[np.int32]
) -> NDArray[np.float32]:
    """(n, PAIRS, NEAREST) features of pairs: ln ΔR, ln kT, ln z, ln m², whether the class is the same, closeness in z.

    kT is the smaller pT times ΔR, z the smaller pT over the sum, and m² the product of both times ΔR², in GeV: the mass
    for small angles (arXiv:2202.03772 has it for all). Closeness is ``1 / (1 + |Δz| / mm)`` of two tracks, and 0 if a
    candidate is neutral. All are 0 where there is no neighbour.
    """
    out = np.empty((len(features), len(PAIRS), NEAREST), np.float32)
    describe(directions(features), features, kinds, index, 0, out)
    return out


@njit(**FLAGS)
def directions(features):  # type: ignore[no-untyped-def]
    """(n, 4) eta, phi, pT / 50 GeV and its logarithm of candidates."""
    out = np.empty((len(features), 4), np.float32)
    for i in range(len(out)):
        f, o = features[i], out[i]
        o[0], o[1], o[2] = f[2], np.arctan2(f[7], f[6]), max(f[4], LEAST_PT)
        o[3] = logarithm(o[2])
    return out


@njit(**FLAGS)
def find_all(features, kinds, offsets, out):  # type: ignore[no-untyped-def]
    """Write the rows of the neighbours in all events into out, (n, NEAREST)."""
    for event in range(len(offsets) - 1):
        here = slice(offsets[event], offsets[event + 1])
        find(directions(features[here]), kinds[here], out[here])
        for row in out[here]:
            for k in range(NEAREST):
                row[k] += offsets[event] if row[k] >= 0 else 0


@njit(**FLAGS)
def find(places, kinds, out):  # type: ignore[no-untyped-def]
    """Write numbers of the neighbours of an event's candidates into out (n, NEAREST); places: (n, 4) directions."""
    cells, first, eta, phi, number = sort(places, kinds)
    distance, found = np.empty(len(number), np.float32), np.empty(len(number), np.int32)
    least = np.empty(NEAREST, np.float32)
    for i in range(len(places)):
        reach, n = likely_reach(first, cells[i]), 0
        while n < NEAREST and reach <= RINGS:
            n, low = 0, max(cells[i] // COLUMNS - reach, 0)
            high, column = min(cells[i] // COLUMNS + reach, ETA_CELLS - 1), cells[i] % COLUMNS
            limit = min(RADIUS2, (reach * CELL) ** 2)
            for r in range(low, high + 1):
                for s in range(first[r * COLUMNS + column - reach], first[r * COLUMNS + column + reach + 1]):
                    apart = (eta[s] - places[i, 0]) ** 2 + (phi[s] - places[i, 1]) ** 2
                    distance[n], found[n] = apart, number[s]
                    n += (apart < limit) & (number[s] != i)
            reach += 1
        select(distance, found, n, least, out[i])


@njit(inline="always", **FLAGS)
def likely_reach(first, c):  # type: ignore[no-untyped-def]
    """The least number of cells on each side of a cell c with enough candidates for NEAREST in the circle inside."""
    for reach in range(1, RINGS):
        n, row = 0, c // COLUMNS
        for r in range(max(row - reach, 0), min(row + reach, ETA_CELLS - 1) + 1):
            start = r * COLUMNS + c % COLUMNS
            n += first[start + reach + 1] - first[start - reach]
        if n > MANY * NEAREST * (2 * reach + 1) ** 2 / reach**2:
            return reach
    return RINGS


@njit(**FLAGS)
def sort(places, kinds):  # type: ignore[no-untyped-def]
    """Cells of an event's candidates, (n,), and those that may be neighbours by cells.

    These are: the first of each cell and of the one after the last; eta, phi and numbers. Who is near phi = ±π comes
    twice, the second time a turn further on, at the other side.
    """
    n = len(places)
    cells, first = np.empty(n, np.int32), np.zeros(ETA_CELLS * COLUMNS + 2, np.int32)
    for i in range(n):
        row = min(max(int((places[i, 0] + MAX_ETA) * PER_ETA), 0), ETA_CELLS - 1)
        cells[i] = row * COLUMNS + RINGS + min(max(int((places[i, 1] + PI) * PER_PHI), 0), PHI_CELLS - 1)
        if kinds[i] < KINDS:
            first[cells[i] + 2] += 1
            first[cells[i] + turned(cells[i]) + 2] += turned(cells[i]) != 0
    for c in range(1, len(first)):
        first[c] += first[c - 1]
    eta, phi, number = (
        np.empty(first[-1], np.float32), np.empty(first[-1], np.float32), np.empty(first[-1], np.int32)
    )  # fmt: skip
    for i in range(n):
        if kinds[i] < KINDS:
            for copy in range(1 + (turned(cells[i]) != 0)):
                c = cells[i] + copy * turned(cells[i])
                s = first[c + 1]
                eta[s], number[s] = places[i, 0], i
                phi[s] = places[i, 1] + copy * np.sign(turned(cells[i])) * TURN
                first[c + 1] += 1
    return cells, first, eta, phi, number


@njit(inline="always", **FLAGS)
def turned(c):  # type: ignore[no-untyped-def]
    """How many cells further a cell is there again; 0 if it is not."""
    column = c % COLUMNS
    if column < 2 * RINGS:
        return PHI_CELLS
    return -PHI_CELLS if column >= PHI_CELLS else 0


@njit(inline="always", **FLAGS)
def select(distance, found, n, least, out):  # type: ignore[no-untyped-def]
    """Write the nearest of n found ones into out (NEAREST,), and -1 where there are fewer; least: a buffer."""
    for k in range(NEAREST):
        least[k], out[k] = (distance[k], found[k]) if k < n else (RADIUS2, -1)
    worst, at = largest(least)
    for s in range(NEAREST, n):
        if distance[s] < worst:
            least[at], out[at] = distance[s], found[s]
            worst, at = largest(least)


@njit(inline="always", **FLAGS)
def largest(values):  # type: ignore[no-untyped-def]
    """The largest of NEAREST values, and where it is."""
    top, at = values[0], 0
    for k in range(1, NEAREST):
        if values[k] > top:
            top, at = values[k], k
    return top, at


@njit(**FLAGS)
def describe(places, features, kinds, index, start, out):  # type: ignore[no-untyped-def]
    """Write features of the pairs of candidates from a start on into out (m, PAIRS, NEAREST); index: (n, NEAREST)."""
    eta, phi, pt = np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32), np.ones(NEAREST, np.float32)
    log_pt, alike, close = (
        np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32), np.zeros(NEAREST, np.float32)
    )  # fmt: skip
    for m in range(len(out)):
        i, o, n = start + m, out[m], 0
        for k in range(NEAREST):
            j = index[i, k]
            if j < 0:
                break
            n += 1
            eta[k], phi[k], pt[k], log_pt[k] = places[j, 0], places[j, 1], places[j, 2], places[j, 3]
            alike[k] = kinds[i] == kinds[j]
            both = kinds[i] < NEUTRAL and kinds[j] < NEUTRAL
            close[k] = ONE / (ONE + PER_MM * abs(features[i, 1] - features[j, 1])) if both else ZERO
        for k in range(NEAREST):
            dphi = abs(phi[k] - places[i, 1])
            dphi = min(dphi, TURN - dphi)
            apart = HALF * logarithm(max((eta[k] - places[i, 0]) ** 2 + dphi * dphi, LEAST_DR2))
            small = min(log_pt[k], places[i, 3])
            there = ONE if k < n else ZERO
            o[0, k] = there * apart
            o[1, k] = there * (small + LN_SCALE + apart)
            o[2, k] = there * (small - logarithm(pt[k] + places[i, 2]))
            o[3, k] = there * (log_pt[k] + places[i, 3] + 2 * (LN_SCALE + apart))
            o[4, k], o[5, k] = there * alike[k], there * close[k]


@njit(inline="always", **FLAGS)
def exponential(x):  # type: ignore[no-untyped-def]
    """``exp x`` between -MOST and MOST, to 3e-7; beyond it is that of the limit."""
    x = min(max(x, -MOST), MOST)
    n = np.floor(x * PER_LN2 + HALF)
    f = (x - n * LN2) * HALF
    p = E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5))))
    return p * p * np.int32((np.int32(n) + 127) << 23).view(np.float32)


@njit(**FLAGS)
def attend(queries, pairs, index, layers, hidden, shares, out):  # type: ignore[no-untyped-def]
    """Write the messages of the neighbours of some candidates into out (m, WIDTH + HEADS * HIDDEN).

    queries: two arrays (m, WIDTH) and (n, 2 * WIDTH), queries of these candidates, keys and values of all; pairs: (m,
    PAIRS, NEAREST), index: (m, NEAREST) rows of the second; layers: kernel (PAIRS, HIDDEN) and bias (HIDDEN,) of the
    small network, and kernel (HIDDEN, HEADS) of its part in the score. hidden (m, HIDDEN, NEAREST), what it finds, and
    shares (m, HEADS, NEAREST) of the neighbours in the message are kept.
    """
    (query, memory), (kernel, bias, head) = queries, layers
    near = np.zeros((2 * WIDTH, NEAREST), np.float32)
    for m in range(len(out)):
        n = gather(memory, index[m], near)
        describe_more(pairs[m], kernel, bias, hidden[m])
        for b in range(HEADS):
            share(query[m], near, head, hidden[m], b, n, shares[m, b])
            say(shares[m, b], near, hidden[m], b, out[m])


@njit(inline="always", **FLAGS)
def gather(memory, row, near):  # type: ignore[no-untyped-def]
    """Write the keys and values of a candidate's neighbours into near (2 * WIDTH, NEAREST); returns their number."""
    for k in range(NEAREST):
        j = row[k]
        if j < 0:
            return k
        for d in range(2 * WIDTH):
            near[d, k] = memory[j, d]
    return NEAREST


@njit(inline="always", **FLAGS)
def describe_more(pairs, kernel, bias, out):  # type: ignore[no-untyped-def]
    """Write what the small network finds of the pairs of a candidate, (PAIRS, NEAREST), into out (HIDDEN, NEAREST)."""
    for a in range(HIDDEN):
        for k in range(NEAREST):
            x = bias[a]
            for f in range(len(PAIRS)):
                x += kernel[f, a] * pairs[f, k]
            out[a, k] = _tanh(x)


@njit(inline="always", **FLAGS)
def share(query, near, head, hidden, b, n, out):  # type: ignore[no-untyped-def]
    """Write the share that each of n neighbours has in the message of head b into out (NEAREST,)."""
    for k in range(NEAREST):
        x, y = ZERO, ZERO
        for d in range(b * SIZE, (b + 1) * SIZE):
            x += query[d] * near[d, k]
        for a in range(HIDDEN):
            y += head[a, b] * hidden[a, k]
        out[k] = PER_ROOT * x + y
    total = ZERO
    for k in range(NEAREST):
        e = exponential(out[k])
        out[k] = e if k < n else ZERO
    for k in range(NEAREST):
        total += out[k]
    total = ONE / max(total, LEAST)
    for k in range(NEAREST):
        out[k] *= total


@njit(inline="always", **FLAGS)
def say(shares, near, hidden, b, out):  # type: ignore[no-untyped-def]
    """Write the message of head b into out (WIDTH + HEADS * HIDDEN,): means of values, and of the small network."""
    for d in range(b * SIZE, (b + 1) * SIZE):
        x = ZERO
        for k in range(NEAREST):
            x += shares[k] * near[WIDTH + d, k]
        out[d] = x
    for a in range(HIDDEN):
        x = ZERO
        for k in range(NEAREST):
            x += shares[k] * hidden[a, k]
        out[WIDTH + b * HIDDEN + a] = x


@njit(**FLAGS)
def gradients(change, queries, pairs, index, layers, hidden, shares):  # type: ignore[no-untyped-def]
    """Gradients of all inputs of ``attend``, from those of its messages, (n, WIDTH + HEADS * HIDDEN).

    They are those of queries (n, WIDTH), of keys and values (n, 2 * WIDTH), and of the three layers.
    """
    (query, memory), head = queries, layers[2]
    of_query, of_memory = np.zeros(query.shape, np.float32), np.zeros(memory.shape, np.float32)
    of_kernel, of_bias = np.zeros((len(PAIRS), HIDDEN, NEAREST)), np.zeros((HIDDEN, NEAREST))
    of_head = np.zeros((HIDDEN, HEADS, NEAREST))
    near, of_near = np.zeros((2 * WIDTH, NEAREST), np.float32), np.zeros((2 * WIDTH, NEAREST), np.float32)
    score, back = np.empty(NEAREST, np.float32), np.empty((HIDDEN, NEAREST), np.float32)
    for m in range(len(change)):
        n = gather(memory, index[m], near)
        back[:] = 0
        for b in range(HEADS):
            of_score(change[m], shares[m, b], near, hidden[m], b, score)
            for a in range(HIDDEN):
                for k in range(NEAREST):
                    of_head[a, b, k] += score[k] * hidden[m, a, k]
                    back[a, k] += shares[m, b, k] * change[m, WIDTH + b * HIDDEN + a] + score[k] * head[a, b]
            of_vectors(change[m], query[m], shares[m, b], near, score, b, of_query[m], of_near)
        of_network(pairs[m], hidden[m], back, of_kernel, of_bias)
        for k in range(n):
            for d in range(2 * WIDTH):
                of_memory[index[m, k], d] += of_near[d, k]
    return of_query, of_memory, of_kernel.sum(axis=2), of_bias.sum(axis=1), of_head.sum(axis=2)


@njit(inline="always", **FLAGS)
def of_score(change, shares, near, hidden, b, out):  # type: ignore[no-untyped-def]
    """Write the gradients of the scores in head b into out (NEAREST,)."""
    mean = ZERO
    for k in range(NEAREST):
        x, y = ZERO, ZERO
        for d in range(b * SIZE, (b + 1) * SIZE):
            x += change[d] * near[WIDTH + d, k]
        for a in range(HIDDEN):
            y += change[WIDTH + b * HIDDEN + a] * hidden[a, k]
        out[k] = x + y
    for k in range(NEAREST):
        mean += shares[k] * out[k]
    for k in range(NEAREST):
        out[k] = shares[k] * (out[k] - mean)


@njit(inline="always", **FLAGS)
def of_vectors(change, query, shares, near, score, b, of_query, of_near):  # type: ignore[no-untyped-def]
    """Write the gradients in head b of a query (WIDTH,), and of keys and values around it, (2 * WIDTH, NEAREST)."""
    for d in range(b * SIZE, (b + 1) * SIZE):
        x = ZERO
        for k in range(NEAREST):
            x += score[k] * near[d, k]
            of_near[d, k] = PER_ROOT * score[k] * query[d]
            of_near[WIDTH + d, k] = shares[k] * change[d]
        of_query[d] = PER_ROOT * x


@njit(inline="always", **FLAGS)
def of_network(pairs, hidden, back, of_kernel, of_bias):  # type: ignore[no-untyped-def]
    """Add the gradients of the small network, from those of what it finds, back (HIDDEN, NEAREST), which is changed."""
    for a in range(HIDDEN):
        for k in range(NEAREST):
            back[a, k] *= ONE - hidden[a, k] * hidden[a, k]
            of_bias[a, k] += back[a, k]
        for f in range(len(PAIRS)):
            for k in range(NEAREST):
                of_kernel[f, a, k] += pairs[f, k] * back[a, k]


@njit(**FLAGS)
def hear(features, rows, kinds, offsets, layers, context, attention):  # type: ignore[no-untyped-def]
    """(n, second) what attention adds to the inputs of a DeepMET's second layer, event by event.

    kinds: (n,) class of each candidate; the others up to context: see ptmiss.networks.kernels.weights. attention:
    kernel and bias of queries (first, WIDTH), and of keys and values (first, 2 * WIDTH), the three layers of
    ``attend``, and the kernel of the messages (WIDTH + HEADS * HIDDEN, second).
    """
    (to_query, query_bias), (to_memory, memory_bias), pair_layers, to_second = attention
    out = np.empty((len(features), to_second.shape[1]), np.float32)
    pairs, said = np.empty((BLOCK, len(PAIRS), NEAREST), np.float32), np.empty((BLOCK, len(to_second)), np.float32)
    hidden, shares = (
        np.empty((BLOCK, HIDDEN, NEAREST), np.float32), np.empty((BLOCK, HEADS, NEAREST), np.float32)
    )  # fmt: skip
    for event in range(len(offsets) - 1):
        here = slice(offsets[event], offsets[event + 1])
        n = here.stop - here.start
        x, index = np.empty((n, len(to_query)), np.float32), np.empty((n, NEAREST), np.int32)
        enter(here, features, rows, layers, context, x)
        query, memory = np.dot(x, to_query) + query_bias, np.dot(x, to_memory) + memory_bias
        places = directions(features[here])
        find(places, kinds[here], index)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            m = stop - start
            describe(places, features[here], kinds[here], index, start, pairs[:m])
            queries = query[start:stop], memory
            attend(queries, pairs[:m], index[start:stop], pair_layers, hidden[:m], shares[:m], said[:m])
            np.dot(said[:m], to_second, out[here][start:stop])
    return out
