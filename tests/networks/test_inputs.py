import numpy as np
import pytest

from ptmiss.candidates import CATEGORIES, VOCABULARY, Candidates
from ptmiss.networks.inputs import Inputs

COLUMNS = ("dxy", "dz", "eta", "mass", "pt", "puppiWeight", "phi")


def some_candidates(n=500, seed=0):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(0, 3, n).astype(np.float32) for name in COLUMNS}
    columns["pt"] = rng.exponential(5, n).astype(np.float32)
    columns |= {name: rng.choice(VOCABULARY[name], n).astype(np.int32) for name in CATEGORIES}
    return Candidates(columns, np.array([0, 200, 200, n]))


def test_prepared_candidates_are_the_same_inputs_as_arrays():
    candidates = some_candidates()
    features = np.stack([candidates[name] for name in COLUMNS[:6]], axis=1)
    features = np.concatenate([features, candidates.momentum], axis=1)
    categories = np.stack([candidates[name] for name in CATEGORIES], axis=1)
    expected, found = Inputs.of(features, categories, candidates.offsets), Inputs.from_candidates(candidates)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.offsets, expected.offsets)


def test_momenta_that_overflow_count_as_zero():
    candidates = some_candidates(5)
    candidates.columns["pt"][2] = 1e9
    assert not Inputs.from_candidates(candidates).features[2, [4, 6, 7]].any()


@pytest.mark.parametrize(
    ("name", "value"), [("charge", 2), ("charge", -5), ("pdgId", 12), ("pdgId", 999), ("fromPV", 4)]
)
def test_an_unknown_category_is_told(name, value):
    candidates = some_candidates(5)
    candidates.columns[name][3] = value
    with pytest.raises(ValueError, match=f"{name} {value} of candidate 3"):
        Inputs.from_candidates(candidates)
