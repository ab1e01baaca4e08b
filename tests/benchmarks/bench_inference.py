"""DeepMET on flat candidates against the same network on events padded to 4500 slots, in one run."""

import itertools
import time

import numpy as np

from ptmiss.inference import EPSILON
from ptmiss.inputs import CATEGORIES, FEATURES, VOCABULARY, combinations, scaled
from ptmiss.segments import from_counts

from ..conftest import random_model

EVENTS, CANDIDATES, PADDING, ROUNDS = 40, 1500, 4500, 5


def sample():
    rng = np.random.default_rng(0)
    offsets = from_counts(rng.poisson(CANDIDATES, EVENTS))
    features = rng.normal(0, 2, (offsets[-1], len(FEATURES))).astype(np.float32)
    categories = np.stack([rng.choice(VOCABULARY[name], offsets[-1]) for name in CATEGORIES], axis=1)
    return features, categories, offsets


def padded(model, features, categories, offsets):
    """Layer by layer over (events, slots, features), as a padded graph does it."""
    shape, tensors = (len(offsets) - 1, PADDING), model.tensors
    x, row = np.zeros((*shape, len(FEATURES)), np.float32), np.zeros(shape, np.intp)
    flat, index = scaled(features), combinations(categories)
    for event, (start, stop) in enumerate(itertools.pairwise(offsets)):
        x[event, : stop - start], row[event, : stop - start] = flat[start:stop], index[start:stop]
    h = x @ model.layers[0][0][: len(FEATURES)] + model.category_table[row]
    for layer in (1, 2, 3):
        norm = {part: tensors[f"norm{layer}.{part}"] for part in ("gamma", "beta", "mean", "variance")}
        h = norm["gamma"] * (np.tanh(h) - norm["mean"]) / np.sqrt(norm["variance"] + EPSILON) + norm["beta"]
        h = h @ tensors[f"dense{layer + 1}.kernel"] + tensors[f"dense{layer + 1}.bias"]
    terms = (h[..., :1] - 1) * np.concatenate([h[..., 1:], x[..., 6:]], axis=-1)
    return 50 * (terms.sum(axis=1, dtype=np.float64) @ tensors["output.kernel"] + tensors["output.bias"])


def seconds(function, *arguments):
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def test_flat_against_padded():
    model, arrays = random_model(padding=PADDING), sample()
    np.testing.assert_allclose(model.met(*arrays), padded(model, *arrays), atol=0.05)
    pairs = np.array([(seconds(model.met, *arrays), seconds(padded, model, *arrays)) for _ in range(ROUNDS)])
    flat, full = np.median(pairs, axis=0)
    print(f"\nDeepMET, numpy, {CANDIDATES} candidates an event, CPU time:")
    print(f"  flat candidates       {1e3 * flat / EVENTS:7.2f} ms/event {1e9 * flat / arrays[2][-1]:7.0f} ns/candidate")
    print(f"  padded to {PADDING} slots  {1e3 * full / EVENTS:7.2f} ms/event")
    print(f"  padded / flat         {np.median(pairs[:, 1] / pairs[:, 0]):7.2f}")
