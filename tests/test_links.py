"""What GSF tracks and superclusters say of tracks and clusters, on a few elements whose links are known."""

import numpy as np
import pytest

from ptmiss import links
from ptmiss.elements import DETAIL_COLUMNS

TRACK, ECAL, HCAL = 1, 4, 5
NAMES = ("type", "energy", "eta", "phi", "caloPhi", "seed", "parent")


def columns(*rows):
    """All columns of rows of NAMES; pt is the energy, corrected energies are those of superclusters."""
    found = dict(zip(NAMES, np.array(rows, np.float32).T, strict=True))
    kind = found["type"].astype(np.int32)
    super_ = kind == links.SUPERCLUSTER
    more = {"pt": found["energy"], "caloEta": found["eta"], "nCells": np.where(super_, 3, 9)}
    corrected = np.where(super_, 1.1 * found["energy"], 0).astype(np.float32)
    whole = {name: found[name].astype(np.int32) for name in ("type", "seed", "parent")}
    return found | more | whole | {"correctedEnergy": corrected}


def event():
    """A track with its GSF track, which has two brem points and points to a supercluster of two clusters."""
    return (
        (TRACK, 20, 0.5, 1.0, 1.1, 1, -1),
        (ECAL, 30, 0.5, 1.1, 1.1, 0, 6),
        (ECAL, 10, 0.51, 1.2, 1.2, 0, 6),
        (links.GSF, 35, 0.5, 1.0, 1.08, 1, 0),
        (links.BREM, 5, 0.5, 1.0, 1.1, 0, 3),
        (links.BREM, 4, 0.5, 1.0, 1.1, 0, 3),
        (links.SUPERCLUSTER, 40, 0.505, 1.12, 1.12, 0, -1),
    )


def test_a_track_and_its_clusters_know_each_other():
    found = links.link(columns(*event()), np.array([0, 7]))
    assert found["gsfEnergy"].tolist() == [35, 35, 35, 0, 0, 0, 0]
    np.testing.assert_allclose(found["correctedEnergy"], [44, 44, 44, 0, 0, 0, 44])
    assert found["nBrems"].tolist() == [2, 0, 0, 0, 0, 0, 0]
    assert found["superclusterSize"].tolist() == [3, 3, 3, 0, 0, 0, 0]
    np.testing.assert_allclose(found["superclusterPhi"][:3], [0.04, 0.02, 0.08], atol=1e-6)
    np.testing.assert_allclose(found["superclusterEta"][:3], [0.005, 0.005, 0.005], atol=1e-6)
    assert not found["gsfAlone"].any()


def test_events_do_not_see_each_other():
    twice = columns(*event(), *event())
    found = links.link(twice, np.array([0, 7, 7, 14]))
    for name, column in links.link(columns(*event()), np.array([0, 7])).items():
        np.testing.assert_array_equal(found[name], np.tile(column, 2), name)


def test_a_gsf_track_alone_keeps_what_it_knows():
    rows = [(links.GSF, 35, 0.5, 1.0, 1.08, 2, -1), (links.SUPERCLUSTER, 40, 0.5, 1.1, 1.1, 0, -1)]
    found = links.link(columns(*rows), np.array([0, 2]))
    assert found["gsfAlone"].tolist() == [True, False]
    np.testing.assert_allclose(found["correctedEnergy"], [44, 44])
    assert found["gsfEnergy"].tolist() == [35, 0]


@pytest.mark.parametrize(
    ("energy", "phi", "calo_phi", "seed", "linked"),
    [
        (30, 1.0, 1.0, 1, True),
        (30, 1.0, 1.2, 1, False),  # arrives elsewhere
        (30, 1.0, 1.2, 2, True),  # begins where the supercluster is, which seeded it
        (30, 1.2, 1.2, 3, False),
        (100, 1.0, 1.0, 1, False),  # more momentum than the supercluster has energy
    ],
)
def test_where_a_track_points(energy, phi, calo_phi, seed, linked):
    rows = [(links.GSF, energy, 0.5, phi, calo_phi, seed, -1), (links.SUPERCLUSTER, 40, 0.5, 1.0, 1.0, 0, -1)]
    found = links.link(columns(*rows), np.array([0, 2]))
    assert (found["correctedEnergy"][0] > 0) == linked


def test_the_harder_track_takes_the_supercluster():
    rows = [(links.GSF, p, 0.5, 1.0, 1.0, 1, -1) for p in (10, 20)]
    found = links.link(columns(*rows, (links.SUPERCLUSTER, 40, 0.5, 1.0, 1.0, 0, -1)), np.array([0, 3]))
    np.testing.assert_allclose(found["correctedEnergy"], [0, 44, 44])


def test_columns_are_those_that_are_told():
    found = links.link(columns(*event()), np.array([0, 7]))
    assert {name: column.dtype for name, column in found.items() if name != "correctedEnergy"} == links.LINK_COLUMNS
    assert set(found) - set(links.LINK_COLUMNS) <= set(DETAIL_COLUMNS)
