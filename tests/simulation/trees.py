"""A greedy decision tree of small depth: enough to find what gives a class away."""

from __future__ import annotations

import numpy as np


def separation(features: np.ndarray, label: np.ndarray, depth: int = 4) -> float:
    """Area under the ROC curve, on one half, of a tree grown on the other; 0.5 is no separation."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(label))
    train, test = order[::2], order[1::2]
    scores = _predict(_grow(features[train], label[train], depth), features[test])
    return _area(scores, label[test])


def _grow(features: np.ndarray, label: np.ndarray, depth: int):
    mean = label.mean()
    if depth == 0 or len(label) < 40 or mean in (0.0, 1.0):
        return mean
    best = None
    for column in range(features.shape[1]):
        for cut in np.quantile(features[:, column], np.linspace(0.05, 0.95, 19)):
            left = features[:, column] <= cut
            if 20 <= left.sum() <= len(label) - 20:
                impurity = sum(side.sum() * label[side].mean() * (1 - label[side].mean()) for side in (left, ~left))
                if best is None or impurity < best[0]:
                    best = impurity, column, cut, left
    if best is None:
        return mean
    _, column, cut, left = best
    return column, cut, _grow(features[left], label[left], depth - 1), _grow(features[~left], label[~left], depth - 1)


def _predict(tree, features: np.ndarray) -> np.ndarray:
    if not isinstance(tree, tuple):
        return np.full(len(features), tree)
    column, cut, low, high = tree
    left = features[:, column] <= cut
    out = np.empty(len(features))
    out[left], out[~left] = _predict(low, features[left]), _predict(high, features[~left])
    return out


def _area(scores: np.ndarray, label: np.ndarray) -> float:
    positive, negative = scores[label == 1], scores[label == 0]
    above = (positive[:, None] > negative[None, :]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None, :]).mean())
