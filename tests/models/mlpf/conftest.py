from __future__ import annotations

import numpy as np
import pytest

from ptmiss import sample
from ptmiss.elements import Elements
from ptmiss.segments import from_counts


@pytest.fixture(scope="session")
def embedded():
    """The 15 embedded Z → μμ that have elements, as a dataset."""
    pytest.importorskip("torch")
    from ptmiss.models.mlpf import dataset

    return dataset.read([str(sample.events("zmumu"))])


@pytest.fixture(scope="session")
def few(embedded):
    """Eight events of 60 elements or fewer, cut out of the embedded ones."""
    return small(embedded, 8, 60)


def small(events, n, most):
    """The first elements, up to so many, of the first events."""
    from ptmiss.elements import Targets
    from ptmiss.models.mlpf.dataset import Dataset

    step = max(int(events.offsets[1]) // most, 1)
    rows = np.concatenate([np.arange(a, b, step)[: most - i] for i, (a, b) in enumerate(pairs(events, n))])
    offsets = from_counts(
        np.array([len(np.arange(a, b, step)[: most - i]) for i, (a, b) in enumerate(pairs(events, n))])
    )
    e, t = ({name: column[rows] for name, column in x.columns.items()} for x in (events.elements, events.targets))
    return Dataset(Elements(e, offsets), Targets(t, offsets))


def pairs(events, n):
    return list(zip(events.offsets[:n], events.offsets[1 : n + 1], strict=True))


def options(**given):
    """A recipe of a short training."""
    from ptmiss.models.mlpf.recipe import Recipe

    return Recipe(epochs=1, budget=2000).model_dump() | given
