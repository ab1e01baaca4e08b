"""Messages of neighbours to candidates by attention, compiled, and their gradients.

What is known of the pairs of a candidate has the neighbours along its last axis, see ptmiss.networks.pairs. All sizes
are constants, with which the compiled loops are nearly twice as fast.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ptmiss.networks.features import HEADS, HIDDEN, NEAREST, PAIRS, SIZE, WIDTH
from ptmiss.networks.kernels import BLOCK, FLAGS, _tanh, enter
from ptmiss.networks.pairs import HALF, ONE, ZERO, describe, directions, find

PER_LN2, LN2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
E0, E1, E2, E3, E4, E5 = (np.float32(1 / math.factorial(k)) for k in range(6))
MOST = np.float32(60)  # of a score: beyond it all shares would still be finite
LEAST = np.float32(1e-30)
PER_ROOT = np.float32(1 / math.sqrt(SIZE))


@njit(inline="always", **FLAGS)
def exponential(x):  # type: ignore[no-untyped-def]
    """``exp x`` between -MOST and MOST, to 4e-6 of it; beyond it is that of the limit."""
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
        enter(here, features, rows, layers, context, None, x)
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
