import numpy as np
import pytest

from ptmiss.elements import Elements
from ptmiss.segments import from_counts

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import curve, inputs, neighbours

from .conftest import invented


def test_the_published_lists():
    assert len(inputs.CMS) == 55
    assert len(inputs.CLIC) == 17
    assert (inputs.CMS[0], inputs.CMS[16], inputs.CMS[28], inputs.CMS[54]) == (
        *("typ_idx", "muon_type"),
        *("num_hits", "sigma_z"),
    )
    assert len(set(inputs.CMS)) == 55


@pytest.mark.parametrize("name", inputs.SCHEMAS)
def test_every_feature_can_be_made(name, embedded):
    schema = inputs.schema(name)
    packed = inputs.packed(embedded.elements, schema)
    assert packed.features.shape == (embedded.offsets[-1], len(schema.features))
    assert packed.features.dtype == torch.float32
    assert packed.features.isfinite().all()


def test_standardised_features(embedded):
    features = inputs.packed(embedded.elements, inputs.schema("compact")).features.numpy()
    mean, scale = inputs.moments(features)
    standard = (features - mean) / scale
    assert np.abs(standard.mean(axis=0)).max() < 1e-2
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-2)


def test_sums_of_neighbours_are_those_of_all_pairs():
    elements = invented([300, 0, 200])
    position = np.stack([elements["eta"], elements["phi"]], axis=-1)
    position[:300, 0] *= np.float32(0.1)
    found = neighbours.sums(elements, position)
    kind = np.select([elements["type"] == 1, np.isin(elements["type"], (4, 8))], [1, 2], 3)
    event = np.repeat([0, 2], [300, 200])
    deta, dphi = (position[:, None, i] - position[None, :, i] for i in range(2))
    distance = np.hypot(deta, (dphi + np.pi) % (2 * np.pi) - np.pi)
    other = (event[:, None] == event) & ~np.eye(500, dtype=bool)
    for i, radius in enumerate(neighbours.RADII):
        near = other & (distance < radius)
        for k in range(4):
            expected = np.log1p((near * (kind == k)) @ elements["pt"].astype(np.float64))
            np.testing.assert_allclose(found[:, 4 * i + k], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, 8], np.log1p(near.sum(axis=1)), rtol=1e-6)


def test_neighbours_on_the_curve_are_near():
    elements = invented([2000])
    position = np.stack([elements["eta"], elements["phi"]], axis=-1)
    for order in curve.orders(position, elements["type"], elements["pt"], elements.offsets):
        assert sorted(order.tolist()) == list(range(2000))
        step = np.diff(position[order], axis=0)
        assert np.median(np.hypot(*step.T)) < 0.3


def test_elements_at_one_place_have_an_order_of_their_own():
    elements = invented([6])
    position = np.zeros((6, 2), np.float32)
    (order, _) = curve.orders(position, elements["type"], elements["pt"], elements.offsets)
    backwards = np.arange(6)[::-1]
    columns = {name: column[backwards] for name, column in elements.columns.items()}
    again = Elements(columns, from_counts(np.array([6])))
    (other, _) = curve.orders(position, again["type"], again["pt"], again.offsets)
    np.testing.assert_array_equal(backwards[other], order)
