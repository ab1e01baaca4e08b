import numpy as np
import pytest

from ptmiss.networks.superclusters import FEATURES, Answer, load
from ptmiss.simulation import helix, moustache, superclusters
from ptmiss.simulation.calorimeter import ECAL_CLUSTER, HCAL_CLUSTER, Clusters
from ptmiss.simulation.elements import direction


def clusters(rows):
    """Clusters of (kind, transverse energy, eta, phi) on the calorimeter's face."""
    kind, et, eta, phi = (np.array(column) for column in zip(*rows, strict=True))
    barrel = np.abs(eta) < helix.BARREL_ETA
    radius = np.where(barrel, helix.BARREL_RADIUS, helix.ENDCAP_Z / np.maximum(np.sinh(np.abs(eta)), 1e-6))
    position = np.stack([radius * np.cos(phi), radius * np.sin(phi), radius * np.sinh(eta)], axis=1)
    none = np.zeros(len(et))
    return Clusters(kind, et * np.cosh(eta), position, none, none, none)


@pytest.mark.parametrize("eta", [0.0, 0.9, -1.3, 2.1, -2.4])
def test_the_window_follows_helices(eta):
    """Electrons softer than the seed arrive inside, to both sides; nearer to eta 0 nothing belongs."""
    for pt in (0.6, 1.0, 2.0, 5.0):
        for charge in (-1, 1):
            momentum = [np.array([value]) for value in (pt, 0.0, pt * np.sinh(eta))]
            region, point = helix.reach(*momentum, np.array([charge]), *np.zeros((3, 1)), 3.8)
            found, phi = (float(x[0]) for x in direction(point))
            if region[0] == helix.NOWHERE or abs(phi) > moustache.MAX_DPHI or abs(eta) < 1.479 < abs(found):
                continue
            assert moustache.in_moustache(eta, 0.0, 5.0, found, phi)
            assert not moustache.in_moustache(eta, 0.0, 5.0, found - np.sign(eta or 1) * 0.25, phi)


def test_the_window_narrows_with_energy():
    for seed_et, inside in ((10.0, True), (200.0, False)):
        assert moustache.in_moustache(0.5, 0.0, seed_et, 0.5, 0.3) == inside
    assert moustache.in_moustache(0.5, 3.1, 5.0, 0.5, -3.1)  # phi comes round
    assert not moustache.in_moustache(0.5, 0.0, 5.0, 0.5, 0.7)


def test_a_supercluster_has_the_clusters_of_its_window_and_their_energy():
    rows = [
        (ECAL_CLUSTER, 30.0, 0.3, 1.0),
        (ECAL_CLUSTER, 4.0, 0.305, 1.1),
        (ECAL_CLUSTER, 0.3, 0.30, 0.9),
        (ECAL_CLUSTER, 8.0, 0.8, 1.0),
        (ECAL_CLUSTER, 2.0, -1.0, -2.0),
        (HCAL_CLUSTER, 50.0, 0.3, 1.0),
    ]
    found = superclusters.build(clusters(rows))
    assert found.member.tolist() == [0, 0, 0, 1, -1]
    assert found.clusters.tolist() == [3, 1]
    assert found.seed.tolist() == [0, 3]
    energy = clusters(rows).energy
    assert found.energy == pytest.approx([energy[:3].sum(), energy[3]])
    assert direction(found.position)[1] == pytest.approx([1.01, 1.0], abs=0.01)


def test_no_clusters():
    none = Clusters(*np.zeros((2, 0)), np.zeros((0, 3)), *np.zeros((3, 0)))
    assert len(superclusters.build(none).energy) == 0


def test_a_network_that_says_what_the_rule_says_makes_the_same_superclusters():
    """In front of the endcaps' inner part the window of the rule is wider than that of the network."""
    rng = np.random.default_rng(4)
    n = 300
    places = zip(rng.exponential(4, n) + 0.2, rng.uniform(-2.4, 2.4, n), rng.uniform(-np.pi, np.pi, n), strict=True)
    some = clusters([(ECAL_CLUSTER, *place) for place in places])

    def network(features, energy, offsets):
        return Answer(features[:, FEATURES.index("in_moustache")], np.full(len(offsets) - 1, 7.0))

    rule, found = superclusters.build(some), superclusters.build(some, network)
    assert len(rule.seed) > 20
    for name in ("member", "seed", "energy", "position"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rule, name))
    assert set(found.corrected) == {7.0}
    assert rule.corrected == pytest.approx(rule.energy * np.interp(
        np.abs(direction(rule.position)[0]), superclusters.CORRECTION_ETA, superclusters.CORRECTION))  # fmt: skip


def test_the_network_of_the_package_takes_what_lies_beside_a_seed_in_phi():
    rows = [(ECAL_CLUSTER, 30.0, 0.3, 1.0), (ECAL_CLUSTER, 4.0, 0.301, 1.06), (ECAL_CLUSTER, 20.0, -1.0, 2.0)]
    some = clusters(rows)._replace(width=np.full(3, 2.0), cells=np.full(3, 9))
    found = superclusters.build(some, load())
    assert found.member.tolist() == [0, 0, 1]
    assert found.corrected == pytest.approx(found.energy, rel=0.1)
