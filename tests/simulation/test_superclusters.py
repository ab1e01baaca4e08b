import numpy as np
import pytest

from ptmiss.simulation import helix, superclusters
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
            if region[0] == helix.NOWHERE or abs(phi) > superclusters.MAX_DPHI or abs(eta) < 1.479 < abs(found):
                continue
            assert superclusters.in_moustache(eta, 0.0, 5.0, found, phi)
            assert not superclusters.in_moustache(eta, 0.0, 5.0, found - np.sign(eta or 1) * 0.25, phi)


def test_the_window_narrows_with_energy():
    for seed_et, inside in ((10.0, True), (200.0, False)):
        assert superclusters.in_moustache(0.5, 0.0, seed_et, 0.5, 0.3) == inside
    assert superclusters.in_moustache(0.5, 3.1, 5.0, 0.5, -3.1)  # phi comes round
    assert not superclusters.in_moustache(0.5, 0.0, 5.0, 0.5, 0.7)


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
