"""Events with a boson, made up."""

import numpy as np
import pytest

from ptmiss.candidates import CATEGORIES, Candidates
from ptmiss.explanation.events import Sample
from ptmiss.networks.features import FEATURES
from ptmiss.recoil import cartesian

from ..helpers import random_candidates


@pytest.fixture(scope="session")
def sample():
    """40 events of random candidates, some of which have none."""
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 60, 40)
    features, categories, offsets = random_candidates(counts, seed=6)
    columns = dict(zip(FEATURES[:6], features.T[:6].astype(np.float32), strict=True))
    columns["phi"] = np.arctan2(features[:, 7], features[:, 6]).astype(np.float32)
    columns["pt"] = np.hypot(features[:, 6], features[:, 7]).astype(np.float32)
    columns |= dict(zip(CATEGORIES, categories.T.astype(np.int32), strict=True))
    boson = cartesian(rng.uniform(5, 100, 40), rng.uniform(-np.pi, np.pi, 40))
    return Sample(Candidates(columns, offsets), boson, rng.normal(0, 1, (40, 2)), rng.uniform(0.5, 2, 40))
