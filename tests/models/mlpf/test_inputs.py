import numpy as np
import pytest

from ptmiss.elements import DETAIL_COLUMNS, Elements
from ptmiss.links import LINK_COLUMNS
from ptmiss.segments import from_counts

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import inputs, morton, neighbours

from ...helpers import random_elements


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
    packed = inputs.pack(embedded.elements, schema)
    assert packed.features.shape == (embedded.offsets[-1], len(schema.features))
    assert packed.features.dtype == torch.float32
    assert packed.features.isfinite().all()


def test_standardised_features(embedded):
    features = inputs.pack(embedded.elements, inputs.schema("compact")).features.numpy()
    mean, scale = inputs.moments(features)
    standard = (features - mean) / scale
    assert np.abs(standard.mean(axis=0)).max() < 1e-2
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-2)


def test_sums_of_neighbours_are_those_of_all_pairs():
    elements = random_elements([300, 0, 200])
    position = np.stack([elements["eta"], elements["phi"]], axis=-1)
    position[:300, 0] *= np.float32(0.1)
    found = neighbours.near(elements, position).sums
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
    elements = random_elements([2000])
    position = np.stack([elements["eta"], elements["phi"]], axis=-1)
    for order in morton.orders(position, elements["type"], elements["pt"], elements.offsets):
        assert sorted(order.tolist()) == list(range(2000))
        step = np.diff(position[order], axis=0)
        assert np.median(np.hypot(*step.T)) < 0.3


def test_elements_at_one_place_have_an_order_of_their_own():
    elements = random_elements([6])
    position = np.zeros((6, 2), np.float32)
    (order, _) = morton.orders(position, elements["type"], elements["pt"], elements.offsets)
    backwards = np.arange(6)[::-1]
    columns = {name: column[backwards] for name, column in elements.columns.items()}
    again = Elements(columns, from_counts(np.array([6])))
    (other, _) = morton.orders(position, again["type"], again["pt"], again.offsets)
    np.testing.assert_array_equal(backwards[other], order)


def block_of_two():
    """A track of 10 GeV at an ECAL cluster of 2 and an HCAL cluster of 12 GeV, a free ECAL cluster, a distant one."""
    kinds = np.array([1, 4, 5, 4, 5], np.int32)
    elements = random_elements([5])
    energy = np.array([10, 2, 12, 3, 7], np.float32)
    columns = elements.columns | {"type": kinds, "energy": energy, "pt": energy}
    position = np.array([[0, 0], [0.01, 0], [0, 0.05], [0.1, 0], [1, 1]], np.float32)
    return Elements(columns, elements.offsets), position


def test_blocks():
    elements, position = block_of_two()
    found = neighbours.near(elements, position)
    assert found.ecal.tolist() == [1, -1, -1, -1, -1]
    assert found.hcal.tolist() == [2, 2, -1, 2, -1]
    block = dict(zip(neighbours.BLOCKS, neighbours.blocks(elements, found).T, strict=True))
    for name, energy in (("tracks", 10), ("ecal", 2), ("free_ecal", 3), ("hcal", 12), ("number", 1)):
        np.testing.assert_allclose(block[f"block_{name}"][:4], np.log1p(energy), rtol=1e-6)
    np.testing.assert_allclose(block["block_excess"][:4], np.arcsinh(4 / np.sqrt(11)), rtol=1e-6)
    np.testing.assert_allclose(block["block_excess_all"][:4], np.arcsinh(7 / np.sqrt(11)), rtol=1e-6)
    np.testing.assert_allclose(block["block_excess"][4], np.arcsinh(7), rtol=1e-6)
    np.testing.assert_allclose(block["block_share"], [1, 2 / 17, 12 / 17, 3 / 17, 1], rtol=1e-6)
    np.testing.assert_allclose(block["own_tracks"], np.log1p([0, 10, 0, 0, 0]), rtol=1e-6)
    np.testing.assert_allclose(block["to_ecal"], [0.2, 1, 1, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(block["to_hcal"][[0, 4]], [1 / 3, 1], rtol=1e-5)


def test_links_are_to_the_nearest_of_all_pairs():
    elements = random_elements([400, 0, 300])
    position = np.stack([elements["eta"], elements["phi"]], axis=-1) * np.float32(0.2)
    found = neighbours.near(elements, position)
    event = np.repeat([0, 2], [400, 300])
    distance = np.hypot(*(position[:, None, i] - position[None, :, i] for i in range(2)))
    types = elements["type"]
    for kind, mine, window in ((4, [1], 0.05), (5, [1, 4], 0.15)):
        reach = np.where((event[:, None] == event) & (types == kind), distance, np.inf)
        nearest = np.where(np.isin(types, mine) & (reach.min(axis=1) < window), reach.argmin(axis=1), -1)
        np.testing.assert_array_equal(found.ecal if kind == 4 else found.hcal, nearest)


def linked():
    """A track of 20 GeV whose GSF track of 40 points to a supercluster of 50, its cluster of 25, and a free track."""
    elements = random_elements([3])
    columns = elements.columns | {"type": np.array([1, 4, 1], np.int32), "energy": np.array([20, 25, 7], np.float32)}
    columns |= {"pt": columns["energy"] / 2}
    columns |= {name: np.zeros(3, dtype) for name, dtype in (DETAIL_COLUMNS | LINK_COLUMNS).items()}
    columns["gsfEnergy"][:2], columns["correctedEnergy"][:2] = 40, 50
    columns["ptOut"][0], columns["seed"][0], columns["nBrems"][0] = 5, 3, 2
    columns["gsfAlone"][0] = True
    return Elements(columns, elements.offsets)


def test_what_gsf_tracks_and_superclusters_say():
    chosen = inputs.schema("gsf")
    packed = inputs.pack(linked(), chosen)
    own = dict(zip(chosen.features, packed.features.numpy().T, strict=True))
    np.testing.assert_allclose(own["log_gsf"], [np.log(2), np.log(1.6), 0], rtol=1e-6)
    np.testing.assert_allclose(own["log_supercluster"], [np.log(2.5), np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(own["log_e_over_p"], [np.log(1.25), np.log(1.25), 0], rtol=1e-6)
    np.testing.assert_allclose(own["log_gsf_out"], [np.log(0.5), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(own["log_brems"], [np.log(3), 0, 0], rtol=1e-6)
    for name in ("gsf_alone", "tracker_seed", "ecal_seed"):
        assert own[name].tolist() == [1, 0, 0]


def test_the_momentum_of_an_electron_is_its_superclusters():
    """Of tracks alone, and for the list that reads superclusters alone."""
    elements = linked()
    np.testing.assert_allclose(inputs.pack(elements, inputs.schema("gsf")).scale, [[25, 50], [12.5, 25], [3.5, 7]])
    measured = inputs.pack(elements, inputs.schema("compact")).scale
    np.testing.assert_array_equal(measured[:, 1], elements["energy"])


def test_without_material_the_links_are_zeros(embedded):
    compact, gsf = (inputs.pack(embedded.elements, inputs.schema(name)) for name in ("compact", "gsf"))
    n = len(inputs.COMPACT)
    assert inputs.GSF[:n] == inputs.COMPACT
    assert torch.equal(gsf.features[:, :n], compact.features)
    assert not gsf.features[:, n:].any()
    assert torch.equal(gsf.scale, compact.scale)
